"""The worker's loop: take a task, run it, send the outcome. Whatever a task does is that task's outcome, and the loop
goes on; only `os._exit`, a signal or a broken queue end it early. A process that a task forks is no worker: when it
comes out of the task it ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from itertools import starmap
from multiprocessing.process import current_process
from types import FrameType
from typing import Any

from ..cpus import limit_native_threads
from ._errors import MaybeEncodingError
from ._wire import (
    CALL,
    CALL_WITH_KEYWORDS,
    DONE,
    FAILED,
    KIND,
    MAP,
    ONE_BY_ONE,
    UNFIT,
    Function,
    ProcessDesk,
    ThreadDesk,
)

Desk = ProcessDesk | ThreadDesk

SHORT = 100_000
LONG = 1_000_000
"""Nanoseconds. Items of a page are called in blocks that take between these; a slower item is a block of its own. So a
death report names the item, or of very fast ones the thousandth of a second."""


def serve(
    desk: Desk,
    initializer: Function | None = None,
    initargs: Iterable[Any] = (),
    maxtasks: int | None = None,
    native_threads: int | None = None,
) -> None:
    """Serve a pool until it says so, or for `maxtasks` tasks; native libraries have at most `native_threads` threads.

    Raises ValueError if `maxtasks` is less than 1.
    """
    if maxtasks is not None and not (isinstance(maxtasks, int) and maxtasks >= 1):
        raise ValueError(f"maxtasks has to be a positive int or None, not {maxtasks!r}")
    interrupts = _Interrupts()
    desk.begin()
    if isinstance(desk, ProcessDesk):
        interrupts.install()
        if getattr(current_process(), "_lightwork_holds_interrupts", False):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # the crew started us with it blocked
        if native_threads is not None:
            limit_native_threads(native_threads)
        current_process()._config["daemon"] = False  # type: ignore[attr-defined]  # it may have children
    if initializer is not None:
        try:
            interrupts.armed = True
            try:
                initializer(*initargs)
            finally:
                interrupts.armed = False
        except BaseException as e:
            interrupts.armed = False
            if desk.is_foreign():
                raise
            desk.reply(UNFIT, desk.pack_failure(_without_our_frames(e)))
            return
        if desk.is_foreign():
            return
    desk.ready()
    _serve(desk, interrupts, -1 if maxtasks is None else maxtasks)


def run_one(desk: Desk) -> None:
    """Run the next task."""
    _serve(desk, _Interrupts(), 1)


def _serve(desk: Desk, interrupts: _Interrupts, tasks: int) -> None:
    take, load, reply = desk.take, desk.load, desk.reply
    while tasks:
        tasks -= 1
        job, _, tag, word, sealed, obj = take()
        if not job:
            return
        try:
            interrupts.armed = True
            func = None
            try:
                try:
                    func, obj = load(tag, word, sealed, obj)
                except BaseException as e:
                    e.add_note("This was raised while a task's function and arguments were unpickled in the worker.")
                    raise
                kind = tag & KIND
                if kind == CALL:
                    obj = func(*obj)
                elif kind == CALL_WITH_KEYWORDS:
                    obj = func(*obj[0], **obj[1])
                else:
                    obj = _page(desk, func, obj, map if kind == MAP else starmap, bool(tag & ONE_BY_ONE))
            finally:
                interrupts.armed = False
        except BaseException as e:  # SystemExit and KeyboardInterrupt, too
            interrupts.armed = False
            if desk.is_foreign():
                raise
            _reply_failure(desk, e)
        else:
            try:
                reply(DONE, obj)
            except BaseException as e:
                if desk.is_foreign():
                    raise
                _reply_failure(desk, MaybeEncodingError(e, obj))
        del func, obj, word  # while it waits for the next task, the last one's objects are gone


def _page(desk: Desk, func: Function, items: Any, calls: Any, one_by_one: bool) -> list[Any]:
    """Call the function for each item."""
    results: list[Any] = []
    at, step, count = 0, 1, len(items)
    while at < count:
        if at:
            desk.progress(at, step)
        begun = time.perf_counter_ns()
        results.extend(calls(func, items[at : at + step]))
        at = min(at + step, count)
        if len(results) < at:  # `map` takes a StopIteration from the function for its own end
            raise RuntimeError(f"item {len(results)} of the chunk raised StopIteration")
        if not one_by_one:
            took = time.perf_counter_ns() - begun
            if took < SHORT:
                step = min(step * 4, 4096)
            elif took > LONG:
                step = max(1, step // 4)
    return results


def _reply_failure(desk: Desk, exc: BaseException) -> None:
    failure = desk.pack_failure(_without_our_frames(exc))
    try:
        desk.reply(FAILED, failure)
    except Exception as e:  # e.g. no room for it in shared memory
        desk.reply(FAILED, desk.pack_failure(MaybeEncodingError(e, type(exc).__name__)))


def _without_our_frames(exc: BaseException) -> BaseException:
    tb = exc.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    return exc.with_traceback(tb)


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
