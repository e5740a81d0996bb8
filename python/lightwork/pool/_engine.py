"""The engine of a pool: its table of jobs, and how outcomes find them.

    caller's thread                          crew's thread                     workers
    send a task -> task queue .....................................  claim, run -> result queue
    wait: read outcomes, settle jobs         a worker died: MARK, settle or
                                             send again what it had

Whoever waits reads the result queue, one thread at a time (`_turn`), and settles what it finds, for everybody. Others
that wait meanwhile sleep on a latch; who has read enough opens one of these. A thread of the pool's own, the collector,
waits like everybody else while jobs are attended (they have callbacks, or somebody awaits them), or while a closed pool
has jobs that nobody waits for. What nobody waits for otherwise the crew's thread reads, a few times a second.

A signal handler may raise at any bytecode of the main thread. So an outcome goes from the queue into `inbox` in one
step, and leaves it when it was handled; handling one twice changes nothing. It is the same with jobs that are cancelled
or withdrawn: what is interrupted there is done by whoever waits next. All that ends a pool may be called again. A
handler may wait for results itself, and read what the wait that it interrupted is for: it leaves a MARK behind, for
which that wait looks again.

The engine does not know the Pool object, so that a pool nobody holds can be collected and its crew dismissed.

| state | jobs taken | workers replaced | ends when |
|---|---|---|---|
| RUN | yes | yes | |
| RUN, `broken` set | fail at once | no | the crew is killed |
| CLOSE | no | until the table is empty | workers have left |
| TERMINATE | no | no | the crew is killed |
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import _native
from ..errors import ArenaFull, PoolBroken, TaskCancelled, summary
from ..outcome import is_an_interrupt
from ._errors import stillborn, worker_died
from ._jobs import Job, open_latch, report
from ._wire import DONE, FAILED, MARK, UNFIT, Outcome, Wire

if TYPE_CHECKING:
    from ._crew import Crew, Fate

INIT, RUN, CLOSE, TERMINATE = "INIT", "RUN", "CLOSE", "TERMINATE"

PATIENCE = 5.0
"""Seconds that `terminate` waits for each of the pool's own threads, which may be in a callback, or starting a
process."""

ILL_FATED = 10
"""Workers in a row that may be killed before they are ready, until the pool gives up: more than chance, fewer than a
user would like to wait for."""

ROOM = 0.01
"""Seconds between two looks for room in shared memory."""

FUNCTIONS = 1000
"""How many functions' pace is remembered."""

SLICE = 1.0
"""Seconds after which a thread that waits for another one's reading looks again."""


