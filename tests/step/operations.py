"""What is interrupted, and what has to hold for the others afterwards. One object is one run."""

from __future__ import annotations

import array
import os
import pickle
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, Full
from typing import Any

import lightwork
from lightwork import _native
from lightwork.reduction import SharedBlock

BOUND = 2.0
"""Seconds within which whoever is alive gets what it waits for: more than a slice of any sleep, on a slow machine."""

LATE = 0.03
"""Seconds that a poll gives a message of the dead to be found: the family looks for deaths once in 0.01."""

SOON = 0.01
"""Seconds that a victim waits for what does not come."""

SPAN = 1 << 16
"""Bytes of the arena that small blocks are cut from: they are seen by the spans that they need."""

LAST = "last"
"""What a survivor puts after the death."""


@dataclass
class Verdict:
    effect: bool
    """Has the interrupted operation happened, as far as the others can see?"""
    lost: int = 0
    doubled: int = 0
    stuck: int = 0


class Operation:
    """Made in the survivor, which is the victim's parent."""

    repeats: bool = True
    """Can a second victim do the same after the first one's death?"""
    victims: int = 0
    """How many there have been."""
    documented: int = 0
    """Bytes of the arena that all deaths together may leave behind, by a protocol's own table."""

    def ready(self) -> None:
        """In the victim, before it is stepped."""

    def act(self) -> None:
        """In the victim, step by step."""
        raise NotImplementedError

    def check(self) -> Verdict:
        """In the survivor, when the victim is dead."""
        raise NotImplementedError

    def end(self) -> None:
        """Let go of what is no memory."""


class Sleeper:
    """A process that waits in `f`, and what that returns."""

    def __init__(self, f: Callable[[], Any]) -> None:
        self._pipe, end = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                os.write(end, pickle.dumps(f()))
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        os.close(end)

    def until_asleep(self) -> None:
        until = time.monotonic() + BOUND
        while not self._waits():
            if time.monotonic() > until:
                raise RuntimeError("a sleeper does not go to sleep")
            time.sleep(0.0005)  # the kernel tells nobody that a process sleeps

    def _waits(self) -> bool:
        with open(f"/proc/{self.pid}/wchan") as wchan:
            return "futex" in wchan.read()

    def result(self) -> Any:
        """Raises TimeoutError if it has none within the bound."""
        if not select.select([self._pipe], [], [], BOUND)[0]:
            raise TimeoutError
        return pickle.loads(os.read(self._pipe, 1 << 16))

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._pipe)


# -- queues


BUFFER = _native.LEAST_BUFFER


class Buffer:
    """An object whose bytes travel in a block of their own."""

    def __init__(self, data: Any) -> None:
        self.data = array.array("b", bytes(data))

    def __reduce__(self) -> Any:
        return Buffer, (pickle.PickleBuffer(self.data),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Buffer) and self.data == other.data


def shared_block(number: int) -> SharedBlock:
    """What a shared array lies in."""
    block = SharedBlock(BUFFER)
    memoryview(block)[:] = bytes([number]) * BUFFER
    return block


def judge(found: list[Any], needed: list[Any], possible: list[Any]) -> Verdict:
    """All of `needed` have to be there, and some of `possible` may be, but nothing else, and nothing twice."""
    lost = list(needed)
    surplus = []
    for message in found:
        if message in lost:
            lost.remove(message)
        elif message in possible:
            possible.remove(message)
        else:
            surplus.append(message)
    return Verdict(effect=not possible, lost=len(lost), doubled=len(surplus))


def drain(q: Any) -> list[Any]:
    """All messages: those of the dead may come after the last. Of a shared array its bytes."""
    found: list[Any] = []
    try:
        while True:
            message = q.get(timeout=LATE if LAST in found else BOUND)
            found.append(bytes(memoryview(message)) if isinstance(message, SharedBlock) else message)
    except Empty:
        return found


class Put(Operation):
    """Nobody waits for the message."""

    before: int = 2
    message: Any = "the victim's"

    def __init__(self) -> None:
        self.q = lightwork.Queue()
        self.old = list(range(self.before))
        for i in self.old:
            self.q.put(i)

    def act(self) -> None:
        self.q.put(self.message)

    def check(self) -> Verdict:
        self.q.put(LAST, timeout=BOUND)
        found = drain(self.q)
        if [m for m in found if m != self.message] != [*self.old, LAST]:
            print(f"  wrong order: {found}")  # and what follows counts it
            found.reverse()
        return judge(found, [*self.old, LAST], [self.message] * self.victims)


class PutText(Put):
    """In a block of its own."""

    message = "x" * 1000


class PutBuffer(Put):
    """With a large buffer beside it."""

    message = Buffer(b"x" * BUFFER)


class PutGrowing(Put):
    """The eight slots of the first segment are full."""

    before = 8


