"""Amdahl's law, fitted to what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fit:
    """`serial_part`: the fraction of the work that does not get faster with more workers. `overhead`: seconds that each
    round costs besides; None if it cannot be told from the serial part, for want of another number of workers."""

    serial_part: float
    overhead: float | None

    @property
    def limit(self) -> float:
        """The speed-up that no number of workers exceeds."""
        return 1 / self.serial_part if self.serial_part else float("inf")


def amdahl(serial: float, points: Sequence[tuple[int, float]]) -> Fit | None:
    """Fit t(p) = serial * (s + (1 - s) / p) + overhead to points (workers p, seconds); `serial` is the time without
    workers. None without a point of 2 workers or more.

    The law: Gene M. Amdahl, "Validity of the single processor approach to achieving large scale computing
    capabilities", AFIPS 1967. It is linear in 1 / p, so least squares give both unknowns; from a single number of
    workers the overhead is counted into s.
    """
    counts = {workers for workers, _ in points}
    if max(counts, default=1) < 2:
        return None
    if len(counts) == 1:
        (workers,) = counts
        median = statistics.median(seconds for _, seconds in points)
        return Fit(_fraction((median / serial - 1 / workers) / (1 - 1 / workers)), None)
    slope, intercept = statistics.linear_regression([1 / p for p, _ in points], [seconds for _, seconds in points])
    return Fit(_fraction(1 - slope / serial), max(0.0, slope + intercept - serial))


def _fraction(value: float) -> float:
    return min(1.0, max(0.0, value))
