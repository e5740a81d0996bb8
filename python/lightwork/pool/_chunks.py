"""What a worker calls for a chunk of items, and how items become chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, starmap
from typing import Any

Chunk = tuple[Callable[..., Any], tuple[Any, ...]]


def mapstar(args: Chunk) -> list[Any]:
    """Call the function with each item of the chunk."""
    func, items = args
    return _complete(list(map(func, items)), items)


def starmapstar(args: Chunk) -> list[Any]:
    """Call the function with the members of each item of the chunk."""
    func, items = args
    return _complete(list(starmap(func, items)), items)


def _complete(results: list[Any], items: tuple[Any, ...]) -> list[Any]:
    if len(results) < len(items):  # `map` takes a StopIteration from the function for its own end
        raise RuntimeError(f"item {len(results)} of the chunk raised StopIteration")
    return results


def chunks(items: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """The items in tuples of `size`, the last one shorter."""
    it = iter(items)
    while chunk := tuple(islice(it, size)):
        yield chunk


def default_chunksize(items: int, processes: int) -> int:
    """Four chunks per worker: a compromise between few messages and an even load, and the stdlib's."""
    return -(-items // (4 * processes))


def checked_chunksize(chunksize: int) -> int:
    """Raises ValueError if it is less than 1."""
    if chunksize < 1:
        raise ValueError(f"chunksize has to be at least 1, not {chunksize!r}")
    return chunksize
