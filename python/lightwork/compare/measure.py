"""Time the ways against each other."""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightwork.compare.ways import WAYS, Target, Way


@dataclass(frozen=True)
class Timing:
    """What one way took.

    `workers` is how many threads or processes worked at the same time (serial: 1); `seconds` and `totals` hold one
    entry per round: the wall time, and the sum of the results.
    """

    way: str
    workers: int
    seconds: tuple[float, ...]
    totals: tuple[Any, ...]

    @property
    def median(self) -> float:
        """Median wall time, seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Comparison:
    """The ways side by side; the first is the one the others are measured against."""

    timings: tuple[Timing, ...]

    @property
    def agree(self) -> bool:
        """Whether every way gave the same total in every round."""
        expected = self.timings[0].totals[0]
        return all(total == expected for timing in self.timings for total in timing.totals)

    @property
    def fastest(self) -> Timing:
        """The way with the smallest median."""
        return min(self.timings, key=lambda timing: timing.median)

    def speed_up(self, timing: Timing) -> float:
        """How many times faster than the first way (a ratio of medians)."""
        return self.timings[0].median / timing.median

    def efficiency(self, timing: Timing) -> float:
        """Speed-up per worker: 1.0 when `workers` workers are `workers` times as fast."""
        return self.speed_up(timing) / timing.workers

    def to_dict(self) -> dict[str, Any]:
        """The figures and the Python they were taken on, ready for JSON; times in seconds, efficiency as a fraction."""
        return {
            "python": platform.python_version(),
            "implementation": sys.implementation.name,
            "machine": platform.platform(),
            "agree": self.agree,
            "total": self.timings[0].totals[0],
            "fastest": self.fastest.way,
            "ways": [
                {
                    "way": timing.way,
                    "workers": timing.workers,
                    "seconds": list(timing.seconds),
                    "median": timing.median,
                    "speed_up": self.speed_up(timing),
                    "efficiency": self.efficiency(timing),
                }
                for timing in self.timings
            ],
        }


def time_ways(
    target: Target, args: tuple[Any, ...] = (), *, workers: int = 2, repeat: int = 3, ways: Mapping[str, Way] = WAYS
) -> Comparison:
    """Run `target(queue, *args)` `workers` times in each way, `repeat` rounds; return the timings.

    `target` puts one result, something that can be added, into the queue it is given. The rounds are interleaved
    (serial, threads, processes, serial, ...), so that a machine that slows down for a while slows every way alike.

    Raises ValueError if `workers` or `repeat` is below 1, otherwise what a way raises (see `ways`). Totals that differ
    do not raise: ask `Comparison.agree`.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    if repeat < 1:
        raise ValueError(f"repeat must be at least 1, not {repeat}")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    totals: dict[str, list[Any]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, way in ways.items():
            start = time.perf_counter()
            results = way(target, args, workers)
            seconds[name].append(time.perf_counter() - start)
            totals[name].append(sum(results[1:], start=results[0]))
    return Comparison(
        tuple(
            Timing(name, 1 if name == "serial" else workers, tuple(seconds[name]), tuple(totals[name])) for name in ways
        )
    )
