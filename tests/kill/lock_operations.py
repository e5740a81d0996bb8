"""What processes wait for: whoever comes next has it, and is told of a death where that is promised."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

from actor import LIMIT, Actor, Note
from operation import Faults, Operation

import lightwork
from lightwork.errors import OwnerDiedWarning

fork: Any = lightwork.get_context("fork")


class OfLock(Operation):
    kind: ClassVar[str] = "Lock"

    def prepare(self) -> None:
        self.lock = getattr(fork, self.kind)()

    def act(self, note: Note) -> None:
        for _ in range(2):
            with self.lock:
                pass

    def take(self, note: Callable[..., None]) -> None:
        """Had at the next try, and with a warning if, and only if, the dead one had it."""
        held = self.lock.locked()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if not self.lock.acquire(timeout=LIMIT / 2):
                note("stuck", "the lock was not to be had")
                return
        warned = any(w.category is OwnerDiedWarning for w in caught)
        if warned != held or self.lock.owner_died != held:
            note("wrong", f"held by the dead: {held}, warned: {warned}, owner_died: {self.lock.owner_died}")
        self.lock.release()

    def recover(self, note: Note) -> None:
        self.take(note)

    def judge(self, actors: dict[str, Actor]) -> Faults:
        faults: Faults = [
            (word, what) for a in actors.values() for word in ("stuck", "wrong") for what in a.noted(word)
        ]
        self.take(lambda *fault: faults.append(fault))
        if self.lock.locked():
            faults.append(("wrong", "the lock is held"))
        return faults


class Lock(OfLock):
    name = "Lock"


class RLock(OfLock):
    name = "RLock"
    kind = "RLock"

    def act(self, note: Note) -> None:
        with self.lock, self.lock:
            pass


class WaitForLock(OfLock):
    """Two wait for a lock; the victim is one of them."""

    name = "Lock, waiting"
    has_bystander = True

    def prepare(self) -> None:
        super().prepare()
        self.lock.acquire()

    def bystander(self, note: Note) -> None:
        self.act(note)

    def meanwhile(self, victim: Actor) -> None:
        victim.until_asleep_or_ended()
        self.lock.release()

    def recover(self, note: Note) -> None:
        if not self.lock.acquire(timeout=LIMIT / 2):
            note("stuck", "the lock was not to be had")
        self.lock.release()


class WaitForRLock(WaitForLock):
    name = "RLock, waiting"
    kind = "RLock"


class Value(Operation):
    name = "Value"

    def prepare(self) -> None:
        self.value = fork.Value("i", 0)

    def act(self, note: Note) -> None:
        self.value.value = 1
        with self.value.get_lock():
            self.value.value += 1
        self.value += 1
        self.value.add(1)

    def recover(self, note: Note) -> None:
        self.value.value = 7
        with self.value:
            note("value", self.value.value)

    def judge(self, actors: dict[str, Actor]) -> Faults:
        return [] if actors["third"].noted("value") == [7] else [("wrong", f"a value of {self.value.value}")]


class Semaphore(Operation):
    """What a dead process held comes back."""

    name = "Semaphore"
    ROOM = 2

    def prepare(self) -> None:
        self.semaphore = fork.BoundedSemaphore(self.ROOM)

    def act(self, note: Note) -> None:
        with self.semaphore, self.semaphore:
            pass

    def recover(self, note: Note) -> None:
        for _ in range(self.ROOM):
            if not self.semaphore.acquire(timeout=LIMIT / 3):
                note("lost", "what the dead held has not come back")
        for _ in range(self.ROOM):
            self.semaphore.release()

    def judge(self, actors: dict[str, Actor]) -> Faults:
        faults: Faults = [("lost", what) for what in actors["third"].noted("lost")]
        if self.semaphore.get_value() != self.ROOM:
            faults.append(("wrong", f"a value of {self.semaphore.get_value()}, not {self.ROOM}"))
        return faults


class Signals(Operation):
    """A semaphore as a signal: no death gives or takes one."""

    name = "Semaphore, as a signal"

    def prepare(self) -> None:
        self.semaphore = fork.Semaphore(0)

    def act(self, note: Note) -> None:
        for _ in range(3):
            self.semaphore.release()

    def recover(self, note: Note) -> None:
        self.semaphore.release()
        self.semaphore.acquire()
        count = 0
        while self.semaphore.acquire(timeout=0.02):  # looks after the dead when there are no more
            count += 1
        for _ in range(count):
            self.semaphore.release()

    def judge(self, actors: dict[str, Actor]) -> Faults:
        def times(what: str) -> int:
            return sum(actor.passages.get(f"cells.{what}.commit", 0) for actor in actors.values())

        due = times("release") - times("acquire")
        value = self.semaphore.get_value()
        if value != due:
            return [("lost" if value < due else "doubled", f"{value} signals, not {due}")]
        return []


class Fold(Signals):
    """The victim finds what an earlier one has signalled before it ended."""

    name = "Semaphore, signals of the dead"

    def prepare(self) -> None:
        super().prepare()
        self.earlier = Actor(super().act)
        self.earlier.wait()

    def act(self, note: Note) -> None:
        self.recover(note)

    def judge(self, actors: dict[str, Actor]) -> Faults:
        return super().judge({**actors, "earlier": self.earlier})


class WaitForSemaphore(Operation):
    name = "Semaphore, waiting"
    has_bystander = True

    def prepare(self) -> None:
        self.semaphore = fork.Semaphore(1)
        self.semaphore.acquire()

    def act(self, note: Note) -> None:
        with self.semaphore:
            pass

    def meanwhile(self, victim: Actor) -> None:
        victim.until_asleep_or_ended()
        self.semaphore.release()

    recover = bystander = act

    def judge(self, actors: dict[str, Actor]) -> Faults:
        if not self.semaphore.acquire(timeout=LIMIT / 2):
            return [("lost", "what the dead held has not come back")]
        self.semaphore.release()
        return []


class Notify(Operation):
    name = "Condition.notify"
    has_bystander = True

    def prepare(self) -> None:
        self.condition = fork.Condition()

    def act(self, note: Note) -> None:
        with self.condition:
            self.condition.notify()

    def recover(self, note: Note) -> None:
        with self.condition:
            self.condition.notify()

    def bystander(self, note: Note) -> None:
        with self.condition:
            note("told", self.condition.wait(2 * LIMIT))

    def judge(self, actors: dict[str, Actor]) -> Faults:
        return [] if actors["bystander"].noted("told") == [True] else [("lost", "nobody was told")]


class WaitForCondition(Notify):
    name = "Condition.wait"

    def act(self, note: Note) -> None:
        with self.condition:
            self.condition.wait(LIMIT)
            self.condition.wait(0.01)

    def meanwhile(self, victim: Actor) -> None:
        victim.until_asleep_or_ended()
        if victim.has_ended():
            return  # who comes next finds the dead one among those who wait
        with self.condition:
            self.condition.notify_all()


class SetEvent(Operation):
    name = "Event.set"
    has_bystander = True

    def prepare(self) -> None:
        self.event = fork.Event()

    def act(self, note: Note) -> None:
        self.event.set()
        self.event.clear()

    def recover(self, note: Note) -> None:
        self.event.clear()
        self.event.set()
        self.event.wait()

    def bystander(self, note: Note) -> None:
        self.event.wait()


class WaitForEvent(SetEvent):
    name = "Event.wait"

    def act(self, note: Note) -> None:
        self.event.wait()

    def meanwhile(self, victim: Actor) -> None:
        victim.until_asleep_or_ended()
        self.event.set()


class Barrier(Operation):
    """Who waits with a dead one gets BrokenBarrierError; made whole again, the barrier works."""

    name = "Barrier, last"
    has_bystander = True
    action: Any = None

    def prepare(self) -> None:
        self.barrier = fork.Barrier(2, self.action)

    def meet(self, note: Callable[..., None], timeout: float | None = None) -> None:
        try:
            self.barrier.wait(timeout)
            note("met")
        except threading.BrokenBarrierError:
            note("broken")

    def act(self, note: Note) -> None:
        self.meet(note)

    def recover(self, note: Note) -> None:
        self.meet(note, 0.2)
        self.barrier.reset()

    def bystander(self, note: Note) -> None:
        self.meet(note)

    def judge(self, actors: dict[str, Actor]) -> Faults:
        self.barrier.reset()
        other = Actor(self.bystander)
        other.until_asleep_or_ended()
        mine: list[Any] = []
        self.meet(lambda *what: mine.append(what), LIMIT)
        other.wait()
        met = mine == [("met",)] and other.notes == [("met",)]
        return [] if met else [("wrong", f"a whole barrier: {mine}, {other.notes}")]


class FirstAtBarrier(Barrier):
    name = "Barrier, first"
    has_bystander = False

    def act(self, note: Note) -> None:
        self.meet(note, LIMIT)

    def meanwhile(self, victim: Actor) -> None:
        victim.until_asleep_or_ended()
        self.meet(lambda *what: None, 0.3)


class TimeOutAtBarrier(Barrier):
    name = "Barrier, time-out"

    def prepare(self) -> None:
        self.barrier = fork.Barrier(3)

    def act(self, note: Note) -> None:
        self.meet(note, 0.01)

    def judge(self, actors: dict[str, Actor]) -> Faults:
        return []


class DesertedBarrier(Barrier):
    """One waits for two others, and dies: the next finds the barrier broken, or breaks it, and none waits in vain."""

    name = "Barrier, deserted"
    has_bystander = False  # who waits finds the dead, too: it would be faster than the recoverer

    def prepare(self) -> None:
        self.barrier = fork.Barrier(3)

    def act(self, note: Note) -> None:
        self.meet(note, 0.05)

    def after(self, victim: Actor) -> None:
        self.arrived = "cells.enter.commit" in victim.passages

    def recover(self, note: Note) -> None:
        self.meet(note, None if self.arrived else 0.2)

    def judge(self, actors: dict[str, Actor]) -> Faults:
        return []


class FailAtBarrier(Barrier):
    name = "Barrier, action fails"

    def action(self) -> None:
        if not self.fails:
            return
        raise ValueError

    def prepare(self) -> None:
        self.fails = True
        super().prepare()

    def act(self, note: Note) -> None:
        try:
            self.meet(note)
        except ValueError:
            note("failed")

    def recover(self, note: Note) -> None:
        self.fails = False
        super().recover(note)

    def judge(self, actors: dict[str, Actor]) -> Faults:
        self.fails = False
        return super().judge(actors)

    def drop(self) -> None:
        self.barrier._action = None  # which is ours: a circle
        super().drop()


OPERATIONS = [
    Lock,
    RLock,
    WaitForLock,
    WaitForRLock,
    Value,
    Semaphore,
    Signals,
    Fold,
    WaitForSemaphore,
    Notify,
    WaitForCondition,
    SetEvent,
    WaitForEvent,
    Barrier,
    FirstAtBarrier,
    TimeOutAtBarrier,
    DesertedBarrier,
    FailAtBarrier,
]