class Engine:
    def __init__(self, wire: Wire) -> None:
        self.state = RUN
        self.open = True
        """It takes jobs, and can do them: RUN, and not broken."""
        self._pid = os.getpid()
        self.watched = False
        """The crew looks after its workers while there are jobs, and wants to hear of each."""
        self.unminded = False
        """The crew has seen that there are no jobs, and wants to hear of the next one: while there are some it now and
        then reads what nobody waits for."""
        self.wire = wire
        self._send = wire.send
        self.jobs: dict[int, Job] = {}
        self.crew: Crew
        self.pace: dict[Any, float] = {}
        self.timed: dict[int, float] = {}
        self._turn = _native.Turn()
        self._inbox: deque[Outcome] = deque()
        self._given_up: dict[int, BaseException] = {}
        """Jobs that are being cancelled, and what they fail with."""
        self._unwanted: list[Collection[int]] = []
        """Jobs that are being withdrawn."""
        self._withdrawing = threading.RLock()
        """Held by who looks through the queue: of two, one would miss what the other has in its hands."""
        self._withdrawn: set[int] = set()
        """Jobs whose task was taken back from the queue, to be told."""
        self._unsent: deque[tuple[Job, int]] = deque()
        """Pieces that were lost, and for which there was no room when they were to be sent again."""
        self._sleepers: deque[threading.Lock] = deque()
        self._attended: dict[int, Job] = {}
        self._over: deque[Job] = deque()
        self._collector: threading.Thread | None = None
        self._collecting = threading.Lock()
        """Taken by the one thread that collects."""
        self._collector_latches: list[threading.Lock] = []
        self._marks_sent = self._marks_read = 0
        self._mark_latches: list[threading.Lock] = []
        self._ill_fated = 0
        self._broken: tuple[str, BaseException] | None = None
        self._ended = False

    # -- jobs, from any thread

    def begin(self, job: Job, submit: Callable[[], None]) -> None:
        """Put a job into the table and submit its pieces; a broken pool fails it instead.

        Raises ValueError if the pool takes no jobs. If this raises, the job is in the table no longer.
        """
        # First in, then look: who changes the state first changes it, then looks into the table.
        self.jobs[job.id] = job
        try:
            if self.state != RUN:
                raise ValueError("Pool not running")
            if job.attended:
                self.attend(job)
            if job.timeout is not None:
                self.timed[job.id] = job.timeout
            if job.timeout is not None or self.watched:
                self.crew.nudge()
            if self._broken is not None:
                self.abandon(job, self._why_broken())
                return
            submit()
        except BaseException:
            self.drop(job.id)
            raise
        self._mind()
        if not job.id & 255:
            self.poll()  # so that the outcomes of jobs that nobody waits for do not pile up

    def begin_call(self, job: Job, tag: int, func: Callable[..., Any], obj: Any) -> None:
        """`begin` of a job of one piece, quickly if it is `plain`."""
        job_id = job.id
        if not job.plain or self.watched or not self.open or not job_id & 255:
            self.begin(job, partial(self.send, job, 0, tag, func, obj))
            return
        self.jobs[job_id] = job
        try:
            try:
                self._send(job_id, 0, tag, func, obj)
            except Exception as e:
                self._send_after(e, job, 0, tag, func, obj)
        except BaseException:
            self.drop(job_id)
            raise
        if not self.open:  # not any more
            self.begin(job, lambda: None)
        elif self.unminded:
            self._mind()

    def _mind(self) -> None:
        if self.unminded:
            self.unminded = False
            self.crew.nudge()

    def check(self) -> None:
        """Raises PoolBroken if the pool can do nothing."""
        if self._broken is not None:
            raise self._why_broken()

    def send(self, job: Job, index: int, tag: int, func: Callable[..., Any], obj: Any) -> None:
        """Queue one piece of a job; while shared memory is full, wait for workers to leave room. A piece that cannot be
        queued (pickled, mostly) is settled with the reason. Raises what a signal handler raises."""
        if job.pieces is not None:
            job.pieces[index] = tag, func, obj
        try:
            self._send(job.id, index, tag, func, obj)
        except Exception as e:
            self._send_after(e, job, index, tag, func, obj)

    def _send_after(self, error: Exception, job: Job, index: int, tag: int, func: Callable[..., Any], obj: Any) -> None:
        """`send`, if queuing the piece raised `error`."""
        was_busy = True
        while isinstance(error, ArenaFull) and error.fits and was_busy:
            was_busy = self.wire.is_busy()  # if not, they freed their last meanwhile: once more
            self.poll()
            if was_busy:
                time.sleep(ROOM)  # workers free their arguments, each by one store, and tell nobody
            if self._broken is not None or self.state == TERMINATE or job.id not in self.jobs:
                return  # nobody works any more, or not for this job: who changed that settles it
            try:
                self._send(job.id, index, tag, func, obj)
            except Exception as e:
                error = e
            else:
                return
        if not isinstance(error, ArenaFull) and is_an_interrupt(error, partial(self.wire.check, func, obj)):
            raise error
        self.settle(job, index, False, error)

    def bind(self, func: Callable[..., Any]) -> Any:
        """What to `send` in the place of a function that many pieces share."""
        try:
            return self.wire.bind(func)
        except Exception as e:
            if is_an_interrupt(e, partial(self.wire.bind, func)):
                raise
            return func  # each piece fails with that

    def settle(self, job: Job, index: int, ok: bool, value: Any, nanoseconds: int = 0) -> None:
        """Take the outcome of a piece that did not come from a worker."""
        if job.settle(index, ok, value, nanoseconds):
            self.finish(job)
        self._nudge()

    def finish(self, job: Job) -> None:
        """All is known of a job: tell those who wait for it."""
        job_id = job.id
        if job_id in self._attended:
            self._over.append(job)
            self._wake_collector()
        else:
            job.conclude()
            if self._attended:
                self._attended.pop(job_id, None)  # it may have got there meanwhile
        self.jobs.pop(job_id, None)
        if self.timed:
            self.timed.pop(job_id, None)
        if self.state != RUN:
            self._look_round()

    def abandon(self, job: Job, exc: BaseException, tell: bool = True) -> None:
        """Settle what is left of a job with an error. `tell`: call its error callback."""
        job.abandon(exc, tell)
        self.finish(job)
        self._nudge()

    def drop(self, job_id: int) -> None:
        """Nobody wants the rest of this job. Takes no lock: a destructor may call this in the middle of anything."""
        for table in (self.jobs, self._attended, self.timed):
            table.pop(job_id, None)
        self._look_round()

    def cancel(self, job: Job, exc: BaseException) -> bool:
        """Give a job up, taking it from the queue and from the workers that run it. False: it was over already.

        Raises ValueError in a forked child.
        """
        self.check_here()
        if job.id not in self.jobs:
            return False
        self._given_up[job.id] = exc
        self._work_off()
        return True

    def withdraw(self, jobs: Collection[int]) -> None:
        """Take jobs of one piece back from the queue: those that no worker had claimed are told. A forked child shares
        the queue, but its jobs are its parent's: none is taken there."""
        if self._pid == os.getpid():
            self._unwanted.append(jobs)
            self._work_off()

    def _work_off(self) -> None:
        """Give up the jobs that are cancelled or withdrawn: now, or, if a signal handler raises here, later."""
        if not (self._given_up or self._unwanted or self._withdrawn):
            return
        for job_id, exc in list(self._given_up.items()):
            if (job := self.jobs.get(job_id)) is not None:
                _native.holding(self._withdrawing, self.wire.withdraw, {job_id}, set())
                self.crew.stop_working_for(job_id)
                self.abandon(job, exc)
            self._look_round()
            self._given_up.pop(job_id, None)
        for jobs in list(self._unwanted):
            _native.holding(self._withdrawing, self.wire.withdraw, set(jobs), self._withdrawn)
            try:
                self._unwanted.remove(jobs)
            except ValueError:
                pass  # another thread did the same
        for job_id in list(self._withdrawn):
            if (job := self.jobs.get(job_id)) is not None:
                job.withdrawn()
            self.drop(job_id)
            self._withdrawn.discard(job_id)

    def learn(self, func: Any, nanoseconds: int, items: int) -> None:
        """Items of this function take so long, for the size of later pages."""
        try:
            before = self.pace.get(func)
            now = nanoseconds / max(1, items)
            self.pace[func] = now if before is None else (before + now) / 2
        except TypeError:
            return  # it cannot be hashed
        if len(self.pace) > FUNCTIONS:
            self.pace.clear()

    # -- waiting, in any thread

    def wait(self, ready: Callable[[], bool], latches: list[threading.Lock], timeout: float | None) -> bool:
        """Wait until `ready()`, at most `timeout` seconds; whoever makes it true opens `latches` or sends a MARK.

        Raises ValueError in a forked child: the outcomes are its parent's.
        """
        self.check_here()
        self._work_off()
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            return self._wait_until(ready, latches, deadline)
        finally:
            self._wake_next()
            self._wake_interrupted()

    def _wait_until(self, ready: Callable[[], bool], latches: list[threading.Lock], deadline: float | None) -> bool:
        left = None
        while not ready():
            if deadline is not None:
                left = max(0.0, deadline - time.monotonic())
            if not self._turn.run(self._read_for, ready, left):
                self._sleep(ready, latches, left)
            if left == 0.0:
                return ready()
        return True

    def check_here(self) -> None:
        """Raises ValueError in a forked child."""
        if self._pid != os.getpid():
            raise ValueError(f"this is a result of a pool of process {self._pid}, and can only be had there")

    def poll(self) -> None:
        """Settle what has come, without waiting."""
        if self._pid != os.getpid():
            return
        self._work_off()
        self._turn.run(self._read, 0.0)
        self._wake_interrupted()
        if self._unsent and threading.current_thread() is self.crew.thread:
            self._send_unsent()

    def _wake_interrupted(self) -> None:
        """If this is a signal handler that came while its thread was reading: what it has read may be what that waits
        for, so that it has to look."""
        if self._turn.here():
            self.wire.mark(0)

    def _read_for(self, ready: Callable[[], bool], timeout: float | None) -> None:
        """Read what somebody waits for, unless others did before it was our turn."""
        if not ready():
            self._read(timeout)

    def _read(self, timeout: float | None) -> None:
        """Wait for outcomes, and settle them."""
        inbox, jobs = self._inbox, self.jobs
        if not inbox:
            self.wire.receive(inbox.append, timeout)
        while inbox:
            outcome = inbox[0]
            job_id, index, tag, nanoseconds, sealed, obj = outcome
            if not job_id:
                self._control(index, tag, sealed, obj)
            elif (job := jobs.get(job_id)) is not None:
                ok, value = tag == DONE, obj
                if sealed or tag == FAILED:
                    ok, value = self.wire.open(tag, sealed, obj, partial(job.what, index))
                elif type(obj) is _native.Packed and not job.unpacks:
                    value = obj.unpack()
                if job.settle(index, ok, value, nanoseconds):
                    self.finish(job)
            else:
                self._look_round()  # `finish` may have been interrupted before it did
            if inbox and inbox[0] is outcome:  # a signal handler may have read on
                inbox.popleft()

    def _control(self, number: int, tag: int, sealed: bool, obj: Any) -> None:
        if tag == MARK:
            self._marks_read = max(self._marks_read, number)
            for latch in list(self._mark_latches):
                open_latch(latch)
        elif tag == UNFIT:
            _, error = self.wire.open(FAILED, sealed, obj, str)
            self.break_("the pool's initializer raised in a worker", error)

    def _sleep(self, ready: Callable[[], bool], latches: list[threading.Lock], timeout: float | None) -> None:
        """Another thread reads: sleep until it opens our latch."""
        latch = threading.Lock()
        latch.acquire()
        try:
            latches.append(latch)
            self._sleepers.append(latch)
            if not ready() and self._turn.elsewhere():  # looked at after the latch is in place
                latch.acquire(timeout=SLICE if timeout is None else min(timeout, SLICE))
        finally:
            for place in (self._sleepers, latches):
                try:
                    place.remove(latch)
                except ValueError:
                    pass  # its turn has come

    def _wake_next(self) -> None:
        """Let one of the sleepers read. It is taken out of the line: one that an interrupt left there is in the way of
        others only once."""
        if self._sleepers:
            try:
                open_latch(self._sleepers.popleft())
            except IndexError:
                pass  # it has just gone by itself

    def wake(self, latches: list[threading.Lock]) -> None:
        """Have those who wait with these latches look again."""
        for latch in list(latches):
            open_latch(latch)
        self._nudge()

    def _nudge(self) -> None:
        """What the thread that reads waits for may have come by another way."""
        if self._turn.elsewhere():
            self.wire.mark(0)

    # -- the collector

    def attend(self, job: Job) -> None:
        """Have the collector wait for this job and tell its end."""
        self._attended[job.id] = job
        if job.id not in self.jobs:
            self._attended.pop(job.id, None)
        else:
            self._wake_collector()

    def _wake_collector(self) -> None:
        """There is work for the collector, or its end. If there is none, or the last one has left, start one; should
        others do so at the same time, all but one leave."""
        if not self._collecting.locked():
            collector = threading.Thread(target=self._collect, name="lightwork-pool-collector", daemon=True)
            _native.without_interrupts(collector.start)  # which holds locks of `threading`'s
        for latch in list(self._collector_latches):
            open_latch(latch)

    def _collect(self) -> None:
        if not self._collecting.acquire(blocking=False):
            return
        self._collector = threading.current_thread()
        try:
            self._collect_and_tell()
        finally:
            self._collecting.release()
        if self._over:  # since it looked last; who brought this found the lock taken
            self._wake_collector()

    def _collect_and_tell(self) -> None:
        while not self._ended or self._over:
            self._tell()
            if self._has_to_collect():
                self.wait(lambda: self._has_news() or not self._has_to_collect(), self._collector_latches, None)
            else:
                latch = threading.Lock()
                latch.acquire()
                self._collector_latches.append(latch)
                if not self._has_to_collect() and not self._has_news():
                    latch.acquire()
                self._collector_latches.remove(latch)

    def _tell(self) -> None:
        while self._over:
            job = self._over[0]
            if job.id in self._attended:  # else it was told: an interrupt made somebody finish it twice
                try:
                    job.conclude()
                except BaseException:
                    report()
                self._attended.pop(job.id, None)
            self._over.popleft()
            del job
            self._nudge()
            self._look_round()

    def _has_to_collect(self) -> bool:
        return bool(self._attended) or (self.state == CLOSE and bool(self.jobs))

    def _has_news(self) -> bool:
        return bool(self._over) or self._ended

    # -- deaths, in the crew's thread

    def worker_gone(self, fate: Fate) -> None:
        """A worker ended: settle what it had, or send it again."""
        self._read_all_it_said()
        if self.state == TERMINATE:
            return
        if fate.job:
            job = self.jobs.get(fate.job)
            if job is not None:
                self._lost(job, fate)
        elif not fate.ready:
            self._ill_fated += 1
            if self._ill_fated >= ILL_FATED or (fate.exitcode is not None and fate.exitcode >= 0):
                self.break_("the pool's workers cannot start", fate.reason or stillborn(fate.pid, fate.exitcode))
            return
        self._ill_fated = 0

    def _lost(self, job: Job, fate: Fate) -> None:
        sent = (job.pieces or {}).get(fate.piece)
        if fate.reason is not None:
            self.settle(job, fate.piece, False, fate.reason)
        elif sent is not None and job.may_retry(fate.piece):
            self._unsent.append((job, fate.piece))
            self._send_unsent()
        else:
            self.settle(job, fate.piece, False, worker_died(job.what(fate.piece, fate.items), fate))

    def _send_unsent(self) -> None:
        """Send lost pieces again as far as there is room. This thread does not wait for that: it starts the workers
        that make it, and comes here again while there are jobs."""
        while self._unsent:
            job, index = self._unsent[0]
            if self.jobs.get(job.id) is job and (task := (job.pieces or {}).get(index)) is not None:
                was_busy = self.wire.is_busy()
                try:
                    self._send(job.id, index, *task)
                except Exception as e:
                    if isinstance(e, ArenaFull) and e.fits and was_busy:
                        return
                    self.settle(job, index, False, e)
            self._unsent.popleft()

    def _read_all_it_said(self) -> None:
        self._marks_sent += 1
        number = self._marks_sent
        self.wire.mark(number)
        self.wait(lambda: self._marks_read >= number, self._mark_latches, None)

    # -- ends

    def drained(self) -> bool:
        """Is the pool closed, and all work done?"""
        return self.state != RUN and not self.jobs and not self._attended

    def break_(self, why: str, cause: BaseException) -> None:
        """Give the pool up: its jobs, present and future, fail with PoolBroken."""
        if self._broken is None and self.state != TERMINATE:
            self._broken = why, cause
            self.open = False
        if self._broken is not None:
            self._abandon_all()
            self.crew.kill()

    def close(self) -> None:
        """Take no more jobs; when all are done, the crew is dismissed."""
        if self.state == RUN:
            self.state = CLOSE
        self.open = False
        self._work_off()
        if self.jobs:
            self._wake_collector()  # somebody has to wait for them
        self._look_round()

    def submit_streams(self) -> None:
        """Submit all that iterators have been promised and not yet asked for."""
        for job in list(self.jobs.values()):
            job.submit_rest()

    def terminate(self) -> None:
        """Kill the crew, and give up all jobs. Takes at most a few seconds."""
        self.state = TERMINATE
        self.open = False
        self.crew.kill()
        here, crew = threading.current_thread(), self.crew.thread
        if crew is not None and crew is not here and crew.is_alive():  # not if it could not be started
            crew.join(PATIENCE)
        self.end()
        if self._collector not in (None, here):
            self._collector.join(PATIENCE)

    def end(self) -> None:
        """The crew has left: nothing will come any more."""
        self._abandon_all()
        self._ended = True
        if self._collecting.locked():
            self._wake_collector()
        self._nudge()

    def is_calling_back(self) -> bool:
        """Is this the thread that calls callbacks?"""
        return self._collector is threading.current_thread()

    def join(self) -> None:
        """Wait for the collector, after the end."""
        if self._collector not in (None, threading.current_thread()):
            self._collector.join()

    def _look_round(self) -> None:
        if self.drained():
            self.crew.nudge()
            if self._collecting.locked():
                self._wake_collector()

    def _abandon_all(self) -> None:
        for job in list(self.jobs.values()):
            if self._broken is not None:
                self.abandon(job, self._why_broken())
            else:
                self.abandon(job, TaskCancelled("the pool was terminated before this was done"), tell=False)

    def _why_broken(self) -> BaseException:
        assert self._broken is not None
        why, cause = self._broken
        error = PoolBroken(f"{why}: {summary(cause)}")
        error.__cause__ = cause
        return error