class PutToSleeper(Put):
    """A reader sleeps, and gets what there is."""

    before = 0

    def __init__(self) -> None:
        super().__init__()
        self.sleeper = Sleeper(lambda: drain(self.q))
        self.sleeper.until_asleep()

    def check(self) -> Verdict:
        self.q.put(LAST, timeout=BOUND)
        try:
            return judge(self.sleeper.result(), [LAST], [self.message] * self.victims)
        except TimeoutError:
            return Verdict(False, stuck=1)

    def end(self) -> None:
        self.sleeper.end()


class Get(Operation):
    """Three messages; the victim gets the first."""

    messages: tuple[Any, ...] = (0, 1, 2)
    before: int = 0

    def __init__(self) -> None:
        self.q = lightwork.Queue()
        for _ in range(self.before):
            self.q.put(None)
        for message in self.messages:
            self.q.put(message)
        for _ in range(self.before):
            self.q.get()

    def act(self) -> None:
        self.q.get()

    def check(self) -> Verdict:
        self.q.put(LAST, timeout=BOUND)
        taken, others = self.messages[: self.victims], self.messages[self.victims :]
        verdict = judge(drain(self.q), [*others, LAST], list(taken))
        verdict.effect = not verdict.effect
        return verdict


class GetText(Get):
    """In blocks of their own. A death between get.done and the freeing of the block loses that (`queue/README.md`)."""

    documented = SPAN
    messages = tuple(str(i) * 1000 for i in range(3))


class GetBuffer(Get):
    """With large buffers beside them; as for those in blocks of their own."""

    documented = SPAN
    messages = tuple(Buffer(bytes([i]) * BUFFER) for i in range(3))


class GetLeaving(Get):
    """The first segment has nothing left, and is left. A death between leave.3 and leave.4 loses it."""

    documented = SPAN

    before = 8


class GetShared(Get):
    """A shared array is on its way, and nobody else has it."""

    def __init__(self) -> None:
        self.messages = tuple(shared_block(i) for i in range(3))
        super().__init__()
        self.messages = tuple(bytes(memoryview(block)) for block in self.messages)


class PutToFull(Put):
    """A bounded queue is full, and the time-out ends the wait."""

    def __init__(self) -> None:
        self.q = lightwork.Queue(maxsize=2)
        self.old = [0, 1]
        for i in self.old:
            self.q.put(i)

    def act(self) -> None:
        try:
            self.q.put(self.message, timeout=SOON)
        except Full:
            pass

    def check(self) -> Verdict:
        first = self.q.get(timeout=BOUND)
        self.q.put(LAST, timeout=BOUND)
        return judge([first, *drain(self.q)], [*self.old, LAST], [])


class GetFromFull(Operation):
    """Another process waits for room in a bounded queue."""

    repeats = False

    def __init__(self) -> None:
        self.q = lightwork.Queue(maxsize=1)
        self.q.put(0)
        self.sleeper = Sleeper(lambda: self.q.put(LAST, timeout=2 * BOUND))
        self.sleeper.until_asleep()

    def act(self) -> None:
        self.q.get()

    def check(self) -> Verdict:
        verdict = judge(drain(self.q), [LAST], [0])
        verdict.effect = not verdict.effect
        return verdict

    def end(self) -> None:
        self.sleeper.end()


class GetNothing(Operation):
    """An empty queue, and the time-out ends the wait."""

    def __init__(self) -> None:
        self.q = lightwork.Queue()

    def act(self) -> None:
        try:
            self.q.get(timeout=SOON)
        except Empty:
            pass

    def check(self) -> Verdict:
        sleeper = Sleeper(lambda: drain(self.q))
        sleeper.until_asleep()
        self.q.put(LAST)
        try:
            return judge(sleeper.result(), [LAST], [])
        except TimeoutError:
            return Verdict(False, stuck=1)
        finally:
            sleeper.end()


class TaskDone(Operation):
    """The last of a JoinableQueue, and somebody waits in join()."""

    repeats = False

    def __init__(self) -> None:
        self.q = lightwork.JoinableQueue()
        self.q.put(None)
        self.q.get()
        self.sleeper = Sleeper(self.q.join)
        self.sleeper.until_asleep()

    def act(self) -> None:
        self.q.task_done()

    def check(self) -> Verdict:
        effect = False
        try:
            self.q.task_done()
        except ValueError:
            effect = True  # the victim's was counted
        try:
            self.sleeper.result()
        except TimeoutError:
            return Verdict(effect, stuck=1)
        return Verdict(effect)

    def end(self) -> None:
        self.sleeper.end()


# -- locks


