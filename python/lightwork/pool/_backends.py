"""Pool(backend=...): which class of pool that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from multiprocessing.context import BaseContext
from typing import Any

from ._auto import AutoPool
from ._pool import Pool
from ._threads import SerialPool, ThreadPool


def make_pool(
    backend: str,
    processes: int | None,
    initializer: Callable[..., object] | None,
    initargs: Iterable[Any],
    maxtasksperchild: int | None,
    context: BaseContext | None,
    *,
    timeout: float | None,
    retries: int,
    memory_limit: int | None,
    warm_start: bool,
) -> Pool:
    """The pool of a backend: "processes", "threads", "serial" or "auto". Raises ValueError for another one.

    What only processes have (`maxtasksperchild`, `retries`, `memory_limit`, `warm_start`) "threads" and "serial" have
    no need of.
    """
    kinds: dict[str, type[Pool]] = {"processes": Pool, "auto": AutoPool}
    if backend in kinds:
        return kinds[backend](
            processes,
            initializer,
            initargs,
            maxtasksperchild,
            context,
            timeout=timeout,
            retries=retries,
            memory_limit=memory_limit,
            warm_start=warm_start,
        )
    if backend == "threads":
        return ThreadPool(processes, initializer, initargs, timeout=timeout)
    if backend == "serial":
        return SerialPool(1, initializer, initargs)
    raise ValueError(f"cannot find backend {backend!r}: it is 'processes', 'threads', 'serial' or 'auto'")
