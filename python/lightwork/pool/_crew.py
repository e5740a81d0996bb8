"""The crew: starts workers, notices their ends, replaces them, enforces limits, and sends them home.

A thread waits for the ends of all workers and for orders, and sleeps otherwise.

To end a task and no other, its row is marked in one step if it shows the task still; with the mark its worker comes to
nothing else until it is killed.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .. import _native
from ..errors import TaskCancelled, TaskTimeout, WorkerDied
from ._jobs import report
from ._wire import EVERY

if TYPE_CHECKING:
    from ._engine import Engine
    from ._wire import ProcessWire

Worker = Any  # a process, or a thread that looks like one

GRACE = 1.0
"""Seconds that a worker has to obey SIGTERM; then it is killed."""

MIND = 0.2
"""Seconds between two readings of outcomes that nobody waits for: few enough to cost nothing (50 us each), and what
comes meanwhile is all that piles up in shared memory."""

LOOK = 0.05
"""Seconds between two looks at the workers' memory, while there is a limit to it and work is done."""

SHARE = 20
"""A look that took long is followed by a pause this much longer: looking takes at most a twentieth of a processor."""

LOADING = 60.0
"""Seconds that the function of a task may take to load, if its time-out is not longer: that imports its module, at the
first of its tasks in each worker."""

REST = 3600.0
"""Seconds that a crew sleeps at most before it looks at time-outs again: the kernel sleeps no longer than 24 days, and
a time-out may be any number."""

CLAIMING = 0.1
"""Seconds after which a worker that took a task has it in its row, by far: a cancelled task is looked for so long."""


class Fate(NamedTuple):
    """How a worker ended, and with what in its hands."""

    pid: int
    exitcode: int | None
    peak_memory: int | None
    job: int
    piece: int
    items: tuple[int, int]
    ready: bool
    reason: BaseException | None
    """Why we killed it, if we did."""


