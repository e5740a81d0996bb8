"""`multiprocessing`'s API over threads: the stdlib's, with our ThreadPool."""

from __future__ import annotations

import multiprocessing.dummy as _stdlib
from collections.abc import Callable, Iterable
from multiprocessing.dummy import *  # noqa: F403
from typing import Any

from ..pool import ThreadPool

__all__ = [*_stdlib.__all__]


def Pool(  # type: ignore[no-redef]
    processes: int | None = None, initializer: Callable[..., Any] | None = None, initargs: Iterable[Any] = ()
) -> ThreadPool:
    """A pool of threads."""
    return ThreadPool(processes, initializer, initargs)


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
