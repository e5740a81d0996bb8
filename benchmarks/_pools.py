"""The pools that are raced, and one way to ask each of them for the same thing.

Each is used as its own documentation shows: under fork, but for loky, which has its own way. It is made before the
clock starts, is warm when `warm` hands it out, and is gone before the next one is made, so that no rival's idle
processes take the processor from another.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from _rounds import absent

import lightwork


def noop() -> None:
    """The task that costs nothing."""


@dataclass(frozen=True)
class Rival:
    """A pool: `make(workers)`; `begin(pool, func, *args)` begins one call and returns how to wait for its value."""

    make: Callable[[int], Any]
    begin: Callable[..., Callable[[], Any]]
    end: Callable[[Any], object]

    def call(self, pool: Any, func: Callable[..., Any], *args: Any) -> Any:
        return self.begin(pool, func, *args)()


def _begin_apply(pool: Any, func: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    result = pool.apply_async(func, args)
    return result.get  # type: ignore[no-any-return]


def _begin_submit(pool: Any, func: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    future: Future[Any] = pool.submit(func, *args)
    return future.result


def _begin_schedule(pool: Any, func: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    future: Future[Any] = pool.schedule(func, args=args)
    return future.result


def _close(pool: Any) -> None:
    pool.close()
    pool.join()


def _loky(workers: int) -> Any:
    return importlib.import_module("joblib.externals.loky").get_reusable_executor(max_workers=workers)


def _mpire(workers: int) -> Any:
    return importlib.import_module("mpire").WorkerPool(n_jobs=workers, start_method="fork", keep_alive=True)


def _pebble(workers: int) -> Any:
    context = multiprocessing.get_context("fork")
    return importlib.import_module("pebble").ProcessPool(max_workers=workers, context=context)


FORK = multiprocessing.get_context("fork")
OURS = "lightwork.Pool"
STDLIB = "multiprocessing.Pool"
#: Ours first.
POOLS = {
    OURS: Rival(lightwork.get_context("fork").Pool, _begin_apply, _close),
    STDLIB: Rival(FORK.Pool, _begin_apply, _close),
    "ProcessPoolExecutor": Rival(
        lambda workers: ProcessPoolExecutor(workers, mp_context=FORK), _begin_submit, ProcessPoolExecutor.shutdown
    ),
    "loky (joblib)": Rival(_loky, _begin_submit, lambda pool: pool.shutdown(wait=True)),
    "mpire": Rival(_mpire, _begin_apply, lambda pool: pool.stop_and_join()),
    "pebble": Rival(_pebble, _begin_schedule, _close),
}
_PACKAGES = {"loky (joblib)": "joblib", "mpire": "mpire", "pebble": "pebble"}

for _name, _package in _PACKAGES.items():
    if importlib.util.find_spec(_package) is None:
        absent(_package, f"pip install {_package}")
        del POOLS[_name]


def begun_and_pid(seconds: float) -> int:
    time.sleep(seconds)  # so long this worker takes no other call: the others get theirs
    return os.getpid()


@contextmanager
def warm(name: str, workers: int) -> Iterator[tuple[Rival, Any]]:
    """A pool all of whose workers have done something (or a second has passed: some pools start theirs one by one)."""
    rival = POOLS[name]
    pool = rival.make(workers)
    try:
        end = time.monotonic() + 1
        seen: set[int] = set()
        while len(seen) < workers and time.monotonic() < end:
            waits = [rival.begin(pool, begun_and_pid, 0.01) for _ in range(workers)]
            seen |= {wait() for wait in waits}
        yield rival, pool
    finally:
        rival.end(pool)
