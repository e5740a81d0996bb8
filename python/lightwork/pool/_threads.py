"""ThreadPool: the same engine over threads. Nothing is pickled; exceptions are the very objects that tasks raised."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from multiprocessing.context import BaseContext
from multiprocessing.dummy import DummyProcess
from typing import Any

from . import _wire
from ._crew import Crew
from ._engine import PATIENCE, Engine
from ._pool import Pool
from ._worker import worker


class ThreadPool(Pool):
    """Worker threads that run functions for you. Like Pool, but nothing can end a task that runs: `terminate` drops
    those that have not begun and returns, and a `join` after it waits at most 5 s for the others; they end with the
    process."""

    _wrap_exception = False

    @staticmethod
    def Process(ctx: BaseContext, *args: Any, **kwds: Any) -> Any:
        """A worker thread, not yet started, that can be asked what processes are."""
        return DummyProcess(*args, **kwds)

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
    ) -> None:
        super().__init__(processes, initializer, initargs)

    def _make_engine(self) -> Engine:
        return Engine(_wire.Direct(), queue.SimpleQueue(), queue.SimpleQueue())

    def _make_crew(self) -> Crew:
        engine = self._engine
        args = (engine.taskq, engine.resultq, self._initializer, tuple(self._initargs))
        return ThreadCrew(engine, partial(self.Process, self._ctx, target=worker, args=args), self._processes)


class ThreadCrew:
    """Threads do not die, so nobody needs to watch them: this crew has no thread of its own."""

    thread: threading.Thread | None = None

    def __init__(self, engine: Engine, make: Callable[[], Any], size: int) -> None:
        self.workers: list[Any] = []
        self._engine = engine
        self._make = make
        self._size = size
        self._killed = False
        self._sent_home = threading.Lock()  # taken for ever by the first who sends them

    def fill(self) -> None:
        """Start the threads. If one cannot be started, send the others home and raise RuntimeError."""
        try:
            for _ in range(self._size):
                thread = self._make()
                thread.daemon = True
                thread.start()
                self.workers.append(thread)
        except BaseException:
            self._send_home()
            raise

    def nudge(self) -> None:
        # In the result thread, so that what is said there before comes first.
        self._engine.call(lambda: self._send_home() if self._engine.drained() else None)

    def kill(self) -> None:
        self._killed = True
        try:
            while True:
                self._engine.taskq.get_nowait()
        except queue.Empty:
            self._send_home()

    def join(self) -> None:
        deadline = time.monotonic() + PATIENCE
        for thread in self.workers:
            thread.join(max(0.0, deadline - time.monotonic()) if self._killed else None)

    def _send_home(self) -> None:
        if self._sent_home.acquire(blocking=False):
            for _ in self.workers:
                self._engine.taskq.put(None)
            self._engine.resultq.put((_wire.STOP,))
