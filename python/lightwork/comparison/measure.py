"""Do the same work in each way, in interleaved rounds, and time it.

Each way has its pool before the rounds begin, and has used it: what is timed is the work. Each round does all the work
in every way, and begins with another one: so a machine that slows down for a while slows all alike, and none always
goes first. Results are compared, and dropped, outside of the timed part.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

import lightwork as mp

from ..errors import summary
from ..pool._costs import Sending, cpu_seconds, holds_lock, queued_seconds, sending
from .figures import BACKENDS, SERIAL, WAITS, Timing
from .progress import Step
from .result import Comparison
from .sameness import Difference, difference

QUICK = 0.001
"""Seconds: if sending a single item takes less, the mean over SAMPLE items is taken."""
SAMPLE = 100

SHARED_WELL = 0.8
"""A pool that is so many times as fast as serial, for each of its workers, has no call that the others wait for."""

MOST_WORKERS = 1_000
"""More are a slip of the finger: 100,000 processes were not all there after ten minutes, on two busy processors."""


class Way(Protocol):
    """Something that makes the calls."""

    backend: str
    workers: int
    start: float
    chunks: tuple[int, int]
    pids: list[int]

    def run(self, func: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        """The results of the calls, in the order of the items."""


class SerialWay:
    """A plain loop: what would stand there without Lightwork."""

    backend = SERIAL
    workers = 1
    start = 0.0
    chunks = (1, 1)

    def __init__(self, star: bool) -> None:
        self.pids: list[int] = []
        self._star = star

    def run(self, func: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(itertools.starmap(func, items)) if self._star else [func(item) for item in items]


class PoolWay:
    """A pool of threads or processes. `start`: seconds from its making to the result of its first, empty call."""

    def __init__(self, backend: str, workers: int, star: bool, chunksize: int | None, stack: ExitStack) -> None:
        self.backend = backend
        self.workers = workers
        self.chunks = (0, 0)
        self._chunksize = chunksize
        others = mp.active_children()
        begun = time.perf_counter()
        pool = stack.enter_context(mp.Pool(workers, backend=backend))
        pool.apply(int)
        self.start = time.perf_counter() - begun
        self.pids = [child.pid for child in mp.active_children() if child not in others and child.pid is not None]
        self._begin = pool.starmap_async if star else pool.map_async
        self.pool = pool

    def run(self, func: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        job = self._begin(func, items, self._chunksize)
        self.chunks = job.chunks
        return job.get()


class Measurement:
    """The rounds of one comparison. `run` may be interrupted; `comparison` has what the full rounds until then gave."""

    def __init__(
        self,
        func: Callable[..., Any],
        items: Iterable[Any],
        *,
        workers: int | Sequence[int] | None = None,
        backends: Iterable[str] = BACKENDS,
        repeat: int = 5,
        chunksize: int | None = None,
        star: bool = False,
        title: str = "",
        on_step: Callable[[Step | None], object] = lambda step: None,
    ) -> None:
        if not callable(func):
            raise TypeError(f"func has to be callable, not {func!r}")
        self.name: str = getattr(func, "__qualname__", None) or repr(func)
        self._func = func
        self._items = _sequence(items)
        if len(self._items) == 0:
            raise ValueError("there is nothing to compare: items is empty")
        self._workers = checked_workers(workers)
        self._backends = _checked_backends(backends)
        if repeat < 1:
            raise ValueError(f"repeat has to be at least 1, not {repeat}")
        self._repeat = repeat
        self._chunksize = chunksize
        self._star = star
        self._title = title
        self.on_step = on_step
        self._ways: list[Way] = []
        self._rounds: list[dict[Way, tuple[float, float, float]]] = []
        self._left_out: dict[str, str] = {}
        self._differences: dict[str, Difference] = {}
        self._expected: list[Any] = []
        self._longest: float | None = None

    def run(self) -> None:
        """Do all rounds. Raises what `func` raises in the first, serial calls, or in a round; KeyboardInterrupt."""
        with ExitStack() as stack:
            serial = SerialWay(self._star)
            self.on_step(Step("first call, serially"))
            serial.run(self._func, self._items[:1])
            self._ways = [serial, *self._open_pools(stack)]
            for number in range(self._repeat):
                self._round(number)
            if self._is_shared_badly():
                self._longest = self._longest_call()
            for way in self._ways:
                if isinstance(way, PoolWay):
                    way.pool.terminate()
                    way.pool.join()

    def _open_pools(self, stack: ExitStack) -> Iterable[PoolWay]:
        # Processes first: they may be forked, and before there are threads is the best time for that.
        chosen = [b for b in reversed(BACKENDS) if b in self._backends and b != SERIAL]
        found = [way for b in chosen for w in self._workers if (way := self._opened(b, w, stack)) is not None]
        return sorted(found, key=lambda way: (BACKENDS.index(way.backend), way.workers))

    def _opened(self, backend: str, workers: int, stack: ExitStack) -> PoolWay | None:
        """A way that has done some of the work; None if it cannot do it."""
        if backend in self._left_out:
            return None
        self.on_step(Step(f"starting {backend} x {workers}", makes_pool=True))
        way = PoolWay(backend, workers, self._star, self._chunksize, stack)
        self.on_step(Step(f"first calls, {_name(way)}"))
        try:
            way.run(self._func, self._items[:workers])
        except Exception as error:
            self._left_out[backend] = summary(error)
            return None
        return way

    def _round(self, number: int) -> None:
        taken: dict[Way, tuple[float, float, float]] = {}
        # The first begins with serial, whose results the others are compared with.
        shift = number % len(self._ways)
        for way in self._ways[shift:] + self._ways[:shift]:
            self.on_step(Step(_name(way), number, self._repeat, self._left(taken)))
            queued, cpu, begun = queued_seconds(way.pids), cpu_seconds(way.pids), time.perf_counter()
            results = way.run(self._func, self._items)
            wall, cpu = time.perf_counter() - begun, cpu_seconds(way.pids) - cpu
            taken[way] = wall, cpu, queued_seconds(way.pids) - queued
            if not self._rounds and way.backend == SERIAL:
                self._expected = results
            else:
                self._check(way, results)
            del results
        self._rounds.append(taken)

    def _left(self, taken: Mapping[Way, tuple[float, float, float]]) -> float | None:
        """About how many seconds the rounds will take from here, `taken` of this one being over: a way takes what it
        took, and before that what serial did. None if not even that is known."""
        rounds = [*self._rounds, taken]
        serial = [past[self._ways[0]][0] for past in rounds if self._ways[0] in past]
        if not serial:
            return None
        left = 0.0
        for way in self._ways:
            known = [past[way][0] for past in rounds if way in past]
            left += (self._repeat - len(known)) * statistics.median(known or serial)
        return left

    def _check(self, way: Way, results: list[Any]) -> None:
        found = difference(self._expected, results)
        if found is not None:
            self._differences.setdefault(_name(way), found)

    def comparison(self) -> Comparison | None:
        """What the full rounds gave; None if there was none."""
        if not self._rounds:
            return None
        return Comparison(
            timings=tuple(
                Timing(
                    backend=way.backend,
                    workers=way.workers,
                    seconds=tuple(taken[way][0] for taken in self._rounds),
                    cpu=tuple(taken[way][1] for taken in self._rounds),
                    queued=tuple(taken[way][2] for taken in self._rounds),
                    start=way.start,
                    chunks=way.chunks,
                )
                for way in self._ways
            ),
            items=len(self._items),
            cpus=mp.usable_cpus(),
            sending=self._sending(),
            lock=holds_lock(),
            longest=self._longest,
            name=self.name,
            title=self._title,
            rounds_wanted=self._repeat,
            left_out=self._left_out,
            differences=self._differences,
        )

    def _is_shared_badly(self) -> bool:
        """Does no pool gain what its workers could, if no item were longer than a worker's share?"""
        serial, *pools = self._ways
        took = {way: statistics.median(taken[way][0] for taken in self._rounds) for way in self._ways}
        gains = [took[serial] / took[way] / min(way.workers, len(self._items)) for way in pools if way.workers > 1]
        return len(self._items) > 1 and max(gains, default=1.0) < SHARED_WELL

    def _longest_call(self) -> float:
        """The part of the serial time that its longest call takes; in a turn of its own, since the serial way of the
        rounds is a plain loop."""
        self.on_step(Step("serial, call by call"))
        serial = self._ways[0]
        wall, cpu = (sum(taken[serial][i] for taken in self._rounds) for i in (0, 1))
        # If the calls calculate: another program's turn on the processor is no part of a call.
        clock = time.thread_time if cpu >= WAITS * wall else time.perf_counter
        longest = total = 0.0
        for i in range(len(self._items)):
            one = self._items[i : i + 1]
            begun = clock()
            serial.run(self._func, one)
            seconds = clock() - begun
            longest, total = max(longest, seconds), total + seconds
        return longest / total if total else 0.0

    def _sending(self) -> Sending | None:
        try:
            one = sending(list(self._items[:1]), self._expected[:1])
            if one.seconds > QUICK:
                return one
            return sending(list(self._items[:SAMPLE]), self._expected[:SAMPLE])
        except Exception:  # whatever pickling raises; processes were left out for the same reason, which is told there
            return None


