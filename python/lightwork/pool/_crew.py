"""The crew: starts workers, notices their ends, replaces them, and sends them home.

A thread waits for the ends of all workers and for orders, and sleeps otherwise. It watches pidfds rather than the
processes' sentinels: a sentinel is a pipe whose other end lives on in whatever a worker has forked.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Protocol

from . import _wire
from ._jobs import report

if TYPE_CHECKING:
    from ._engine import Engine

Worker = Any  # a process, or a thread that looks like one

GRACE = 1.0
"""Seconds that a worker has to obey SIGTERM; then it is killed."""


class Crew(Protocol):
    """What the engine and the pool ask of a crew."""

    workers: list[Worker]

    @property
    def thread(self) -> threading.Thread | None:
        """The thread of its own that it has, if any."""

    def fill(self) -> None:
        """Start the workers, or none and raise."""

    def nudge(self) -> None:
        """Look round: there may be workers to replace, or the work may be done."""

    def kill(self) -> None:
        """Make an end, now."""

    def join(self) -> None:
        """Wait until all have left; after `kill`, a bounded time."""


class _Bell:
    """An eventfd to wake the crew's thread. Closed only with its last user: whoever rings it late rings in vain, and
    not at a descriptor that meanwhile is something else."""

    fd = -1

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def ring(self) -> None:
        os.eventfd_write(self.fd, 1)

    def silence(self) -> None:
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            pass

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class ProcessCrew:
    """`size` worker processes made by `make`, which returns a process object that is not yet started."""

    def __init__(self, engine: Engine, make: Callable[[], Worker], size: int) -> None:
        self.workers: list[Worker] = []
        self.thread = threading.Thread(target=self._run, name="lightwork-pool-crew", daemon=True)
        self._engine = engine
        self._make = make
        self._size = size
        self._bell = _Bell()
        self._ends = _Ends()
        self._killed = False

    def fill(self) -> None:
        """Start the first workers, and the thread. If one cannot be started, end them and raise what that raised."""
        try:
            while len(self.workers) < self._size:
                self._start_one()
            self.thread.start()
        except BaseException:
            for worker in self.workers:
                if worker.exitcode is None:
                    worker.terminate()
            for worker in self.workers:
                worker.join()
            raise

    def nudge(self) -> None:
        self._bell.ring()

    def kill(self) -> None:
        self._killed = True
        self._bell.ring()

    def join(self) -> None:
        self.thread.join()

    def _start_one(self) -> None:
        worker = self._make()
        worker.name = worker.name.replace("Process", "PoolWorker")
        worker.daemon = True
        worker.start()
        self.workers.append(worker)

    # -- the thread

    def _run(self) -> None:
        try:
            self._watch()
            if not self._killed:
                self._dismiss()
            if self._killed:
                self._kill()
        except BaseException as e:
            report()
            self._engine.call(partial(self._engine.break_, "the pool's workers cannot be watched", e))
        finally:
            self._ends.close()
            self._engine.resultq.put((_wire.STOP,))

    def _watch(self) -> None:
        """Replace workers that end, until the pool does."""
        while not self._killed and not self._engine.drained():
            self._refill()
            self._wait(None)

    def _dismiss(self) -> None:
        """Tell the workers that there is no more work, and wait until they have left, or until the order to kill."""
        for _ in self.workers:
            self._engine.taskq.put(None)
        while self.workers and not self._killed:
            self._wait(None)

    def _kill(self) -> None:
        for worker in self.workers:
            worker.terminate()
        self._wait_for_all(GRACE)
        for worker in self.workers:
            worker.kill()
        self._wait_for_all(GRACE)  # bounded: the kernel may hold a process for longer than anybody wants to wait

    def _wait_for_all(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.workers and (left := deadline - time.monotonic()) > 0:
            self._wait(left)

    def _refill(self) -> None:
        try:
            while len(self.workers) < self._size:
                self._start_one()
        except Exception as e:
            if self.workers:
                report()  # the others go on; the next end of a worker is the next occasion to try
            else:
                self._engine.call(partial(self._engine.break_, "no worker can be started", e))

    def _wait(self, timeout: float | None) -> None:
        """Sleep until a worker ends or the bell rings; report those that ended."""
        for worker in self.workers:
            self._ends.add(worker)
        ready = wait([self._bell.fd, *self._ends.fds], timeout)
        self._bell.silence()
        for fd in ready:
            if fd != self._bell.fd:
                self._report_end(self._ends.pop(fd))  # type: ignore[arg-type]

    def _report_end(self, worker: Worker) -> None:
        exitcode = worker.exitcode
        if exitcode is None:
            worker.join(GRACE)  # a forkserver tells the exit code a moment after the end
            exitcode = worker.exitcode
        worker.is_alive()  # lets go of it: an ended process is no active child
        self.workers.remove(worker)
        self._engine.resultq.put((_wire.GONE, worker.pid, exitcode))


class _Ends:
    """What to wait for, for each worker: its pidfd, or its sentinel where the system gives no pidfd."""

    def __init__(self) -> None:
        self.fds: dict[int, Worker] = {}
        self._known: set[Worker] = set()
        self._pidfds: set[int] = set()

    def add(self, worker: Worker) -> None:
        if worker in self._known:
            return
        try:
            fd = os.pidfd_open(worker.pid)
            self._pidfds.add(fd)
        except OSError:
            fd = worker.sentinel
        self.fds[fd] = worker
        self._known.add(worker)

    def pop(self, fd: int) -> Worker:
        worker = self.fds.pop(fd)
        self._known.remove(worker)
        if fd in self._pidfds:
            self._pidfds.remove(fd)
            os.close(fd)
        return worker

    def close(self) -> None:
        for fd in list(self.fds):
            self.pop(fd)
