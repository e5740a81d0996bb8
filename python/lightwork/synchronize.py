"""Locks, semaphores, conditions, events and barriers: the Python faces of the core's cells.

They differ from the stdlib's in three ways: they cost a few dozen bytes and no file or semaphore; they may be pickled
at any time and sent anywhere in the family; and none of them is left waiting by a process that died.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from multiprocessing import process
from multiprocessing.context import BaseContext
from typing import Any

from . import _native
from .reduction import SharedCell

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]

SEM_VALUE_MAX = _native.Semaphore.VALUE_MAX


def _me() -> str:
    """The name that a lock's repr gives the calling thread."""
    name = process.current_process().name
    thread = threading.current_thread().name
    return name if thread == "MainThread" else f"{name}|{thread}"


class Lock(SharedCell, _native.Lock):
    """A lock for one holder; any process or thread may release it.

    If its holder dies, the next to acquire it takes it over with an `OwnerDiedWarning`; `owner_died` is True until it
    is released. With `on_owner_death="raise"` the acquire raises `OwnerDied` instead and leaves the lock free.
    """

    def __init__(self, *, ctx: BaseContext | None, on_owner_death: str = "warn") -> None:
        super().__init__()

    def __repr__(self) -> str:
        if not self.locked():
            owner = "None"
        elif self._is_mine():
            owner = _me()
        else:
            owner = "SomeOtherThread" if self._held_by_this_process() else "SomeOtherProcess"
        return f"<{type(self).__name__}(owner={owner})>"


class RLock(SharedCell, _native.Lock):
    """A lock that the thread which holds it may take again; only that thread may release it.

    The death of its holder is handled as for `Lock`.
    """

    _RECURSIVE = True

    def __init__(self, *, ctx: BaseContext | None, on_owner_death: str = "warn") -> None:
        super().__init__()

    def __repr__(self) -> str:
        if not self.locked():
            who = "None, 0"
        elif self._is_mine():
            who = f"{_me()}, {self._depth()}"
        else:
            who = "SomeOtherThread, nonzero" if self._held_by_this_process() else "SomeOtherProcess, nonzero"
        return f"<{type(self).__name__}({who})>"


class Semaphore(SharedCell, _native.Semaphore):
    """A counter that waits at zero. What a process holds of it when it dies comes back.

    Raises ValueError for an initial value below 0 or above `SEM_VALUE_MAX`.
    """

    def __init__(self, value: int = 1, *, ctx: BaseContext | None) -> None:
        super().__init__()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()})>"

    def locked(self) -> bool:
        """Would `acquire` have to wait now?"""
        return self.get_value() == 0

    @property
    def _semlock(self) -> Semaphore:
        """The stdlib's own queues (concurrent.futures has one) ask this for its value."""
        return self

    def _get_value(self) -> int:
        return self.get_value()

    def _is_zero(self) -> bool:
        return self.get_value() == 0


class BoundedSemaphore(Semaphore):
    """A semaphore that refuses (ValueError) to be released past its initial value."""

    _BOUNDED = True

    def __init__(self, value: int = 1, *, ctx: BaseContext | None) -> None:
        super().__init__(value, ctx=ctx)
        self._maxvalue = value

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()}, maxvalue={self._maxvalue})>"


class _WaitList(SharedCell, _native.WaitList):
    """The waiters of a Condition, in the order of their coming."""


class _Count:
    """A number where the stdlib's Condition has a semaphore, for CPython's own tests."""

    def __init__(self, value: int) -> None:
        self._value = value

    def get_value(self) -> int:
        return self._value


