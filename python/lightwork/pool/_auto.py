"""Pools and maps that choose their way: `Pool(backend="auto")`, `lightwork.map`. The steps are in `_choice.py`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from multiprocessing.context import BaseContext
from typing import Any, TypeVar

from ..context import _default_context
from ..cpus import usable_cpus
from . import _checks
from ._choice import Choice
from ._engine import CLOSE, RUN, TERMINATE
from ._pool import Pool
from ._threads import ThreadPool

T = TypeVar("T")

START = {"fork": 0.01, "forkserver": 0.1, "spawn": 0.2}
"""Seconds from a pool of two processes to its first result, by start method: 13, 10 (100 the first time) and 220 ms
here, on two busy processors."""


class AutoPool(Pool):
    """A pool whose `map` and `starmap` choose how to work: serially, on threads or on processes.

    They try some items in the caller's thread, and start what pays for the rest; `explanation` says in a sentence what
    the last of them chose, and why. All other methods run in worker processes, which are started when they are first
    needed. What only processes have (an initializer, time limits, retries, a limit of memory, tasks per child, warm
    start), and `progress` and `seed`, make the maps use these, too.
    """

    explanation = ""
    #: What `Pool.__init__` sets, and its methods need.
    _later = frozenset({"_processes", "_timeout", "_retries", "_limited", "_ctx", "_engine", "_cache", "_terminate"})
    _threads: ThreadPool | None = None

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: BaseContext | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        memory_limit: int | None = None,
        warm_start: bool = False,
    ) -> None:
        self._start_processes = partial(
            super().__init__,
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
        self._starting = threading.RLock()
        self._method = None if context is None else context.get_start_method()
        self.chosen = processes is not None
        self._workers = 0 if processes is None else _checks.count("processes", processes)
        limits = (initializer, maxtasksperchild, timeout, memory_limit)
        self._bound = any(limit is not None for limit in limits) or retries != 0 or warm_start
        if self._bound:
            self._start_processes()
        else:
            self._pid = os.getpid()
            self._pool = []
            self._state = RUN

    def __getattr__(self, name: str) -> Any:
        if name not in AutoPool._later:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with self._starting:
            if not self.has_processes():
                self._start_processes()
        return self.__dict__[name]

    # -- what a choice asks

    @property
    def workers(self) -> int:
        """How many workers calculate at a time: as many as were asked for, or there are processors."""
        if not self._workers:
            self._workers = usable_cpus()
        return self._workers

    def has_processes(self) -> bool:
        """Are they started?"""
        return "_terminate" in self.__dict__

    def start_estimate(self) -> float:
        """Seconds until processes could give their first result."""
        if self.has_processes():
            return 0.0005
        default = _default_context.get_start_method(allow_none=True) or _default_context.get_all_start_methods()[0]
        return START[self._method or default]

    def processes(self) -> Pool:
        """A pool of processes: this one, whose `map_async` and `submit` are of that kind."""
        if self._threads is not None and not self.has_processes():
            self._threads.close()  # a fork goes best without threads
            self._threads.join()
            self._threads = None
        return self

    def threads(self, count: int) -> ThreadPool:
        """A pool of so many threads."""
        with self._starting:
            if self._threads is None or self._threads._processes != count:
                if self._threads is not None:
                    self._threads.close()
                self._threads = ThreadPool(count)
            return self._threads

    # -- as a pool

    def map(
        self,
        func: Callable[[Any], T],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        progress: bool = False,
        seed: int | None = None,
    ) -> list[T]:
        """`[func(x) for x in iterable]`, as it pays: see `AutoPool`, and `Pool.map` for the parameters."""
        if self._takes_processes(timeout, retries, progress, seed):
            return super().map(
                func, iterable, chunksize, timeout=timeout, retries=retries, progress=progress, seed=seed
            )
        return self._choose(func, iterable, chunksize, False)

    def starmap(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        progress: bool = False,
        seed: int | None = None,
    ) -> list[T]:
        """`[func(*x) for x in iterable]`, otherwise like `map`."""
        if self._takes_processes(timeout, retries, progress, seed):
            return super().starmap(
                func, iterable, chunksize, timeout=timeout, retries=retries, progress=progress, seed=seed
            )
        return self._choose(func, iterable, chunksize, True)

    def _takes_processes(self, timeout: float | None, retries: int | None, progress: bool, seed: int | None) -> bool:
        """Was something asked for that only they have?"""
        if self._bound or timeout is not None or retries is not None or progress or seed is not None:
            self.explanation = f"processes x {self._processes}: what was asked for besides, only they have"
            return True
        return False

    def _choose(self, func: Callable[..., T], iterable: Iterable[Any], chunksize: int | None, star: bool) -> list[T]:
        self._check_running()
        size = None if chunksize is None else _checks.count("chunksize", chunksize)
        choice = Choice(self, func, iterable, size, star)
        try:
            return choice.run()
        finally:
            self.explanation = choice.why

    def close(self) -> None:
        """Take no more jobs. The workers, if there are any, leave when all jobs are done."""
        if self._threads is not None:
            self._threads.close()
        if self.has_processes():
            super().close()
        elif self._state == RUN:
            self._state = CLOSE

    def terminate(self) -> None:
        """End the workers, if there are any, at once. Jobs that are not done raise TaskCancelled."""
        if self._threads is not None:
            self._threads.terminate()
        if self.has_processes():
            super().terminate()
        self._state = TERMINATE

    def join(self) -> None:
        """Wait until the workers have left. Raises ValueError if the pool was neither closed nor terminated."""
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if self.has_processes():
            super().join()
        if self._threads is not None:
            self._threads.join()


def auto_map(
    func: Callable[[Any], T],
    items: Iterable[Any],
    *,
    workers: int | None = None,
    chunksize: int | None = None,
    explain: bool = False,
) -> list[T]:
    """`[func(item) for item in items]`, serially, on threads or on processes: as it pays.

    Some items are tried first, and what pays is started for the rest. `workers`: how many threads or processes at most;
    default: one for each processor, and more threads if the calls wait. `chunksize` as for `Pool.map`. `explain`: print
    to stderr what was chosen, and why. Every item is computed once, and what `func` raises comes out; processes get
    items and give results by pickling, so `func` should not count on changing anything else. Raises ValueError for
    counts less than 1.
    """
    pool = AutoPool(workers)
    with pool:
        results = pool.map(func, items, chunksize)
    pool.join()
    if explain:
        print(f"lightwork.map: {pool.explanation}", file=sys.stderr)
    return results
