"""What a comparison found: the figures of each way, and what follows from them by arithmetic alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from ..pool._costs import Sending
from .fit import Fit, amdahl

SERIAL, THREADS, PROCESSES = BACKENDS = ("serial", "threads", "processes")

MARGIN = 0.1
"""A way that is faster by less than this is not called faster."""

MOST_ROUNDS = 0.75
"""... nor one that was faster in a smaller part of the rounds."""

WAITS = 0.5
"""Processors that serial calls can use, if they spend half of their time waiting for something else."""

NATIVE = 1.3
"""Processors that serial calls can use, if a library underneath has threads of its own."""


@dataclass(frozen=True)
class Timing:
    """What one way took, one entry for each round: `seconds` of wall time, `cpu` seconds of processor time, `queued`
    seconds that its threads could have used a processor and had none.

    `start`: seconds from the making of the pool to its first result. `chunks`: the fewest and the most items that a
    worker took at a time.
    """

    backend: str
    workers: int
    seconds: tuple[float, ...]
    cpu: tuple[float, ...]
    queued: tuple[float, ...]
    start: float = 0.0
    chunks: tuple[int, int] = (1, 1)

    @property
    def way(self) -> str:
        """Its name: "serial", "threads x 2"."""
        return self.backend if self.backend == SERIAL else f"{self.backend} x {self.workers}"

    @property
    def median(self) -> float:
        """Median wall time, seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the way from the fastest round to the slowest, as a fraction of the median."""
        return (max(self.seconds) - min(self.seconds)) / 2 / self.median

    @property
    def cpu_use(self) -> float:
        """How many processors it used, on average: processor time over wall time."""
        return statistics.median(cpu / wall for cpu, wall in zip(self.cpu, self.seconds, strict=True))

    @property
    def demand(self) -> float:
        """How many processors it would have used, had there always been a free one. On a machine with nothing else to
        do, and not more workers than processors, the same as `cpu_use`."""
        rounds = zip(self.cpu, self.queued, self.seconds, strict=True)
        return statistics.median((cpu + queued) / wall for cpu, queued, wall in rounds)

    @property
    def crowding(self) -> float:
        """The part of that for which there was no free one."""
        return statistics.median(q / (cpu + q) if q else 0.0 for cpu, q in zip(self.cpu, self.queued, strict=True))

    @property
    def with_start(self) -> float:
        """Seconds for the work and a new pool to do it."""
        return self.start + self.median


@dataclass(frozen=True)
class Figures:
    """The ways side by side: serial first, and all did the same `items` calls in each round.

    `sending`: the cost of sending one item and its result; None if they cannot be sent. `cpus`: the processors that
    this program may use. `lock`: does the interpreter have a lock? `longest`: the part of the serial time that the
    longest call takes; None if it was not looked for.
    """

    timings: tuple[Timing, ...]
    items: int
    cpus: int
    sending: Sending | None
    lock: bool
    longest: float | None = None

    @property
    def serial(self) -> Timing:
        """The way that the others are measured against."""
        return self.timings[0]

    @property
    def best(self) -> Timing:
        """The way to choose for this work, the start of its pool included; of equals the plainest."""
        return self._best(lambda timing: timing.start)

    @property
    def best_started(self) -> Timing:
        """The way to choose if the pool is there already."""
        return self._best(lambda timing: 0.0)

    def _best(self, extra: Callable[[Timing], float]) -> Timing:
        best = self.serial
        for timing in self.timings[1:]:
            rivals = (self.serial, best)
            if self._overlaps(timing) and all(is_faster(timing, r, extra(timing), extra(r)) for r in rivals):
                best = timing
        return best

    def _overlaps(self, timing: Timing) -> bool:
        """Did its workers work at the same time? If serial calls keep one processor busy, and these, too, no more than
        one, then what looks faster is the machine's doing."""
        calculates = WAITS <= self.serial.demand <= NATIVE
        return not calculates or timing.demand >= self.serial.demand * (1 + MARGIN)

    def of(self, backend: str) -> list[Timing]:
        """The timings of a backend, fewest workers first."""
        return sorted((t for t in self.timings if t.backend == backend), key=lambda t: t.workers)

    def speed_up(self, timing: Timing) -> float:
        """How many times faster than serial (a ratio of medians, without starts)."""
        return self.serial.median / timing.median

    def efficiency(self, timing: Timing) -> float:
        """Speed-up per worker: 1.0 when `workers` workers are `workers` times as fast."""
        return self.speed_up(timing) / timing.workers

    def pays_from(self, timing: Timing) -> int | None:
        """The number of items from which on a new pool is worth its start; None: it never is.

        Break-even: the start over what each item gains. Never fewer than 2: one item has nothing to share.
        """
        if not is_faster(timing, self.serial):
            return None
        gain = (self.serial.median - timing.median) / self.items
        return max(2, math.ceil(timing.start / gain))

    def fit(self, backend: str) -> Fit | None:
        """Amdahl's law, fitted to the rounds of a backend; None if there is no timing that it can be fitted to."""
        # With more workers than processors they take turns, which the law knows nothing of.
        usable = [t for t in self.of(backend) if 1 < t.workers <= self.cpus or t.workers == 1]
        points = [(t.workers, seconds) for t in usable for seconds in t.seconds]
        return amdahl(self.serial.median, points)


def is_faster(one: Timing, other: Timing, extra: float = 0.0, other_extra: float = 0.0) -> bool:
    """Is it faster beyond the noise: by MARGIN in the median, and in MOST_ROUNDS of the rounds, in which both met the
    same minute of the machine? The extras are added to each."""
    if (one.median + extra) > (other.median + other_extra) * (1 - MARGIN):
        return False
    rounds = list(zip(one.seconds, other.seconds, strict=True))
    return sum(a + extra < b + other_extra for a, b in rounds) >= MOST_ROUNDS * len(rounds)
