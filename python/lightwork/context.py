"""The only place that chooses how children start: fork, spawn or forkserver."""

# Our primitives take the places of the stdlib's without deriving from them.
# mypy: disable-error-code="override"

from __future__ import annotations

import multiprocessing.context as _stdlib
import sys
from collections.abc import Callable, Iterable
from multiprocessing.context import (  # noqa: F401 - part of the stdlib's module
    AuthenticationError,
    BufferTooShort,
    ProcessError,
    TimeoutError,
    assert_spawning,
    get_spawning_popen,
    set_spawning_popen,
)
from typing import TYPE_CHECKING, Any

from . import process

if TYPE_CHECKING:
    from . import managers, pool, queues, synchronize

__all__ = ["AuthenticationError", "BaseContext", "BufferTooShort", "Process", "ProcessError", "TimeoutError"]


class BaseContext(_stdlib.BaseContext):
    """The stdlib's context with our primitives: what it does not override here is the stdlib's own."""

    def Manager(self) -> managers.SyncManager:
        """A started manager: objects that live in a process of their own."""
        from .managers import SyncManager

        m = SyncManager(ctx=self.get_context())
        m.start()
        return m

    def Lock(self, *, on_owner_death: str = "warn") -> synchronize.Lock:
        """A lock for one holder; `on_owner_death`: "warn" or "raise" when it is taken over from a dead one."""
        from .synchronize import Lock

        return Lock(ctx=self.get_context(), on_owner_death=on_owner_death)

    def RLock(self, *, on_owner_death: str = "warn") -> synchronize.RLock:
        """A lock that its holder may take again; `on_owner_death` as for Lock."""
        from .synchronize import RLock

        return RLock(ctx=self.get_context(), on_owner_death=on_owner_death)

    def Condition(self, lock: Any = None) -> synchronize.Condition:
        """A condition over `lock` (default: a new RLock)."""
        from .synchronize import Condition

        return Condition(lock, ctx=self.get_context())

    def Semaphore(self, value: int = 1) -> synchronize.Semaphore:
        """A counter that waits at zero."""
        from .synchronize import Semaphore

        return Semaphore(value, ctx=self.get_context())

    def BoundedSemaphore(self, value: int = 1) -> synchronize.BoundedSemaphore:
        """A semaphore that refuses to pass its initial value."""
        from .synchronize import BoundedSemaphore

        return BoundedSemaphore(value, ctx=self.get_context())

    def Event(self) -> synchronize.Event:
        """A flag to wait for."""
        from .synchronize import Event

        return Event(ctx=self.get_context())

    def Barrier(
        self, parties: int, action: Callable[[], Any] | None = None, timeout: float | None = None
    ) -> synchronize.Barrier:
        """A meeting of `parties`."""
        from .synchronize import Barrier

        return Barrier(parties, action, timeout, ctx=self.get_context())

    def Queue(self, maxsize: int = 0) -> queues.Queue:
        """A first-in first-out queue."""
        from .queues import Queue

        return Queue(maxsize, ctx=self.get_context())

    def JoinableQueue(self, maxsize: int = 0) -> queues.JoinableQueue:
        """A queue with `task_done()` and `join()`."""
        from .queues import JoinableQueue

        return JoinableQueue(maxsize, ctx=self.get_context())

    def SimpleQueue(self) -> queues.SimpleQueue:
        """A queue without limits or time-outs."""
        from .queues import PipeQueue, SimpleQueue

        if sys._getframe(1).f_globals.get("__name__") == "concurrent.futures.process":
            return PipeQueue(ctx=self.get_context())  # type: ignore[return-value]  # see there
        return SimpleQueue(ctx=self.get_context())

    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., Any] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        *,
        backend: str = "processes",
        timeout: float | None = None,
        retries: int = 0,
        memory_limit: int | None = None,
        warm_start: bool = False,
    ) -> pool.Pool:
        """A pool of worker processes: see `lightwork.pool.Pool`.

        `backend`: "processes"; "threads", a `lightwork.pool.ThreadPool`; "serial", which makes each call at once in the
        caller's thread, for debugging; or "auto", whose maps choose among these: `lightwork.pool.AutoPool`. Raises
        ValueError for another one.
        """
        from .pool import make_pool

        return make_pool(
            backend,
            processes,
            initializer,
            initargs,
            maxtasksperchild,
            self.get_context(),
            timeout=timeout,
            retries=retries,
            memory_limit=memory_limit,
            warm_start=warm_start,
        )

    def RawValue(self, typecode_or_type: Any, *args: Any) -> Any:
        """A ctypes object in shared memory, without a lock."""
        from .sharedctypes import RawValue

        return RawValue(typecode_or_type, *args)

    def RawArray(self, typecode_or_type: Any, size_or_initializer: Any) -> Any:
        """A ctypes array in shared memory, without a lock."""
        from .sharedctypes import RawArray

        return RawArray(typecode_or_type, size_or_initializer)

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> Any:
        """A ctypes object in shared memory with a lock and atomic operations."""
        from .sharedctypes import Value

        return Value(typecode_or_type, *args, lock=lock, ctx=self.get_context())

    def Array(self, typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True) -> Any:
        """A ctypes array in shared memory with a lock."""
        from .sharedctypes import Array

        return Array(typecode_or_type, size_or_initializer, lock=lock, ctx=self.get_context())

    def get_context(self, method: str | None = None) -> BaseContext:
        """The context of a start method: "fork", "spawn" or "forkserver" (None: this one's).

        Raises ValueError for an unknown method.
        """
        if method is None:
            return self
        try:
            return _contexts[method]
        except KeyError:
            raise ValueError(f"cannot find context for {method!r}: it is one of {', '.join(_contexts)}") from None


