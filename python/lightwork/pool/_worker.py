"""The worker's loop: take a task, run it, send the outcome. Whatever a task does is that task's outcome, and the loop
goes on; only `os._exit`, a signal or a broken queue end it early."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from ._errors import MaybeEncodingError
from ._wire import DONE, FAILED, READY, TAKEN, UNFIT, Direct, Function, Pickled, Task, Wire, give_receipts


def worker(
    inqueue: Any,
    outqueue: Any,
    initializer: Function | None = None,
    initargs: Iterable[Any] = (),
    maxtasks: int | None = None,
    wrap_exception: bool = False,
) -> None:
    """Serve a pool until it says so, or for `maxtasks` tasks.

    `wrap_exception`: the pool is in another process, so everything is pickled and exceptions take their traceback along
    as text. Raises ValueError if `maxtasks` is less than 1.
    """
    if maxtasks is not None and not (isinstance(maxtasks, int) and maxtasks >= 1):
        raise ValueError(f"maxtasks has to be a positive int or None, not {maxtasks!r}")
    wire: Wire = Pickled() if wrap_exception else Direct()
    me = os.getpid() if wrap_exception else threading.get_ident()
    interrupts = _Interrupts()
    if wrap_exception:
        give_receipts(lambda job, index: outqueue.put((TAKEN, me, job, index)))
        interrupts.install()
    if initializer is not None:
        ok, value = _attempt(interrupts, lambda: initializer(*initargs))
        if not ok:
            outqueue.put((UNFIT, me, *wire.pack_failure(value)))
            return
    outqueue.put((READY, me))
    _serve(wire, me, interrupts, inqueue.get, outqueue.put, maxtasks)


def _serve(
    wire: Wire,
    me: int,
    interrupts: _Interrupts,
    get: Callable[[], Task | None],
    put: Callable[[tuple[Any, ...]], None],
    maxtasks: int | None,
) -> None:
    served = 0
    while maxtasks is None or served < maxtasks:
        try:
            task = get()
        except (EOFError, OSError):
            return
        if task is None:
            return
        place = (me, task.job, task.index)
        outcome = _run(wire, place, interrupts, task)
        try:
            put(outcome)
        except Exception as e:  # e.g. no room for it in shared memory
            put(_failed(wire, place, MaybeEncodingError(e, f"{len(outcome[4])} bytes")))
        del task, outcome  # while it waits for the next task, the last one's objects are gone
        served += 1


def _run(wire: Wire, place: tuple[int, int, int], interrupts: _Interrupts, task: Task) -> tuple[Any, ...]:
    try:
        func, args, kwds = wire.unpack_work(task.work)
    except BaseException as e:
        e.add_note("This was raised while a task's function and arguments were unpickled in the worker.")
        return _failed(wire, place, e)
    ok, value = _attempt(interrupts, lambda: func(*args, **kwds))
    if not ok:
        return _failed(wire, place, value)
    try:
        return (DONE, *place, wire.pack_value(value))
    except Exception as e:
        return _failed(wire, place, MaybeEncodingError(e, value))


def _failed(wire: Wire, place: tuple[int, int, int], exc: BaseException) -> tuple[Any, ...]:
    return (FAILED, *place, *wire.pack_failure(exc))


def _attempt(interrupts: _Interrupts, call: Callable[[], Any]) -> tuple[bool, Any]:
    """(True, what the call returned) or (False, what it raised: SystemExit and KeyboardInterrupt, too)."""
    try:
        interrupts.armed = True
        try:
            return True, call()
        finally:
            interrupts.armed = False
    except BaseException as e:
        below = e.__traceback__
        for _ in range(2):  # this frame and the lambda's are none of the user's business
            below = below and below.tb_next
        return False, e.with_traceback(below)


class _Interrupts:
    """SIGINT reaches every process of the terminal. A task gets its KeyboardInterrupt; between tasks a worker ignores
    it, since the parent decides what an interrupt means for the pool."""

    armed = False

    def install(self) -> None:
        """A handler that the parent or the initializer chose stays in force."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.armed:
            signal.default_int_handler(signum, frame)