class Acquire(Operation):
    """A free lock. It is taken if it was the dead one's for the next."""

    kind: str = "Lock"

    def __init__(self) -> None:
        self.lock = getattr(lightwork, self.kind)()

    def act(self) -> None:
        self.lock.acquire()

    def check(self) -> Verdict:
        if not self.lock.acquire(timeout=BOUND):
            return Verdict(False, stuck=1)
        effect = getattr(self.lock, "owner_died", False)
        self.lock.release()
        again = self.lock.acquire(timeout=BOUND)  # nothing of the death is left
        return Verdict(effect, stuck=int(not again or getattr(self.lock, "owner_died", False)))


class AcquireRLock(Acquire):
    kind = "RLock"


class AcquireSemaphore(Acquire):
    kind = "BoundedSemaphore"


class Release(Acquire):
    """The victim has the lock, another process sleeps in acquire()."""

    repeats = False

    def __init__(self) -> None:
        super().__init__()
        self.taken, self.asleep = lightwork.Event(), lightwork.Event()
        self.sleeper = Sleeper(self._acquires)

    def _acquires(self) -> bool:
        self.taken.wait()
        return bool(self.lock.acquire(timeout=BOUND))

    def ready(self) -> None:
        self.lock.acquire()
        self.taken.set()
        self.sleeper.until_asleep()

    def act(self) -> None:
        self.lock.release()

    def check(self) -> Verdict:
        try:
            had = self.sleeper.result()  # and it has ended without a release: one more take-over
        except TimeoutError:
            had = False
        verdict = super().check()
        return Verdict(False, stuck=verdict.stuck + (not had))

    def end(self) -> None:
        self.sleeper.end()


class ReleaseRLock(Release):
    kind = "RLock"


class ReleaseSemaphore(Release):
    kind = "BoundedSemaphore"


class AcquireTaken(Acquire):
    """The survivor has the lock, and the time-out ends the wait."""

    def __init__(self) -> None:
        super().__init__()
        self.lock.acquire()

    def act(self) -> None:
        self.lock.acquire(timeout=SOON)

    def check(self) -> Verdict:
        self.lock.release()
        return super().check()


class Signal(Operation):
    """A semaphore that one releases and another acquires."""

    def __init__(self) -> None:
        self.semaphore = lightwork.Semaphore(0)

    def act(self) -> None:
        self.semaphore.release()

    def check(self) -> Verdict:
        effect = self.semaphore.acquire(timeout=LATE)
        self.semaphore.release()
        return Verdict(effect, stuck=int(not self.semaphore.acquire(timeout=BOUND)))


class Notify(Operation):
    """Two processes wait in a Condition; the victim wakes one."""

    def __init__(self) -> None:
        self.condition = lightwork.Condition()
        self.sleepers = [Sleeper(self._waits) for _ in range(2)]
        for sleeper in self.sleepers:
            sleeper.until_asleep()

    def _waits(self) -> bool:
        with self.condition:
            return bool(self.condition.wait(2 * BOUND))

    def act(self) -> None:
        with self.condition:
            self.condition.notify()

    def check(self) -> Verdict:
        for _ in self.sleepers:
            with self.condition:
                self.condition.notify()
        stuck = 0
        for sleeper in self.sleepers:
            try:
                stuck += not sleeper.result()
            except TimeoutError:
                stuck += 1
        return Verdict(False, stuck=stuck)

    def end(self) -> None:
        for sleeper in self.sleepers:
            sleeper.end()


class WaitCondition(Operation):
    """The victim waits in a Condition, and the time-out ends that; then another waits."""

    def __init__(self) -> None:
        self.condition = lightwork.Condition()

    def act(self) -> None:
        with self.condition:
            self.condition.wait(SOON)

    def check(self) -> Verdict:
        with self.condition:
            pass  # else the sleeper may sleep for the dead one's lock, and come after the notification
        sleeper = Sleeper(self._waits)
        sleeper.until_asleep()
        with self.condition:
            self.condition.notify()
        try:
            return Verdict(False, stuck=int(not sleeper.result()))
        except TimeoutError:
            return Verdict(False, stuck=1)
        finally:
            sleeper.end()

    def _waits(self) -> bool:
        with self.condition:
            return bool(self.condition.wait(2 * BOUND))


class SetEvent(Operation):
    """A process waits for the event."""

    def __init__(self) -> None:
        self.event = lightwork.Event()
        self.sleeper = Sleeper(self.event.wait)
        self.sleeper.until_asleep()

    def act(self) -> None:
        self.event.set()

    def check(self) -> Verdict:
        effect = self.event.is_set()
        if not effect:
            self.event.set()
        try:
            self.sleeper.result()
        except TimeoutError:
            return Verdict(effect, stuck=1)
        return Verdict(effect)

    def end(self) -> None:
        self.sleeper.end()


