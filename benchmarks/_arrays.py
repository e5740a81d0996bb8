"""Large arrays: what the benchmarks of them send, and the copy that nobody can do without."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np

MILLI = 1e3
MB = 1_000_000
MEMCPY = "one warm memcpy"
WARM_UP = 3


def ready_array(megabytes: int) -> Any:
    """An array of so many million bytes, all of which have been written."""
    return np.arange(megabytes * MB // 8, dtype=np.float64)


def ends(array: Any) -> float:
    """What the receiver does: it touches both ends."""
    return float(array[0] + array[-1])


def steady(once: Callable[[], object], calls: int) -> float:
    """Milliseconds for one call, when some have been made before."""
    for _ in repeat(None, WARM_UP):
        once()
    start = time.perf_counter()
    for _ in repeat(None, calls):
        once()
    return (time.perf_counter() - start) / calls * MILLI


def memcpy(megabytes: int, calls: int) -> float:
    """Milliseconds to copy such an array into another, both touched before."""
    source = ready_array(megabytes)
    target = np.ones_like(source)
    return steady(lambda: np.copyto(target, source), calls)


def check(found: float, array: Any) -> None:
    """`found` is what `ends` gives for this array."""
    if found != ends(array):
        raise RuntimeError(f"the array's ends make {found}, not {ends(array)}")
