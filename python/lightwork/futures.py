"""`concurrent.futures` on our pool."""

from __future__ import annotations

import atexit
import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from multiprocessing.context import BaseContext
from typing import Any, ParamSpec, TypeVar

from . import _native
from .cpus import usable_cpus
from .pool import Pool, _checks
from .pool._futures import Future

__all__ = ["Future", "ProcessPoolExecutor"]

P = ParamSpec("P")
T = TypeVar("T")


class ProcessPoolExecutor(Executor):
    """`concurrent.futures.ProcessPoolExecutor` on a `lightwork.Pool`.

    A worker that dies takes only its own call with it: that future raises WorkerDied (a BrokenProcessPool), and the
    executor goes on. `timeout`, `retries` and `memory_limit` are the pool's.

    Raises ValueError for numbers that are too small, TypeError for what is not what it has to be.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        memory_limit: int | None = None,
    ) -> None:
        self._max_workers = usable_cpus() if max_workers is None else _checks.whole("max_workers", max_workers)
        if self._max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
        self._make_pool = partial(
            Pool,
            self._max_workers,
            _checks.initializer(initializer),
            initargs,
            max_tasks_per_child,
            _checks.context(mp_context),
            timeout=_checks.timeout(timeout),
            retries=_checks.count("retries", retries, 0),
            memory_limit=_checks.memory_limit(memory_limit),
        )
        self._pool: Pool | None = None
        self._shut_down = False
        self._lock = threading.RLock()  # a signal handler may submit, too

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin `fn(*args, **kwargs)` in a worker.

        Raises RuntimeError after `shutdown()` or when the program ends, PoolBroken (a BrokenProcessPool) if the workers
        cannot start.
        """
        return _native.holding(self._lock, self._submit, fn, args, kwargs)

    def _submit(self, fn: Callable[..., T], args: Any, kwargs: Any) -> Future[T]:
        if self._shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if _finished:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        if self._pool is None:
            pool = self._make_pool()
            weakref.finalize(self, pool.close)
            _pools.add(pool)
            self._pool = pool
        else:  # the first call's future tells that the workers could not start, however soon that is known
            self._pool._engine.check()
        return self._pool.submit(fn, *args, **kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """`map(fn, *iterables)` in the workers, `chunksize` calls at a time. The iterables are read at once, or (from
        Python 3.14 on `concurrent.futures` has it, too) only `buffersize` chunks ahead of the results.

        Raises ValueError if `chunksize` or `buffersize` is less than 1, TypeError for a `buffersize` that is no int;
        the iterator raises TimeoutError `timeout` seconds after this call if a result is not there, and what the calls
        raise.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        end = None if timeout is None else time.monotonic() + timeout
        if chunksize == 1:
            calls = ((fn, args) for args in zip(*iterables, strict=False))
            return self._map_ahead(calls, buffersize, end)
        chunks = _chunks(zip(*iterables, strict=False), chunksize)
        results = self._map_ahead(((partial(_call_each, fn), (chunk,)) for chunk in chunks), buffersize, end)
        return itertools.chain.from_iterable(results)

    def _map_ahead(
        self, calls: Iterator[tuple[Callable[..., Any], tuple[Any, ...]]], buffersize: int | None, end: float | None
    ) -> Iterator[Any]:
        futures = deque(self.submit(fn, *args) for fn, args in itertools.islice(calls, buffersize))

        def results() -> Iterator[Any]:
            try:
                while futures:
                    futures[0].exception(None if end is None else end - time.monotonic())  # waits
                    futures.extend(self.submit(fn, *args) for fn, args in itertools.islice(calls, 1))
                    yield _result_of(futures.popleft())  # and keeps it no longer than the caller does
            finally:
                for future in futures:
                    future.cancel()

        return results()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and free the workers when all are done; `wait` for that.

        `cancel_futures`: cancel those that have not begun.
        """
        pool = _native.holding(self._lock, self._close)
        if pool is None:
            return
        if cancel_futures:
            pool._engine.withdraw(pool._engine.jobs)
        pool.close()
        if wait:
            pool.join()

    def __exit__(self, exc_type: Any, exc: Any, traceback: Any) -> None:
        # After an interrupt nobody waits for what has not begun. `map` cancels it, unless a second one comes there.
        self.shutdown(cancel_futures=exc_type is KeyboardInterrupt)

    def terminate_workers(self) -> None:
        """End the workers at once, by force if need be; what is not done raises TaskCancelled."""
        self._end()

    def kill_workers(self) -> None:
        """The same: `terminate_workers` kills those that do not obey."""
        self._end()

    def _end(self) -> None:
        pool = _native.holding(self._lock, self._close)
        if pool is not None:
            pool.terminate()

    def _close(self) -> Pool | None:
        self._shut_down = True
        return self._pool


def _result_of(future: Future[T]) -> T:
    try:
        return future.result()
    finally:
        del future  # an error's traceback leads to this frame


def _chunks(items: Iterator[tuple[Any, ...]], size: int) -> Iterator[tuple[tuple[Any, ...], ...]]:
    while chunk := tuple(itertools.islice(items, size)):
        yield chunk


def _call_each(fn: Callable[..., T], chunk: tuple[tuple[Any, ...], ...]) -> list[T]:
    return list(itertools.starmap(fn, chunk))


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
_finished = False


@atexit.register
def _finish() -> None:
    """What was submitted is done before the program ends, as with the stdlib's executor."""
    global _finished
    _finished = True
    for pool in list(_pools):
        if pool._pid == os.getpid():  # else this is a forked child of the pool's process
            pool.close()
            pool.join()