class Condition:
    """A condition over a Lock or RLock (default: a new RLock).

    `notify` wakes the longest waiting of those who live: none is spent on a waiter that was killed.
    """

    def __init__(self, lock: Lock | RLock | None = None, *, ctx: BaseContext) -> None:
        self._lock: Any = ctx.RLock() if lock is None else lock
        self._waiters = _WaitList()
        self._bind()

    def _bind(self) -> None:
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __getstate__(self) -> tuple[Any, ...]:
        return self._lock, self._waiters

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._lock, self._waiters = state
        self._bind()

    def __enter__(self) -> bool:
        return self._lock.__enter__()  # type: ignore[no-any-return]

    def __exit__(self, *args: object) -> None:
        self._lock.__exit__(*args)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._lock}, {self._waiters.waiting()})>"

    # What CPython's own tests look at. The stdlib's has sleepers that were woken and are not up yet, and wake-ups that
    # nobody has taken; here whoever is woken is off the list, so both are always 0.
    _woken_count = _wait_semaphore = _Count(0)

    @property
    def _sleeping_count(self) -> _Count:
        return _Count(self._waiters.waiting())

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait to be notified (at most `timeout` seconds), take the lock again.

        Returns False if the time was over first. Raises AssertionError if the caller does not hold the lock.
        """
        if isinstance(self._lock, (Lock, RLock)):
            assert self._lock._is_mine(), "must acquire() condition before using wait()"
            return self._waiters.wait_with(self._lock, timeout)
        return self._waiters.wait_with_other(self._lock, timeout)

    def notify(self, n: int = 1) -> None:
        """Wake up to `n` waiters. Raises AssertionError if the caller does not hold the lock."""
        assert not isinstance(self._lock, (Lock, RLock)) or self._lock._is_mine(), "lock is not owned"
        self._waiters.notify(min(max(n, 0), SEM_VALUE_MAX))

    def notify_all(self) -> None:
        """Wake all waiters. Raises AssertionError if the caller does not hold the lock."""
        self.notify(SEM_VALUE_MAX)

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until `predicate()` is true, at most `timeout` seconds; returns its last value."""
        result = predicate()
        if result:
            return result
        end = None if timeout is None else time.monotonic() + timeout
        while not result:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result


class Event(SharedCell, _native.Event):
    """A flag that processes wait for. A waiter that was killed never delays `set()`."""

    def __init__(self, *, ctx: BaseContext | None) -> None:
        super().__init__()

    def __repr__(self) -> str:
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__qualname__} at {id(self):#x} {state}>"


#: What may have broken a barrier, where it is not known.
_BREAKERS = "by abort(), a party's time-out, a failed action, or the death of a process that waited"


class Barrier(SharedCell, _native.Barrier):
    """A meeting of `parties` threads or processes; `action` runs in the last to arrive, before all go on.

    Raises ValueError for fewer than one party. If a process dies while others wait with it, the barrier breaks: they
    get `threading.BrokenBarrierError`.
    """

    def __init__(
        self,
        parties: int,
        action: Callable[[], Any] | None = None,
        timeout: float | None = None,
        *,
        ctx: BaseContext | None,
    ) -> None:
        super().__init__()
        self._action = action
        self._timeout = timeout

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties have arrived; returns this one's number, from 0 to parties - 1.

        Raises `threading.BrokenBarrierError` if the barrier is or gets broken: by `abort()`, by `reset()`, by the death
        of a process that waits, by a time-out (seconds) or a failing action of anyone. Its text says which, as far as
        that is known here.
        """
        if timeout is None:
            timeout = self._timeout
        start = time.monotonic()
        index, broke = self._meet(self._action or None, timeout)
        if broke is None:
            return index
        raise threading.BrokenBarrierError(self._what_broke_it(broke, timeout, time.monotonic() - start))

    def _what_broke_it(self, broke: str, timeout: float | None, waited: float) -> str:
        if broke == "before":
            return f"the barrier was broken before: {_BREAKERS}; reset() makes it whole"
        if broke == "action":
            return f"the barrier broke while the action ran: {_BREAKERS}"
        if not self.broken:
            return "the barrier was reset while this party waited in it"
        if timeout is not None and waited >= timeout:
            return f"not all {self.parties} parties came within {timeout} s, which breaks the barrier"
        return f"the barrier broke while this party waited in it: {_BREAKERS}"

    def __repr__(self) -> str:
        state = "broken" if self.broken else f"waiters={self.n_waiting}/{self.parties}"
        return f"<{type(self).__qualname__} at {id(self):#x}: {state}>"
