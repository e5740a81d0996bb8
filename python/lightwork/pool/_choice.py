"""How a map of `Pool(backend="auto")` finds its way: serial, threads or processes.

Every item is computed once, and its result used, whatever it was computed for. (But one whose result turns out not to
be picklable is called again, here.)

    1. Try. Call the function here, item after item, for a TRY. If what is left is not worth the start of a pool, try
       again: so items that take longer than those before them are noticed, and quick ones are done to the end.
    2. Few items would be done before the trial is: the first may take as long as half of the work. So where they are
       FEW for each worker, and the function is not known to be quick, processes are started at once. They take items
       while the first is called here; if that waits for something, the rest goes to threads, as in step 3.
    3. Choose. What the trial measured says what is worth trying:
         - calls that wait (they use little processor time): threads, more than there are processors;
         - calls that calculate: processes, if sending an item and its result is cheap against the call; else threads;
         - no interpreter lock: threads.
       A batch in the new way shows whether it gains: if not, the next is tried, and at last the rest is done here.
       Processes need not show it where calls are long, sending is next to nothing, and no library uses several
       processors already.

What a function took is remembered while it lives, for step 2.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _native
from ._chunks import as_sequence
from ._costs import Sending, holds_lock, queued_by_thread, sending
from ._errors import MaybeEncodingError
from ._futures import Future
from ._jobs import MapResult

if TYPE_CHECKING:
    from ._auto import AutoPool
    from ._pool import Pool

TRY = 0.01
"""Seconds of a trial: some hundred times what looking at the clock costs, and 1 % of a second's work."""

BLOCK = 2e-5
"""Seconds that a block of calls takes, up to four times that: looking at the clock after it costs less than one. If the
next items take much longer than these, all of one block are done before that is noticed."""

FEW = 10
"""Items for each worker. With more, one that is called while the workers wait is less than a tenth of their time."""

BATCH = 0.03
"""Seconds of serial work in a batch; taking a page of it costs some microseconds."""

WORTH = 4
"""Times the start of processes that the work has to take: half of it is gained with two, and they may not gain."""

LONG_CALL = 1e-4
"""Seconds: beside a call that takes more, what a worker pays for taking it is nothing."""

CHEAP = 0.1
"""Sending costs less than this part of the call: then processes gain, if there are processors."""

WAITS = 0.5
"""Processors that calls use, if they wait for half of their time."""

NATIVE = 1.5
"""Processors that calls use, if a library underneath has threads of its own."""

GAIN = 1.15
"""Times as fast as here: a batch that was not by this much has not shown that it gains."""

DEAR = 0.5
"""Sending costs this part of the call, or more: then threads are tried first."""

QUICK = 5e-6
"""Seconds: what a thread pays for a call is not far from this, so threads are not tried for calls that take less."""

LARGE = 0.005
"""Seconds: items that cost more to send are not sent before it is known that they are worth it."""

MOST_THREADS = 32
"""For calls that wait; concurrent.futures has as many at most."""

CPUS = os.cpu_count() or 1
"""Of the machine: asking takes longer than the rest of a map of few items. How many this process may use, its pool
says."""

_known: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()


class Trial(NamedTuple):
    """Some calls that were made here: wall time, processor time of this process, how many."""

    seconds: float
    cpu: float
    calls: int

    @property
    def pace(self) -> float:
        """Seconds that a call took."""
        return self.seconds / self.calls

    @property
    def cpu_use(self) -> float:
        """Processors that they used."""
        return self.cpu / self.seconds


