"""Queue, JoinableQueue and SimpleQueue over the core's ring.

`put` returns when the object is visible to every reader: there is no feeder thread. So `join()` before `get()` cannot
deadlock, `get_nowait()` right after `put()` succeeds, a later change of the object is not sent, and an object that
cannot be pickled raises in `put`.
"""

from __future__ import annotations

import multiprocessing.queues as _stdlib
import os
import threading
import weakref
from collections.abc import Iterable
from functools import cached_property
from multiprocessing.context import BaseContext
from queue import Empty, Full
from types import GenericAlias
from typing import Any

from . import _native
from ._install import installed
from .reduction import SharedCell

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue"]


#: The stdlib's classes, whatever `install()` binds to their names.
_STDLIB = {name: getattr(_stdlib, name) for name in ("Queue", "JoinableQueue", "SimpleQueue")}


class _QueueType(type):
    """Under `install()`, a subclass that is written for the innards of the stdlib's class gets that class as its base.

    Such are those that bring their own `__setstate__` (loky's queues do), and the call queue of `concurrent.futures`:
    told of an object that cannot be pickled by the thread that puts it, not by a feeder, it may wait for that thread.
    """

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> type:
        theirs = "__setstate__" in namespace or namespace.get("__module__") == "concurrent.futures.process"
        if theirs and installed():
            bases = tuple(_STDLIB.get(b.__name__, b) if isinstance(b, _QueueType) else b for b in bases)
            return type(name, bases, namespace, **kwargs)
        return super().__new__(mcls, name, bases, namespace, **kwargs)


class _Doorbell:
    """An eventfd that is readable while a queue has messages, for selectors, asyncio and `connection.wait`.

    Rung by a daemon thread, which exists only for queues whose `fileno()` was asked for, in the process that asked. It
    ends within a second after the queue is dropped or closed here.
    """

    def __init__(self, queue: Queue | SimpleQueue) -> None:
        self.pid = os.getpid()
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._rung = False
        self._silent = threading.Condition()
        self._queue = weakref.ref(queue)
        threading.Thread(target=self._serve, name="lightwork-doorbell", daemon=True).start()

    def _serve(self) -> None:
        try:
            while self._ring():
                with self._silent:
                    self._silent.wait_for(lambda: not self._rung, 1)
        finally:
            os.close(self.fd)

    def _ring(self) -> bool:
        """Ring if a message comes within a second; False if there is nobody to ring for any more."""
        queue = self._queue()
        if queue is None or queue._closed:
            return False
        if not self._rung and queue._wait_for_message(1):
            with self._silent:
                # Taken since: the next round waits for another.
                if queue._wait_for_message(0):
                    os.eventfd_write(self.fd, 1)
                    self._rung = True
        return True

    def taken(self) -> None:
        """A message was taken, or there was none: silent if none is left."""
        queue = self._queue()
        with self._silent:
            if self._rung and queue is not None and not queue._wait_for_message(0):
                os.eventfd_read(self.fd)
                self._rung = False
                self._silent.notify()


class _Reader:
    """What the stdlib's `_reader` is to others: something to wait for and to receive from."""

    def __init__(self, queue: Queue | SimpleQueue) -> None:
        self._queue = queue

    def fileno(self) -> int:
        return self._queue.fileno()

    def recv(self) -> Any:
        return self._queue.get()

    def poll(self, timeout: float | None = 0.0) -> bool:
        return self._queue._wait_for_message(timeout)

    def close(self) -> None:
        """Nothing to close: the queue has no pipe."""

    @property
    def closed(self) -> bool:
        return self._queue._closed


class _Writer:
    """What the stdlib's `_writer` is to others."""

    def __init__(self, queue: Queue | SimpleQueue) -> None:
        self._queue = queue

    def send(self, obj: object) -> None:
        self._queue.put(obj)

    def close(self) -> None:
        """Nothing to close: the queue has no pipe."""

    @property
    def closed(self) -> bool:
        return self._queue._closed


