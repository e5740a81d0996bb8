"""Every exception of Lightwork, each also a subclass of what the standard library raises in its place.

LightworkError
├── WorkerDied      (BrokenProcessPool)   a process ended without giving its result
├── PoolBroken      (BrokenProcessPool)   a pool that cannot go on, e.g. its initializer raised
├── TaskTimeout     (both TimeoutErrors)  the time given to a task or process is over
├── TaskCancelled   (CancelledError)      the task was cancelled
├── OwnerDied       (RuntimeError)        a lock made with on_owner_death="raise" was left by a dead holder
├── ForeignHandle   (RuntimeError)        a handle from another family of processes, or of something dropped
├── ArenaFull       (MemoryError)         shared memory or its budget is used up
└── Unshippable     (PicklingError)       a result or exception that cannot be sent

OwnerDiedWarning    (RuntimeWarning)      a lock was taken over from a process that died holding it
RemoteTraceback     (Exception)           only ever the cause of another exception: its text is the remote traceback

Both TimeoutErrors: the built-in one and `multiprocessing.TimeoutError`, which is another class.
"""

from __future__ import annotations

import multiprocessing.context
import traceback
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from pickle import PicklingError

__all__ = [
    "ArenaFull",
    "ForeignHandle",
    "LightworkError",
    "OwnerDied",
    "OwnerDiedWarning",
    "PoolBroken",
    "RemoteTraceback",
    "TaskCancelled",
    "TaskTimeout",
    "Unshippable",
    "WorkerDied",
]


class LightworkError(Exception):
    """The root of the tree."""


class WorkerDied(LightworkError, BrokenProcessPool):
    """A process ended without giving its result.

    Attributes: `pid`, `exitcode` (negative: the signal that killed it), and `peak_memory` (bytes, the most it had
    resident), where known.
    """

    def __init__(
        self,
        message: str = "",
        *,
        pid: int | None = None,
        exitcode: int | None = None,
        peak_memory: int | None = None,
    ) -> None:
        super().__init__(message)
        self.pid = pid
        self.exitcode = exitcode
        self.peak_memory = peak_memory

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_worker_died, (type(self), str(self), self.pid, self.exitcode, self.peak_memory))


def _rebuild_worker_died(
    cls: type[WorkerDied], message: str, pid: int | None, exitcode: int | None, peak_memory: int | None
) -> WorkerDied:
    return cls(message, pid=pid, exitcode=exitcode, peak_memory=peak_memory)


class PoolBroken(LightworkError, BrokenProcessPool):
    """The pool cannot go on; the cause says why."""


class TaskTimeout(LightworkError, TimeoutError, multiprocessing.context.TimeoutError):
    """The time given to a task or process is over."""


class TaskCancelled(LightworkError, CancelledError):
    """The task was cancelled."""


class OwnerDied(LightworkError, RuntimeError):
    """The process that held the lock died; the lock is free again, what it guards may be half changed."""


class ForeignHandle(LightworkError, RuntimeError):
    """A handle that names nothing in this family of processes."""


class ArenaFull(LightworkError, MemoryError):
    """Shared memory, or the budget set for it, is used up.

    `fits`: it is not larger than the budget, so there will be room for it when others let go of theirs.
    """

    fits = False


class Unshippable(LightworkError, PicklingError):
    """Something that cannot be sent to another process."""


class OwnerDiedWarning(RuntimeWarning):
    """A lock was taken over from a process that died holding it: what it guards may be half changed."""


class RemoteTraceback(Exception):
    """The cause of an exception that was raised in another process."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def formatted(exc: BaseException) -> str:
    """The traceback of an exception as text, as the interpreter would print it."""
    return "".join(traceback.format_exception(type(exc), exc, exc.__traceback__))


def summary(exc: BaseException) -> str:
    """The type and text of an exception in one line."""
    try:
        text = str(exc)
    except Exception:
        text = "its text cannot be had"
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