class Crew(Protocol):
    """What the engine and the pool ask of a crew."""

    workers: list[Worker]

    @property
    def thread(self) -> threading.Thread | None:
        """The thread of its own that it has, if any."""

    def fill(self) -> None:
        """Start the workers, or none and raise."""

    def nudge(self) -> None:
        """Look round: there may be workers to replace, limits to enforce, or the work may be done."""

    def stop_working_for(self, job_id: int) -> None:
        """Nobody wants the outcome of this job: end what workers do for it."""

    def works_for(self, job_id: int) -> bool:
        """Has a worker claimed a piece of this job?"""

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
        if self.fd >= 0:  # else it was collected together with whoever rings
            os.eventfd_write(self.fd, 1)

    def silence(self) -> None:
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            pass

    def __del__(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class ProcessCrew:
    """`size` worker processes, each made for its row by `make(row)`, which returns a process object not yet
    started."""

    def __init__(
        self,
        engine: Engine,
        make: Callable[[int], Worker],
        size: int,
        wire: ProcessWire,
        memory_limit: int | None = None,
    ) -> None:
        self.workers: list[Worker] = []
        self.thread = threading.Thread(target=self._run, name="lightwork-pool-crew", daemon=True)
        self._engine = engine
        self._make = make
        self._wire = wire
        self._rows = wire.rows
        self._memory_limit = memory_limit
        engine.watched = memory_limit is not None
        engine.unminded = True
        self._free = list(range(size))
        self._row_of: dict[Worker, int] = {}
        self._starting: Worker | None = None
        self._lets_interrupts_through = signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._reasons: dict[Worker, BaseException] = {}
        self._unwanted: dict[int, float] = {}
        self._next_memory_look = 0.0
        self._next_reading: float | None = None
        self._bell = _Bell()
        self._killed = False

    def fill(self) -> None:
        """Start the first workers, and the thread. If one cannot be started, end them and raise what that raised."""
        try:
            self._start_all()
            _native.without_interrupts(self.thread.start)  # which holds locks of `threading`'s
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        self._killed = True  # before all else: the thread may run, and replaces who ends
        self._bell.ring()
        started = list(self.workers)
        if getattr(self._starting, "_popen", None) is not None:
            started.append(self._starting)
        for worker in started:
            if worker.exitcode is None:
                worker.terminate()
        deadline = time.monotonic() + GRACE
        for worker in started:
            if isinstance(worker, BaseProcess):  # a class of the program's own may know less
                worker.join(max(0.0, deadline - time.monotonic()))
                if worker.exitcode is None:
                    worker.kill()
            worker.join()

    def nudge(self) -> None:
        self._bell.ring()

    def stop_working_for(self, job_id: int) -> None:
        self._unwanted[job_id] = time.monotonic() + CLAIMING
        self._bell.ring()

    def works_for(self, job_id: int) -> bool:
        return any(self._rows.read(row)[0] == job_id for row in list(self._row_of.values()))

    def kill(self) -> None:
        self._killed = True
        self._bell.ring()

    def join(self) -> None:
        self.thread.join()

    def _start_all(self) -> None:
        """Not in the `try` itself: from CPython 3.12 on that does not cover the jump back to the head of a loop, where
        a signal handler may run."""
        while self._free:
            self._start_one()

    def _start_one(self) -> None:
        row = self._free[-1]
        worker = self._make(row)
        worker.name = worker.name.replace("Process", "PoolWorker")
        worker.daemon = True
        worker._lightwork_holds_interrupts = self._lets_interrupts_through
        self._starting = worker
        if getattr(worker, "_start_method", "fork") != "fork":
            resource_tracker.ensure_running()  # if `start` did that, it would let SIGINT through
        _native.without_interrupts(worker.start)
        self._free.pop()
        self._row_of[worker] = row
        self.workers.append(worker)
        self._starting = None

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
            self._engine.break_("the pool's workers cannot be watched", e)
            for worker in self.workers:
                worker.kill()
        finally:
            self._engine.end()

    def _watch(self) -> None:
        """Replace workers that end, until the pool does."""
        while not self._killed and not self._engine.drained():
            self._refill()
            looks = [seconds for seconds in (self._enforce(), self._mind()) if seconds is not None]
            self._wait(min(looks, default=None))

    def _dismiss(self) -> None:
        """Tell the workers that there is no more work, and wait until they have left, or until the order to kill."""
        self._engine.wire.dismiss(len(self.workers))
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
            while self._free and not self._killed:
                self._start_one()
        except Exception as e:
            if self.workers:
                report()  # the others go on; the next end of a worker is the next occasion to try
            else:
                self._engine.break_("no worker can be started", e)

    def _wait(self, timeout: float | None) -> None:
        """Sleep until a worker ends or the bell rings; report those that ended."""
        ends = {worker.sentinel: worker for worker in self.workers}
        ready = wait([self._bell.fd, *ends], timeout)
        self._bell.silence()
        for fd in ready:
            if fd != self._bell.fd:
                self._report_end(ends[fd])

    def _report_end(self, worker: Worker) -> None:
        exitcode = worker.exitcode
        if exitcode is None:  # without a pidfd: its pipe is closed before it has ended, or it has closed that itself
            worker.join(GRACE)
            worker.kill()
            worker.join(GRACE)
            exitcode = worker.exitcode
        worker.is_alive()  # lets go of it: an ended process is no active child
        row = self._row_of.pop(worker)
        self._wire.recall()
        job, piece, items, _, ready, _, _ = self._rows.read(row)
        self._rows.clear(row)
        self._free.append(row)
        self.workers.remove(worker)
        reason = self._reasons.pop(worker, None)
        peak = getattr(worker._popen, "peak_memory", None)
        self._engine.worker_gone(Fate(worker.pid, exitcode, peak, job, piece, items, ready, reason))

    def _mind(self) -> float | None:
        """Read what has come, in case nobody else does. Returns when to do so again."""
        engine, now = self._engine, time.monotonic()
        if engine.unminded:
            self._next_reading = None
        elif self._next_reading is None:
            self._next_reading = now + MIND
        elif now >= self._next_reading:
            engine.poll()
            engine.unminded = not engine.jobs
            if engine.unminded and engine.jobs:
                engine.unminded = False  # who began this one in between did not see that it is unminded
            self._next_reading = None if engine.unminded else now + MIND
        return None if self._next_reading is None else max(0.0, self._next_reading - now)

    # -- limits

    def _enforce(self) -> float | None:
        """End the tasks that are over their time or memory, or that nobody wants. Returns when to look again."""
        timed, limit, unwanted, now = self._engine.timed, self._memory_limit, self._unwanted, time.monotonic()
        next_look = [*timed.values()]
        if limit is not None and self._engine.jobs:
            next_look.append(max(LOOK, self._next_memory_look - now))
        weigh = now >= self._next_memory_look
        if unwanted:
            next_look.append(CLAIMING / 4)
        if not next_look:
            return None
        for worker in list(self.workers):
            job, piece, items, age, *_ = self._rows.read(self._row_of[worker])
            if job in unwanted:
                self._end_task(worker, (job,), TaskCancelled("the task was cancelled"))
                continue
            if (seconds := timed.get(job)) is not None:
                seconds = max(seconds, LOADING) if items == EVERY else seconds
                if age >= seconds * 1e9:
                    error = TaskTimeout(f"{self._what(job, piece, items)} took longer than {seconds} s")
                    self._end_task(worker, (job, piece, items), error)
                    continue
                next_look.append(seconds - age / 1e9)
            if limit is not None and weigh and (used := _private_memory(worker.pid, limit)) > limit:
                text = (
                    f"worker process {worker.pid} was killed while it ran {self._what(job, piece, items)}: "
                    f"it used {_mib(used)} of memory, over the limit of {_mib(limit)}"
                )
                died = WorkerDied(text, pid=worker.pid, exitcode=-signal.SIGKILL, peak_memory=used)
                self._end_task(worker, (job, piece, items), died)
        if limit is not None and weigh:
            end = time.monotonic()
            self._next_memory_look = end + min(SHARE * (end - now), GRACE)
        for job in [job for job, end in list(unwanted.items()) if end < now]:
            del unwanted[job]
        return until_next(next_look)

    def _what(self, job_id: int, index: int, items: tuple[int, int]) -> str:
        job = self._engine.jobs.get(job_id)
        return "nothing" if job is None else job.what(index, items)

    def _end_task(self, worker: Worker, claim: tuple[Any, ...], reason: BaseException) -> None:
        """Kill a worker, unless it has come to something else since its row began with `claim`."""
        if worker in self._reasons:
            return
        if self._rows.end_task(self._row_of[worker], (worker.pid, getattr(worker._popen, "pidfd", -1)), *claim):
            self._reasons[worker] = reason


def until_next(looks: list[float]) -> float:
    """Seconds to sleep before the first of some looks at time-outs."""
    return min(max(0.001, min(looks)), REST)


def _private_memory(pid: int, enough: int) -> int:
    """Resident bytes that are the process's own: not shared memory, not files, not what it has from its parent by fork
    and neither has changed. Looked at closely only if it may be more than `enough`: that takes the kernel 6 ms for
    300 MB (smaps_rollup; Linux 6, EPYC)."""
    folder = _native.proc_folder(pid)
    try:
        with open(f"{folder}/statm", "rb") as f:
            _, resident, shared, *_ = map(int, f.read().split())
        anonymous = (resident - shared) * os.sysconf("SC_PAGE_SIZE")
        if anonymous <= enough:
            return anonymous
        with open(f"{folder}/smaps_rollup", "rb") as f:
            private = sum(int(line.split()[1]) for line in f if line.startswith(b"Private_"))
        return min(anonymous, private * 1024)
    except OSError:
        return 0


def _mib(nbytes: int) -> str:
    return f"{nbytes / (1 << 20):.0f} MiB"
