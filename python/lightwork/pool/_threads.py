"""ThreadPool, and SerialPool for debugging: the same engine over threads, or over the caller's own. Nothing is pickled;
exceptions are the very objects that tasks raised."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from multiprocessing.context import BaseContext
from multiprocessing.dummy import DummyProcess
from typing import Any

from ..errors import TaskTimeout
from ._crew import Crew, until_next
from ._engine import PATIENCE, Engine
from ._pool import Pool
from ._wire import SerialWire, ThreadDesk, ThreadWire
from ._worker import run_one, serve


class ThreadPool(Pool):
    """Worker threads that run functions for you.

    Like Pool, but nothing can end a task that runs: one that is over its `timeout`, or cancelled, goes on, and what
    comes of it is ignored; `terminate` drops those that have not begun and returns, and a `join` after it waits at most
    5 s for the others; they end with the process."""

    @staticmethod
    def Process(ctx: BaseContext, *args: Any, **kwds: Any) -> Any:
        """A worker thread, not yet started, that can be asked what processes are."""
        return DummyProcess(*args, **kwds)

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        *,
        timeout: float | None = None,
    ) -> None:
        super().__init__(processes, initializer, initargs, timeout=timeout)

    def _make_engine(self) -> Engine:
        return Engine(ThreadWire())

    def _make_crew(self, engine: Engine) -> Crew:
        wire = engine.wire
        assert isinstance(wire, ThreadWire)
        settings = (self._initializer, tuple(self._initargs))
        process, ctx = self.Process, self._ctx

        def make(desk: ThreadDesk) -> Any:
            return process(ctx, target=serve, args=(desk, *settings))

        return ThreadCrew(engine, make, [ThreadDesk(wire) for _ in range(self._processes)])


class ThreadCrew:
    """Threads do not die, so nobody needs to watch them: this crew has a thread of its own only once there are
    time-outs."""

    thread: threading.Thread | None = None

    def __init__(self, engine: Engine, make: Callable[[ThreadDesk], Any], desks: list[ThreadDesk]) -> None:
        self.workers: list[Any] = []
        self._engine = engine
        self._make = make
        self._desks = desks
        self._killed = False
        self._bell = threading.Event()
        self._sent_home = False

    def fill(self) -> None:
        """Start the threads. If one cannot be started, send the others home and raise RuntimeError."""
        try:
            self._start_all()
        except BaseException:
            self._send_home()
            raise

    def _start_all(self) -> None:
        """Not in the `try` itself: see `_crew`."""
        for desk in self._desks:
            thread = self._make(desk)
            thread.daemon = True
            thread.start()
            self.workers.append(thread)

    def nudge(self) -> None:
        if self._engine.drained():
            if not self._sent_home:
                self._send_home()
        elif self._engine.timed and self.thread is None:
            self.thread = threading.Thread(target=self._watch, name="lightwork-pool-crew", daemon=True)
            self.thread.start()
        self._bell.set()

    def stop_working_for(self, job_id: int) -> None:
        """It cannot be done."""

    def works_for(self, job_id: int) -> bool:
        return any(desk.claimed()[0] == job_id for desk in self._desks)

    def kill(self) -> None:
        self._killed = True
        try:
            wire = self._engine.wire
            assert isinstance(wire, ThreadWire)
            while True:
                wire.tasks.get_nowait()
        except queue.Empty:
            self._send_home()

    def join(self) -> None:
        deadline = time.monotonic() + PATIENCE
        for thread in self.workers:
            thread.join(max(0.0, deadline - time.monotonic()) if self._killed else None)

    def _send_home(self) -> None:
        """Tell the threads that there is no more work. Once more does no harm."""
        self._engine.wire.dismiss(len(self._desks))
        self._engine.end()
        self._sent_home = True
        self._bell.set()

    def _watch(self) -> None:
        """Settle the tasks that are over their time."""
        while not self._sent_home:
            timed = dict(self._engine.timed)
            next_look = [*timed.values()]
            for desk in self._desks:
                job_id, index, age = desk.claimed()
                seconds, job = timed.get(job_id), self._engine.jobs.get(job_id)
                if seconds is None or job is None:
                    continue
                if age < seconds:
                    next_look.append(seconds - age)
                else:
                    error = TaskTimeout(f"{job.what(index)} took longer than {seconds} s")
                    self._engine.settle(job, index, False, error)
            self._bell.wait(until_next(next_look) if next_look else None)
            self._bell.clear()


class SerialPool(Pool):
    """No workers: each call is made at once, in the caller's thread, for a debugger to see. Results, errors and
    callbacks are as of a ThreadPool; a `timeout` is not enforced."""

    def _make_engine(self) -> Engine:
        wire = SerialWire()
        wire.run = run_one
        return Engine(wire)

    def _make_crew(self, engine: Engine) -> Crew:
        return SerialCrew(engine, partial(self._initializer, *self._initargs) if self._initializer else None)


class SerialCrew:
    thread: threading.Thread | None = None

    def __init__(self, engine: Engine, initialize: Callable[[], object] | None) -> None:
        self.workers: list[Any] = []
        self._engine = engine
        self._initialize = initialize

    def fill(self) -> None:
        if self._initialize is not None:
            try:
                self._initialize()
            except Exception as e:
                self._engine.break_("the pool's initializer raised", e)

    def nudge(self) -> None:
        if self._engine.drained():
            self._engine.end()

    def stop_working_for(self, job_id: int) -> None:
        """Nobody works."""

    def works_for(self, job_id: int) -> bool:
        return False

    def kill(self) -> None:
        """Nobody to kill."""

    def join(self) -> None:
        """Nobody to wait for."""
