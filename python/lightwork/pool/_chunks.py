"""How the items of a map become pages, the pieces that workers take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

PAGES = 32
"""Pages for each worker, before they get smaller: enough for an even load if some items take much longer than
others."""

TAPER = 8
"""From here on a page is this part of each worker's share of the rest: towards the end they shrink to single items, so
that the workers end together. (Guided self-scheduling: Polychronopoulos and Kuck, 1987, whose part is 1.)"""

WORTH = 200_000
"""Nanoseconds of work that are worth a page of their own; taking one costs a few thousand."""


def as_sequence(items: Iterable[Any]) -> Sequence[Any]:
    """The items so that slices of them are pages. (A numpy array's slices are what its items are, too.)"""
    of_rows: Any = type(items).__module__ == "numpy" and getattr(items, "shape", None)
    if of_rows or type(items) in (list, tuple, range):
        return items  # type: ignore[return-value]
    return list(items)


def equal_pages(count: int, size: int) -> list[int]:
    """The first items of pages of `size`, and last `count`."""
    return [*range(0, count, size), count]


def guided_pages(count: int, workers: int, pace: float | None) -> list[int]:
    """The first items of pages that get smaller, and last `count`. `pace`: nanoseconds an item took so far, if
    known."""
    least = 1 if not pace else max(1, min(int(WORTH / pace), count // workers))
    most = max(least, count // (PAGES * workers))
    starts, at = [], 0
    while at < count:
        starts.append(at)
        at += min(most, max(least, (count - at) // (TAPER * workers)))
    return [*starts, count]
