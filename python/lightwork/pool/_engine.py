"""The engine of a pool: its queues, its table of jobs, and the thread that settles them.

       caller's thread                    result thread                       crew
    submit: Task -> task queue  ........................................  workers take, run
                                 settle jobs, call back  <- result queue  <- workers, GONE
    fail, seal: a call -> result queue

One thread settles everything, in the order of the result queue; so jobs need no locks. Others only put calls into that
queue, or take a job out of the table (whoever takes it out may end it).

The engine does not know the Pool object, so that a pool nobody holds can be collected and its crew dismissed.

| state | jobs taken | workers replaced | ends when |
|---|---|---|---|
| RUN | yes | yes | |
| RUN, `broken` set | fail at once | no | the crew is killed |
| CLOSE | no | until the table is empty | workers have left |
| TERMINATE | no | no | the crew is killed |
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import PoolBroken, TaskCancelled
from . import _wire
from ._errors import stillborn, worker_died
from ._jobs import Job, report
from ._wire import Task, Wire

if TYPE_CHECKING:
    from ._crew import Crew

INIT = "INIT"
RUN = "RUN"
CLOSE = "CLOSE"
TERMINATE = "TERMINATE"

PATIENCE = 5.0
"""Seconds that `terminate` waits for each thread of the pool: one may be in a callback, or starting a process."""

ILL_FATED = 10
"""Workers in a row that may be killed before they are ready, until the pool gives up: more than chance, fewer than a
user would like to wait for."""


class Engine:
    def __init__(self, wire: Wire, taskq: Any, resultq: Any) -> None:
        self.state = RUN
        self.jobs: dict[int, Job] = {}
        self.taskq = taskq
        self.resultq = resultq
        self.crew: Crew
        self.thread = threading.Thread(target=self._run, name="lightwork-pool-results", daemon=True)
        self._wire = wire
        self._calls: deque[Callable[[], object]] = deque()
        self._ready: set[int] = set()
        self._taken: dict[int, tuple[Any, ...]] = {}
        self._ill_fated = 0
        self._broken: tuple[str, BaseException] | None = None

    # -- from any thread

    def begin(self, job: Job, submit: Callable[[], None]) -> None:
        """Put a job into the table and submit its pieces; a broken pool fails it instead.

        Raises ValueError if the pool takes no jobs. If this raises, the job is in the table no longer.
        """
        try:
            if self._register(job):
                submit()
        except BaseException:
            self.drop(job.id)
            raise

    def _register(self, job: Job) -> bool:
        # First in, then look: who changes the state first changes it, then looks into the table.
        self.jobs[job.id] = job
        if self.state != RUN:
            raise ValueError("Pool not running")
        if self._broken is not None:
            self._abandon(job.id, self._why_broken())
            return False
        return True

    def submit(self, job_id: int, index: int, func: Callable[..., Any], args: Any, kwds: Any) -> None:
        """Queue one piece of a job. One that cannot be queued (pickled, mostly) is settled with the reason."""
        try:
            self.taskq.put(Task(job_id, index, self._wire.pack_work((func, args, kwds))))
        except Exception as e:
            self.fail(job_id, index, e)

    def fail(self, job_id: int, index: int, exc: BaseException) -> None:
        """Settle one piece of a job with an error."""
        self.call(partial(self._settle, job_id, index, False, exc))

    def seal(self, job_id: int, total: int) -> None:
        """A job has this many pieces; all of them are submitted."""
        self.call(partial(self._seal, job_id, total))

    def call(self, call: Callable[[], object]) -> None:
        """Have this called in the result thread."""
        self._calls.append(call)
        self.resultq.put((_wire.CALL,))

    def drop(self, job_id: int) -> None:
        """Nobody wants the rest of this job. Takes no lock: a destructor may call this in the middle of anything."""
        self.jobs.pop(job_id, None)
        self._look_round()

    def drained(self) -> bool:
        """Is the pool closed, and all work done?"""
        return self.state != RUN and not self.jobs

    def break_(self, why: str, cause: BaseException) -> None:
        """Give the pool up: its jobs, present and future, fail with PoolBroken."""
        if self._broken is None and self.state != TERMINATE:
            self._broken = why, cause
            self._abandon_all(self._why_broken, tell=True)
            self.crew.kill()

    def close(self) -> None:
        """Take no more jobs; when all are done, the crew is dismissed."""
        self.state = CLOSE
        self._look_round()

    def submit_streams(self) -> None:
        """Submit all that iterators have been promised and not yet asked for."""
        for job in list(self.jobs.values()):
            job.submit_rest()

    def terminate(self) -> None:
        """Kill the crew, and give up all jobs. Takes at most a few seconds."""
        self.state = TERMINATE
        self.crew.kill()
        here = threading.current_thread()
        if self.crew.thread is not None and self.crew.thread is not here:
            self.crew.thread.join(PATIENCE)
        if here not in (self.thread, self.crew.thread):
            self.thread.join(PATIENCE)

    # -- the result thread

    def _run(self) -> None:
        try:
            while (message := self.resultq.get())[0] != _wire.STOP:
                try:
                    self._handle(*message)
                except BaseException:
                    report()
                del message  # nothing of the last job stays while the pool is idle
        except Exception as e:
            self.break_("the pool's result queue cannot be read", e)
        self._abandon_all(self._why_over, tell=self._broken is not None)

    def _handle(self, kind: int, who: int = 0, *rest: Any) -> None:
        if kind == _wire.TAKEN:
            self._taken[who] = rest
        elif kind in (_wire.DONE, _wire.FAILED):
            self._taken.pop(who, None)
            self._unpack(kind == _wire.DONE, *rest)
        elif kind == _wire.CALL:
            while self._calls:  # all: an interrupt may have come between a call and its message
                self._calls.popleft()()
        elif kind == _wire.READY:
            self._ready.add(who)
            self._ill_fated = 0
        elif kind == _wire.GONE:
            self._gone(who, rest[0])
        elif kind == _wire.UNFIT:
            self.break_("the pool's initializer raised in a worker", self._wire.unpack_failure(rest))

    def _unpack(self, ok: bool, job_id: int, index: int, *packed: Any) -> None:
        job = self.jobs.get(job_id)
        if job is None:
            return
        if ok:
            try:
                value = self._wire.unpack_value(packed[0], job.what(index))
            except Exception as e:
                ok, value = False, e
        else:
            value = self._wire.unpack_failure(packed)
        self._settle(job_id, index, ok, value)

    def _gone(self, pid: int, exitcode: int | None) -> None:
        was_ready = pid in self._ready
        self._ready.discard(pid)
        taken = self._taken.pop(pid, None)
        if self.state == TERMINATE:
            return
        if taken is not None:
            job_id, index = taken
            if job_id in self.jobs:
                self._settle(job_id, index, False, worker_died(self.jobs[job_id].what(index), pid, exitcode))
        elif not was_ready:
            self._ill_fated += 1
            by_itself = exitcode is not None and exitcode >= 0
            if by_itself or self._ill_fated >= ILL_FATED:
                self.break_("the pool's workers cannot start", stillborn(pid, exitcode))

    def _settle(self, job_id: int, index: int, ok: bool, value: Any) -> None:
        job = self.jobs.get(job_id)
        if job is not None and job.settle(index, ok, value):
            self._finish(job)

    def _seal(self, job_id: int, total: int) -> None:
        job = self.jobs.get(job_id)
        if job is not None and job.seal(total):
            self._finish(job)

    def _finish(self, job: Job) -> None:
        if self.jobs.pop(job.id, None) is not None:
            job.conclude()
            self._look_round()

    # -- ends

    def _look_round(self) -> None:
        if self.drained():
            self.crew.nudge()

    def _abandon(self, job_id: int, exc: BaseException, tell: bool = True) -> None:
        job = self.jobs.pop(job_id, None)
        if job is not None:
            job.abandon(exc, tell)

    def _abandon_all(self, why: Callable[[], BaseException], tell: bool) -> None:
        for job_id in list(self.jobs):
            self._abandon(job_id, why(), tell)

    def _why_over(self) -> BaseException:
        if self._broken is not None:
            return self._why_broken()
        return TaskCancelled("the pool was terminated before this was done")

    def _why_broken(self) -> BaseException:
        assert self._broken is not None
        why, cause = self._broken
        error = PoolBroken(f"{why}: {cause}")
        error.__cause__ = cause
        return error
