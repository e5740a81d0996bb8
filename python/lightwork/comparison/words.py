"""Numbers in words: plain ASCII, at most three digits that matter."""

from __future__ import annotations

UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))


def unit(value: float) -> tuple[str, float]:
    """The unit in which so many seconds are best said, and its size in seconds."""
    return next((unit for unit in UNITS if value >= unit[1]), UNITS[-1])


def seconds(value: float) -> str:
    """0.0000012 -> "1.2 us"."""
    unit_of_it, size = unit(value)
    return f"{_short(value / size)} {unit_of_it}"


def nbytes(value: float) -> str:
    """8_000_000 -> "8 MB"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{_short(value / size)} {unit}"
    return f"{value:.0f} bytes"


def count(number: int, noun: str) -> str:
    """1 -> "1 call", 2000 -> "2,000 calls"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def times(number: int) -> str:
    """1 -> "once"."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.3g}"