class Process(process.BaseProcess):
    """A process started by the default context's method."""

    _start_method: str | None = None

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        return _default_context.get_context().Process._Popen(process_obj)  # type: ignore[attr-defined]

    @staticmethod
    def _after_fork() -> None:
        _default_context.get_context().Process._after_fork()  # type: ignore[attr-defined]


class ForkProcess(process.BaseProcess):
    _start_method = "fork"

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from .launch import ForkPopen

        return ForkPopen(process_obj)


class SpawnProcess(process.BaseProcess):
    _start_method = "spawn"

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from .launch import SpawnPopen

        return SpawnPopen(process_obj)

    @staticmethod
    def _after_fork() -> None:
        """Not forked: nothing to mend."""


class ForkServerProcess(process.BaseProcess):
    _start_method = "forkserver"

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from .launch import ForkServerPopen

        return ForkServerPopen(process_obj)


class ForkContext(BaseContext):
    _name = "fork"
    Process = ForkProcess


class SpawnContext(BaseContext):
    _name = "spawn"
    Process = SpawnProcess


class ForkServerContext(BaseContext):
    _name = "forkserver"
    Process = ForkServerProcess


_contexts: dict[str, BaseContext] = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}


class DefaultContext(BaseContext):
    """The context behind the package's own functions: its start method is chosen once, at the first need or before."""

    Process = Process

    def __init__(self, method: str) -> None:
        self._default = method
        self._chosen: str | None = None

    def get_context(self, method: str | None = None) -> BaseContext:
        """The context of a start method (None: the chosen one). Raises ValueError for an unknown method."""
        return super().get_context(self.get_start_method() if method is None else method)

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Choose the start method of the package's own functions.

        Raises RuntimeError if it was chosen before (unless `force`), ValueError for an unknown method.
        """
        if self._chosen is not None and not force:
            raise RuntimeError("context has already been set")
        if method is not None:
            super().get_context(method)
        elif not force:
            raise ValueError("set_start_method() needs a method: 'fork', 'spawn' or 'forkserver'")
        self._chosen = method

    def get_start_method(self, allow_none: bool = False) -> str | None:
        """The start method; chooses the default one if none was chosen, unless `allow_none`."""
        if self._chosen is None and not allow_none:
            self._chosen = self._default
        return self._chosen

    def get_all_start_methods(self) -> list[str]:
        """The start methods, the default one first."""
        return sorted(_contexts, key=lambda m: m != self._default)


# The running Python's own default (fork until 3.13, forkserver from 3.14 on).
_default_context = DefaultContext(_stdlib._default_context.get_all_start_methods()[0])


def get_context(method: str | None = None) -> BaseContext:
    """The context of a start method (None: the default one). Raises ValueError for an unknown method."""
    return _default_context.get_context(method)


def set_start_method(method: str | None, force: bool = False) -> None:
    """See `DefaultContext.set_start_method`."""
    _default_context.set_start_method(method, force)


def force_start_method(method: str | None) -> None:
    """In a child: the method that it was started by is its own, too (None: leave it)."""
    if method is not None:
        set_start_method(method, force=True)


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
