"""What the tests of Pool have it do, and how they look at its workers."""

import os
import select
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from lightwork.context import BaseContext
from lightwork.pool import Pool

SOON = 30.0
"""Seconds that nothing here takes, unless it hangs."""


# -- what the tasks do


def raise_stop(x: int) -> int:
    if x == 2:
        raise StopIteration("from the task")
    return x


def square(x: int) -> int:
    return x * x


def pid(_: object = None) -> int:
    return os.getpid()


def fail(x: object) -> None:
    raise KeyError(x)


def die(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)


def die_once(died: Any, x: int = 3) -> int:
    """Three kills the worker if it has not yet done so."""
    if x == 3 and died.exchange(1) == 0:
        die()
    return x


def exit_at_once(code: int) -> None:
    os._exit(code)


def meet(barrier: Any) -> int:
    """Returns only when as many workers as the barrier has parties are here at once."""
    barrier.wait(SOON)
    return os.getpid()


def begin(begun: Any, go: Any, value: int = 0) -> int:
    begun.set()
    assert go.wait(SOON)
    return value


def begin_here(begun: Any, go: Any) -> int:
    begin(begun, go)
    return os.getpid()


def begin_and_pause(begun: Any) -> None:
    begun.set()
    while True:
        signal.pause()


def count(counter: Any, x: int) -> int:
    counter.add(1)
    return x


def count_then_fail(counter: Any, x: int) -> None:
    counter.add(1)
    if x >= 4:
        raise KeyError(x)


# -- what every kind of pool does alike


def check_that_stop_iteration_is_an_error_and_no_end(pool: Pool) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        pool.map(raise_stop, range(5))
    results = pool.imap(raise_stop, range(4))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(RuntimeError, match="StopIteration"):
        next(results)
    assert list(results) == [3]


class Endless:
    """An iterable of 1, 2, ... that counts what was taken."""

    taken = 0

    def __iter__(self) -> Iterator[int]:
        while True:
            self.taken += 1
            yield self.taken


# -- the workers


def meet_all(ctx: BaseContext, pool: Pool, workers: int = 2) -> set[int]:
    """The pids of all workers: so many are ready and idle now."""
    return set(pool.map(meet, [ctx.Barrier(workers)] * workers, 1))


class Watched:
    """Processes whose ends can be waited for."""

    def __init__(self, pids: set[int]) -> None:
        self._fds = [os.pidfd_open(p) for p in pids]

    def end(self) -> bool:
        """Have all ended, or do so soon?"""
        try:
            return all(select.select([fd], [], [], SOON)[0] for fd in self._fds)
        finally:
            for fd in self._fds:
                os.close(fd)
