"""Operations of queues. A message may be had by one reader, once."""

from __future__ import annotations

import array
import pickle
from queue import Empty, Full
from typing import Any

from operation import BOUND, LAST, LATE, SOON, SPAN, Operation, Sleeper, Verdict

import lightwork
from lightwork import _native
from lightwork.reduction import SharedBlock

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
        verdict = judge(found, [*self.old, LAST], [self.message] * self.victims)
        if not verdict.lost and not verdict.doubled and [m for m in found if m != self.message] != [*self.old, LAST]:
            raise AssertionError(f"the order is {found}")
        return verdict


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