class _Waitable:
    """`fileno()` and the stdlib's pipe ends, for both kinds of queue."""

    _bell: _Doorbell | None = None

    def fileno(self) -> int:
        """A descriptor that is readable while the queue has messages, in this process. Take messages with this
        object.
        """
        bell = self._bell
        if bell is None or bell.pid != os.getpid():
            bell = self._bell = _Doorbell(self)  # type: ignore[arg-type]
            for name in ("get", "get_nowait"):
                # Found before the class's method: only a queue with a doorbell pays for it.
                if hasattr(type(self), name):
                    self.__dict__[name] = _telling(getattr(type(self), name).__get__(self), bell)
        return bell.fd

    @cached_property
    def _reader(self) -> Any:
        return _Reader(self)  # type: ignore[arg-type]

    @cached_property
    def _writer(self) -> Any:
        return _Writer(self)  # type: ignore[arg-type]

    def __getstate__(self) -> object:
        local = {"_bell", "_reader", "_writer", "get", "get_nowait"}
        return {k: v for k, v in self.__dict__.items() if k not in local} or None


def _telling(get: Any, bell: _Doorbell) -> Any:
    def get_and_tell(*args: Any, **kwargs: Any) -> Any:
        try:
            return get(*args, **kwargs)
        finally:
            bell.taken()

    return get_and_tell


class Queue(_Waitable, SharedCell, _native.Queue, metaclass=_QueueType):
    """A first-in first-out queue; `maxsize` objects at most (0: no limit but memory)."""

    def __init__(self, maxsize: int = 0, *, ctx: BaseContext | None) -> None:
        super().__init__()

    def put_many(self, objs: Iterable[object]) -> None:
        """`put` each object of an iterable, in order."""
        for obj in objs:
            self.put(obj)

    def get_many(self, n: int, timeout: float | None = None) -> list[Any]:
        """Up to `n` objects: waits (at most `timeout` seconds) for the first, takes the others only if they are there.

        Raises `queue.Empty` if not even one came in time, ValueError if `n` is less than 1.
        """
        if n < 1:
            raise ValueError(f"get_many takes at least 1 object, not {n}")
        found = [self.get(True, timeout)]
        try:
            while len(found) < n:
                found.append(self.get(False))
        except Empty:
            pass
        return found

    def join_thread(self) -> None:
        """There is no feeder thread to join: what was put is already with the readers. The queue has to be closed."""
        assert self._closed, f"Queue {self!r} not closed"

    def cancel_join_thread(self) -> None:
        """Nothing to cancel: no exit ever waits for a queue."""

    def _on_queue_feeder_error(self, e: BaseException, obj: object) -> None:
        """The stdlib's hook for objects that cannot be pickled: a subclass that has its own gets them; here `put`
        raises.
        """
        raise e

    __class_getitem__ = classmethod(GenericAlias)  # type: ignore[var-annotated]


class JoinableQueue(Queue):
    """A queue whose readers report each object done, so that `join()` can wait for the work and not only for the
    taking.
    """

    def task_done(self) -> None:
        """One object's work is done. Raises ValueError if more are reported than were put."""
        if not self._task_done():
            raise ValueError("task_done() called too many times")

    def join(self) -> None:
        """Wait until every object that was put is reported done."""
        self._join()


class SimpleQueue(_Waitable, SharedCell, _native.SimpleQueue, metaclass=_QueueType):
    """A queue without limits or time-outs."""

    def __init__(self, *, ctx: BaseContext | None) -> None:
        super().__init__()

    __class_getitem__ = classmethod(GenericAlias)  # type: ignore[var-annotated]


class PipeQueue(_stdlib.SimpleQueue):  # type: ignore[type-arg]
    """The stdlib's SimpleQueue, over our locks, for the results of `concurrent.futures`.

    The executor takes a worker for dead if its end can be seen before its last result. A pipe is readable at once; our
    `fileno()` only when a thread has rung.
    """