def compare(
    func: Callable[..., Any],
    items: Iterable[Any],
    *,
    workers: int | Sequence[int] | None = None,
    backends: Iterable[str] = BACKENDS,
    repeat: int = 5,
    chunksize: int | None = None,
    star: bool = False,
) -> Comparison:
    """Call `func(item)` for each item serially, on threads and on processes, `repeat` times each; return the figures.

    `workers`: how many threads and processes, one number or several; default: as many as this program may use
    processors, but at least 2. `backends`: which of "threads" and "processes" to measure; serial always is.
    `chunksize` as for `Pool.map`. `star`: call `func(*item)`. Results are compared between the ways, and what differs
    is told in the comparison. A backend that cannot do the work (its arguments cannot be pickled, its worker dies) is
    left out, and the comparison says why.

    Raises TypeError and ValueError for bad arguments, and what `func` raises.
    """
    measurement = Measurement(
        func, items, workers=workers, backends=backends, repeat=repeat, chunksize=chunksize, star=star
    )
    measurement.run()
    comparison = measurement.comparison()
    assert comparison is not None  # there was at least one round
    return comparison


def _sequence(items: Iterable[Any]) -> Sequence[Any]:
    """A range, or an array, stays what it is, as it does for `Pool.map`."""
    sliced: Any = items
    return sliced if hasattr(items, "__len__") and hasattr(items, "__getitem__") else list(items)


def _name(way: Way) -> str:
    return SERIAL if way.backend == SERIAL else f"{way.backend} x {way.workers}"


def checked_workers(workers: int | Sequence[int] | None) -> list[int]:
    """The numbers of workers to measure, fewest first; those of this machine if none are named. Raises ValueError."""
    if workers is None:
        return [max(2, mp.usable_cpus())]
    counts = sorted({workers} if isinstance(workers, int) else set(workers))
    if not counts or counts[0] < 1:
        raise ValueError(f"workers has to be at least 1, not {workers!r}")
    if counts[-1] > MOST_WORKERS:
        raise ValueError(f"workers has to be at most {MOST_WORKERS:,}, not {counts[-1]:,}")
    return counts


def _checked_backends(backends: Iterable[str]) -> list[str]:
    chosen = [backends] if isinstance(backends, str) else list(backends)
    for backend in chosen:
        if backend not in BACKENDS:
            raise ValueError(f"cannot find backend {backend!r}: it is one of {', '.join(BACKENDS)}")
    return chosen