class PassBarrier(Operation):
    """The victim is the last to come; the other goes on, or the barrier breaks."""

    repeats = False

    def __init__(self) -> None:
        self.barrier = lightwork.Barrier(2)
        self.sleeper = Sleeper(self._waits)
        self.sleeper.until_asleep()

    def _waits(self) -> str:
        try:
            return str(self.barrier.wait(2 * BOUND))
        except threading.BrokenBarrierError:
            return "broken"

    def act(self) -> None:
        self.barrier.wait()

    def check(self) -> Verdict:
        breaker = Sleeper(self._waits)  # comes in the victim's stead, if that had not come
        try:
            self.sleeper.result()
            stuck = 0
        except TimeoutError:
            stuck = 1
        breaker.end()
        self.barrier.reset()
        return Verdict(False, stuck=stuck)

    def end(self) -> None:
        self.sleeper.end()


class WaitBarrier(Operation):
    """The victim waits in a barrier, and the time-out breaks it."""

    def __init__(self) -> None:
        self.barrier = lightwork.Barrier(2)

    def act(self) -> None:
        try:
            self.barrier.wait(SOON)
        except threading.BrokenBarrierError:
            pass

    def check(self) -> Verdict:
        self.barrier.reset()
        sleeper = Sleeper(lambda: self.barrier.wait(2 * BOUND))
        try:
            self.barrier.wait(BOUND)
            sleeper.result()
            return Verdict(False)
        except (threading.BrokenBarrierError, TimeoutError):
            return Verdict(False, stuck=1)
        finally:
            sleeper.end()


# -- a pool's worker


class Worker(Operation):
    """Its native calls, in the order of `pool/_worker.py`. Each victim has a row of its own."""

    JOB = 7
    TASKS = (0, 1)

    def __init__(self) -> None:
        self.tasks, self.results, self.rows = _native.TaskQueue(), _native.TaskQueue(), _native.Rows(2)
        for index in self.TASKS:
            self.tasks.put(self.JOB, index, 0, b"", (1, 2))

    def take(self) -> None:
        self.tasks.take(self.rows, self.victims - 1)

    def indices(self, queue: _native.TaskQueue) -> list[int]:
        """Of the job's messages in the queue. Raises TimeoutError if it gives nothing at all."""
        queue.put(self.JOB + 1, 0, 0, b"", LAST)
        found: list[Any] = []
        while not any(job != self.JOB for job, *_ in found):
            if not queue.receive(found.append, BOUND):
                raise TimeoutError
        while queue.receive(found.append, LATE):
            pass
        return [index for job, index, *_ in found if job == self.JOB]

    def check(self) -> Verdict:
        rows = [self.rows.read(row) for row in range(2)]
        claimed = [index for job, index, *_ in rows if job == self.JOB]
        try:
            queued, replied = self.indices(self.tasks), self.indices(self.results)
        except TimeoutError:
            return Verdict(False, stuck=1)
        return Verdict(
            effect=bool(self.effect(claimed, replied)),
            lost=len({*self.TASKS} - {*claimed, *queued, *replied}),
            doubled=sum(len(found) - len(set(found)) for found in (queued, replied)),
        )

    def effect(self, claimed: list[int], replied: list[int]) -> list[int]:
        raise NotImplementedError


class Claim(Worker):
    """The worker takes a task."""

    def act(self) -> None:
        self.take()

    def effect(self, claimed: list[int], replied: list[int]) -> list[int]:
        return claimed


class Result(Worker):
    """The worker has a task and sends its outcome."""

    def ready(self) -> None:
        self.take()

    def act(self) -> None:
        self.results.reply(self.rows, self.victims - 1, 0, (3, 4))

    def effect(self, claimed: list[int], replied: list[int]) -> list[int]:
        return replied


OPERATIONS: dict[str, type[Operation]] = {
    "put": Put,
    "put-text": PutText,
    "put-buffer": PutBuffer,
    "put-growing": PutGrowing,
    "put-to-sleeper": PutToSleeper,
    "get": Get,
    "get-text": GetText,
    "get-buffer": GetBuffer,
    "get-leaving": GetLeaving,
    "get-shared": GetShared,
    "get-nothing": GetNothing,
    "put-to-full": PutToFull,
    "get-from-full": GetFromFull,
    "task-done": TaskDone,
    "acquire": Acquire,
    "acquire-rlock": AcquireRLock,
    "acquire-semaphore": AcquireSemaphore,
    "release": Release,
    "release-rlock": ReleaseRLock,
    "release-semaphore": ReleaseSemaphore,
    "acquire-taken": AcquireTaken,
    "signal": Signal,
    "notify": Notify,
    "wait-condition": WaitCondition,
    "set-event": SetEvent,
    "pass-barrier": PassBarrier,
    "wait-barrier": WaitBarrier,
    "claim": Claim,
    "result": Result,
}