class Choice:
    """One map."""

    def __init__(
        self, pool: AutoPool, func: Callable[..., Any], items: Iterable[Any], chunksize: int | None, star: bool
    ) -> None:
        self.why = "serial: there are no items"
        self._pool = pool
        self._func = func
        self._items = as_sequence(items)
        self._chunksize = chunksize
        self._star = star
        self._results: list[Any] = []
        self._trial = Trial(0.0, 0.0, 0)
        self._called = 0
        self._spent = 0.0

    def run(self) -> list[Any]:
        """All results. Raises what the function raises, and what a pool's map does."""
        try:
            if len(self._items) > 1 and self._are_few(CPUS) and self._may_be_long():
                self._side_by_side()
            if self._left:
                self._serially()
            if self._left:
                self._choose(self._idle())
        except StopIteration as e:  # whoever iterates around this map must not take it for an end
            raise RuntimeError("a call raised StopIteration") from e
        if self._called:
            _remember(self._func, self._spent / self._called)
        return self._results

    @property
    def _left(self) -> int:
        return len(self._items) - len(self._results)

    # -- step 1

    def _serially(self, to_the_end: bool = False) -> None:
        """Make calls here, in blocks. Stop when TRY is over and what is left would be worth a
        pool, if it went on like that, unless the calls are to go on to the end."""
        func, count, step, before = self._func, len(self._items), 1, len(self._results)
        begun = looked = now = time.perf_counter()
        cpu, at = time.process_time(), before
        while (done := len(self._results)) < count:
            if now - looked >= TRY and not to_the_end:
                self._trial = Trial(now - looked, time.process_time() - cpu, done - at)
                if self._is_worth_a_pool(self._trial.pace):
                    break
                looked, cpu, at = now, time.process_time(), done
            items = self._items[done : done + step]
            self._results += [func(*item) for item in items] if self._star else [func(item) for item in items]
            last, now = now, time.perf_counter()
            if now - last < BLOCK:
                step *= 4
            elif now - last > 4 * BLOCK:
                step = max(1, step // 4)
        self._spent += now - begun
        self._called += len(self._results) - before
        if not self._left and not to_the_end:
            self.why = f"serial: {_calls(self._called)} took {_time(self._spent)}, no more than a pool's start is worth"

    def _is_worth_a_pool(self, pace: float) -> bool:
        """Would so many calls of this pace gain more than the start of processes costs?"""
        return pace * self._left > WORTH * self._pool.start_estimate()

    # -- step 2

    def _are_few(self, workers: int) -> bool:
        return len(self._items) <= FEW * workers

    def _may_be_long(self) -> bool:
        pace = self._pace_before()
        if pace is not None and not self._is_worth_a_pool(pace):
            return False
        if not self._are_few(self._pool.workers) or self._pool.workers < 2:
            return False
        if not holds_lock():
            return True
        cost = self._sending(1, 2)
        return cost is not None and cost.seconds < LARGE

    def _pace_before(self) -> float | None:
        try:
            return _known.get(self._func)
        except TypeError:
            return None  # it cannot be hashed

    def _side_by_side(self) -> None:
        """Call the first item here, while workers take others; then decide about the rest."""
        workers = self._pool.workers
        pool = self._pool.processes() if holds_lock() else self._pool.threads(workers)
        feed = _Feed(pool, self._func, self._items, self._star)
        for _ in range(workers - 1):
            feed.next()
        queued, begun, cpu = queued_by_thread(), time.perf_counter(), time.thread_time()
        try:
            self._call_here(0)
        finally:
            futures = feed.stop()
        trial = self._trial = Trial(time.perf_counter() - begun, time.thread_time() - cpu, 1)
        self._spent, self._called = trial.seconds, 1
        if not self._is_worth_a_pool(trial.pace) or self._sending(0, 1) is None:
            self._collect(futures, take_back=True)  # what nobody has begun is done here
            self.why = f"serial: few items, of which the first took {_time(trial.seconds)}"
            return
        at = 1 + len(futures)
        idle = 1 - (trial.cpu + queued_by_thread() - queued) / trial.seconds
        if idle > 1 - WAITS and at < len(self._items):
            pool = self._for_waiting(idle)
        else:
            self.why = f"{_named(pool)}: few items, and a call takes {_time(trial.pace)}"
        rest = self._begin(pool, at, len(self._items), 1)
        self._collect(futures)
        self._results += rest.get()

    def _collect(self, futures: list[Future[Any]], take_back: bool = False) -> None:
        for number, future in enumerate(futures, 1):
            if take_back and future.cancel():
                self._call_here(number)
                continue
            try:
                self._results.append(future.result())
            except MaybeEncodingError:
                self._call_here(number)

    def _call_here(self, number: int) -> None:
        item = self._items[number]
        self._results.append(self._func(*item) if self._star else self._func(item))

    # -- step 3

    def _choose(self, idle: float) -> None:
        if not self._left:
            return
        if idle > 1 - WAITS:
            self._rest_in(self._for_waiting(idle))
            return
        if self._pool.workers > 1:
            for way, sure in self._ways():
                if sure or self._gains(way):
                    self._rest_in(way)
                    return
        else:
            self.why = "serial: there is one worker, and the calls do not wait"
        self._serially(to_the_end=True)

    def _for_waiting(self, idle: float) -> Pool:
        """Threads, as many as keep the processors busy: each is idle for this part of its time."""
        workers = self._pool.workers
        if not self._pool.chosen:
            workers = min(MOST_THREADS, self._left, ceil(workers / (1.01 - idle)))
        self.why = f"threads x {workers}: the calls wait for {idle:.0%} of their time"
        return self._pool.threads(workers)

    def _idle(self) -> float:
        """The part of their time that calls wait for something else than a processor."""
        if self._trial.cpu_use > 0.7:
            return 0.0
        # They wait, or other programs have the processors: look closer.
        queued, begun = queued_by_thread(), self._spent
        self._serially()
        queued = (queued_by_thread() - queued) / (self._spent - begun)
        return max(0.0, 1 - self._trial.cpu_use - queued)

    def _ways(self) -> Iterable[tuple[Pool, bool]]:
        """The pools to try, the most promising first; each with whether it is sure to gain."""
        workers, pace = self._pool.workers, self._trial.pace
        if not holds_lock():
            self.why = f"threads x {workers}: this Python has no interpreter lock"
            yield self._pool.threads(workers), False
            return
        cost = self._sending(0, len(self._results))
        about = f"a call takes {_time(pace)}, "
        about += "and it cannot be sent" if cost is None else f"sending it and its result {_time(cost.seconds)}"
        part = 1.0 if cost is None else cost.seconds / pace
        if part < DEAR:
            self.why = f"processes x {workers}: {about}"
            yield self._pool.processes(), part < CHEAP and pace > LONG_CALL and self._trial.cpu_use < NATIVE
        if pace > QUICK:
            self.why = f"threads x {workers}: {about}, and threads gain"
            yield self._pool.threads(workers), False
        if DEAR <= part < 1:
            self.why = f"processes x {workers}: {about}"
            yield self._pool.processes(), False
        self.why = f"serial: {about}, and no other way was faster"

    def _gains(self, way: Pool) -> bool:
        """Do a batch in this way: was it faster than here?"""
        count = min(self._left // 4, max(self._pool.workers, int(BATCH / self._trial.pace)))
        if count == 0:
            return True
        way.apply(int)  # it has started
        at, begun = len(self._results), time.perf_counter()
        self._results += self._begin(way, at, at + count, self._chunksize).get()
        return self._trial.pace * count > GAIN * (time.perf_counter() - begun)

    def _rest_in(self, way: Pool) -> None:
        self._results += self._begin(way, len(self._results), len(self._items), self._chunksize).get()

    def _begin(self, way: Pool, start: int, end: int, chunksize: int | None) -> MapResult[Any]:
        begin = way.starmap_async if self._star else way.map_async
        return begin(self._func, self._items[start:end], chunksize)

    def _sending(self, first: int, end: int) -> Sending | None:
        """What sending these items costs, and the results that there are; None if it cannot be done."""
        try:
            sending([self._func], [])
            if end - first > 1:  # one may be large
                one = sending(list(self._items[first : first + 1]), self._results[first : first + 1])
                if one.seconds > LARGE:
                    return one
            end = min(end, first + 100)
            return sending(list(self._items[first:end]), self._results[first:end])
        except Exception:  # whatever pickling raises
            return None


class _Feed:
    """Hands the items from the second on to a pool: a new one for each that is done, until it is stopped."""

    def __init__(self, pool: Pool, func: Callable[..., Any], items: Any, star: bool) -> None:
        self._pool = pool
        self._func = func
        self._items = items
        self._star = star
        self._futures: list[Future[Any]] = []
        self._lock = threading.Lock()
        self._stopped = False

    def next(self, done: Any = None) -> None:
        """Hand out one more item, if there is one."""
        if (future := _native.holding(self._lock, self._submit_next)) is not None:
            future.add_done_callback(self.next)

    def _submit_next(self) -> Future[Any] | None:
        number = len(self._futures) + 1
        if self._stopped or number >= len(self._items):
            return None
        item = self._items[number]
        future = self._pool.submit(self._func, *item) if self._star else self._pool.submit(self._func, item)
        self._futures.append(future)
        return future

    def stop(self) -> list[Future[Any]]:
        """Hand out no more; returns the futures of those that were."""
        _native.holding(self._lock, setattr, self, "_stopped", True)
        return self._futures


def _remember(func: Callable[..., Any], pace: float) -> None:
    try:
        _known[func] = pace
    except TypeError:
        pass  # it cannot be hashed, or has no weak references


def _named(pool: Pool) -> str:
    return f"{'processes' if holds_lock() else 'threads'} x {pool._processes}"


def _calls(count: int) -> str:
    return f"{count:,} call" + ("" if count == 1 else "s")


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"
