"""Operations of locks, semaphores, conditions, events and barriers. Nobody may wait for the dead."""

from __future__ import annotations

import threading

from operation import BOUND, LATE, SOON, Operation, Sleeper, Verdict

import lightwork


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
        self.taken = lightwork.Event()
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
