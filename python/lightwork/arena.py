"""The shared memory of this family of processes, as numbers."""

from __future__ import annotations

from operator import index
from typing import NamedTuple

from . import _native

__all__ = ["Stats", "set_budget", "stats"]


_MOST = (1 << 64) - 1
"""The core has 64 bits for it."""


class Stats(NamedTuple):
    """Bytes of the arena."""

    #: In blocks in use, rounded to the 64 KiB runs they lie in.
    used: int
    #: The most ever used at once.
    peak: int
    #: Free, and kept warm for the next to use it.
    free: int
    #: The most that may be in use at once.
    budget: int
    #: Of the address range.
    size: int
    #: Of `used`, by the pid of the process that they are accounted to: who made a block, or received it last.
    processes: dict[int, int]


def stats() -> Stats:
    """What is used now, after a look at who has died."""
    return Stats(*_native.arena_stats(), processes=_native.arena_owners())


def set_budget(nbytes: int) -> None:
    """Let at most `nbytes` bytes be in use at once, in the whole family. There `Queue.put` waits; what cannot
    wait, or can never fit, raises ArenaFull.

    The default is three quarters of the machine's (or the memory cgroup's) memory. Raises TypeError for what is no int,
    ValueError for less than 1 MiB. More than there can be is as much as there can be.
    """
    try:
        budget = index(nbytes)
    except TypeError:
        raise TypeError(f"a budget is an int, bytes, not {nbytes!r}") from None
    if budget < 1 << 20:
        raise ValueError(f"a budget of {budget} bytes is less than 1 MiB, which the primitives themselves need")
    _native.set_arena_budget(min(budget, _MOST))
