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
        from ._install import installed

        theirs = "__setstate__" in namespace or namespace.get("__module__") == "concurrent.futures.process"
        if theirs and installed():
            bases = tuple(_STDLIB.get(b.__name__, b) if isinstance(b, _QueueType) else b for b in bases)
            return type(name, bases, namespace, **kwargs)
        return super().__new__(mcls, name, bases, namespace, **kwargs)


class _Doorbell:
    """An eventfd that is readable while a queue has messages, for selectors, asyncio and `connection.wait`.

    Rung by a daemon thread, which exists only for queues whose `fileno()` was asked for, in the process that asked. It
    ends within two seconds after the queue is closed here or dropped: it watches with a handle of its own.
    """

    def __init__(self, queue: Queue | SimpleQueue) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._messages = _native.Queue(handle=queue._handle(False))
        self._rung = False
        #: Held while either changes. A signal handler may take a message in the middle of that.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    def start(self, queue: Queue | SimpleQueue) -> None:
        threading.Thread(target=self._serve, args=(weakref.ref(queue),), name="lightwork-doorbell", daemon=True).start()

    def _serve(self, queue: weakref.ref[Queue | SimpleQueue]) -> None:
        try:
            while queue() is not None and self._ring():
                with self._changed:
                    self._changed.wait_for(lambda: not self._rung, 1)
        finally:
            self.end()

    def _ring(self) -> bool:
        """Ring if a message comes within a second; False if the bell has ended."""
        if not self._rung and self._messages._wait_for_message(1):
            with self._changed:
                # Taken since: the next round waits for another.
                if self._messages._wait_for_message(0):
                    self._be(True)
        return self.fd >= 0

    def taken(self, queue: Queue | SimpleQueue) -> None:
        """A message was taken, or there was none: readable while some are left, those that `queue` keeps included."""
        _native.holding(self._lock, self._look, queue)

    def _look(self, queue: Queue | SimpleQueue) -> None:
        self._be(queue._wait_for_message(0))

    def _be(self, rung: bool) -> None:
        """If a signal handler raises in here the descriptor may be readable and `_rung` False, not the other way round:
        then the next message, or the next look for one, puts it right."""
        if self.fd < 0:
            return
        self._changed.notify()
        if not rung:
            try:
                os.eventfd_read(self.fd)
            except BlockingIOError:
                pass
            finally:
                self._rung = False
        elif not self._rung:
            os.eventfd_write(self.fd, 1)
            self._rung = True

    def end(self) -> None:
        """Silent for ever; the descriptor's number may be another file's from now on."""
        _native.holding(self._lock, self._end)

    def _end(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
        self._rung = False
        self._changed.notify()


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

    def fileno(self) -> int:
        """A descriptor that is readable while the queue has messages, in this process. Take messages with this object.

        Raises ValueError if the queue is closed in this process.
        """
        # By process: a forked child finds its parent's, which it must not silence.
        bells: dict[int, _Doorbell] = self.__dict__.setdefault("_bells", {})
        pid = os.getpid()
        bell = bells.get(pid)
        if bell is None and not self._closed:  # type: ignore[attr-defined]
            bell = self._hang_bell(bells, pid)
        fd = -1 if bell is None else bell.fd
        if fd < 0:
            raise ValueError(f"{type(self).__name__} {self!r} is closed")
        return fd

    def _hang_bell(self: Any, bells: dict[int, _Doorbell], pid: int) -> _Doorbell:
        fresh = _Doorbell(self)
        self._tell_taken()
        bell = bells.setdefault(pid, fresh)
        if bell is not fresh:  # another thread's was first
            fresh.end()
            return bell
        try:
            bell.start(self)
        except BaseException:
            del bells[pid]
            bell.end()
            raise
        return bell

    def _message_taken(self) -> None:
        """The core calls this, once `_tell_taken` was called, when something was taken or nothing was there."""
        bell = self.__dict__["_bells"].get(os.getpid())
        if bell is not None:
            bell.taken(self)

    def close(self) -> None:
        """This process is done with the queue: later calls raise. What was put stays for the others."""
        super().close()  # type: ignore[misc]
        bell = self.__dict__.get("_bells", {}).get(os.getpid())
        if bell is not None:
            bell.end()

    @cached_property
    def _reader(self) -> Any:
        return _Reader(self)  # type: ignore[arg-type]

    @cached_property
    def _writer(self) -> Any:
        return _Writer(self)  # type: ignore[arg-type]

    def __getstate__(self) -> object:
        local = {"_bells", "_reader", "_writer"}
        return {k: v for k, v in self.__dict__.items() if k not in local} or None


class Queue(_Waitable, SharedCell, _native.Queue, metaclass=_QueueType):
    """A first-in first-out queue; `maxsize` objects at most (0: no limit but memory)."""

    def __init__(self, maxsize: int = 0, *, ctx: BaseContext | None) -> None:
        super().__init__()

    def put_many(self, objs: Iterable[object]) -> None:
        """`put` each object of an iterable, in order."""
        for obj in objs:
            self.put(obj)

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
