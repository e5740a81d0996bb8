"""Pool: what a worker's death took is begun again, if `retries` says so."""

import signal
from typing import Any

import pytest
from pool_tasks import SOON, begin, die, die_once, fail, square

from lightwork.context import BaseContext
from lightwork.errors import TaskTimeout, WorkerDied
from lightwork.pool._crew import Fate


def count_and_pause(counter: Any) -> None:
    counter.add(1)
    while True:
        signal.pause()


def count_and(counter: Any, task: Any, x: object) -> None:
    counter.add(1)
    task(x)


def die_once_at_three(job: tuple[Any, int]) -> int:
    return die_once(*job)


def test_a_call_that_kills_its_worker_once(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool, ctx.Pool(2, retries=1) as stubborn:
        assert pool.apply(die_once, (ctx.Value("i", 0), 3), retries=1) == 3
        assert stubborn.apply(die_once, (ctx.Value("i", 0), 3)) == 3
        assert stubborn.submit(die_once, ctx.Value("i", 0), 3).result(SOON) == 3
        jobs = [(ctx.Value("i", 0), x) for x in range(10)]
        assert pool.map(die_once_at_three, jobs, retries=1) == list(range(10))
        jobs = [(ctx.Value("i", 0), x) for x in range(10)]
        assert list(pool.imap(die_once_at_three, jobs, 4, retries=1)) == list(range(10))
        with pytest.raises(WorkerDied):
            stubborn.apply(die_once, (ctx.Value("i", 0), 3), retries=0)


def test_a_call_that_kills_every_worker_is_given_up_and_named(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool:
        calls, items = ctx.Value("i", 0), ctx.Value("i", 0)
        other = pool.map_async(square, range(100), chunksize=1)
        with pytest.raises(WorkerDied, match=r"SIGKILL.* while it ran count_and\(\)"):
            pool.apply(count_and, (calls, die, signal.SIGKILL), retries=2)
        with pytest.raises(WorkerDied, match=r"item 1 of count_and\(\)"):
            pool.starmap(count_and, [(items, abs, 1), (items, die, 9)], chunksize=1, retries=3)
        assert (calls.value, items.value) == (3, 5)
        assert other.get(SOON) == [x * x for x in range(100)]


def test_only_deaths_are_retried(ctx: BaseContext) -> None:
    raised, overdue = ctx.Value("i", 0), ctx.Value("i", 0)
    with ctx.Pool(1, retries=3) as pool:
        with pytest.raises(KeyError):
            pool.apply(count_and, (raised, fail, 1))
        with pytest.raises(TaskTimeout):
            pool.apply(count_and_pause, (overdue,), timeout=0.5)
        assert (raised.value, overdue.value) == (1, 1)


def count_or_pause(counter: Any, begun: Any, go: Any, x: int) -> int:
    if x:
        return begin(begun, go, x)
    counter.add(1)
    return x


def test_what_was_done_before_its_worker_died_is_not_done_again(ctx: BaseContext) -> None:
    counter, begun, go = ctx.Value("i", 0), ctx.Event(), ctx.Event()
    with ctx.Pool(1) as pool:
        result = pool.starmap_async(count_or_pause, [(counter, begun, go, x) for x in range(2)], 1, retries=1)
        assert begun.wait(SOON)
        # As if the worker had died after it had replied, before that was in its row.
        pool._engine.worker_gone(Fate(0, -signal.SIGKILL, None, result.id, 0, (0, 1), True, None))
        go.set()
        assert result.get(SOON) == [0, 1]
        pool.close()
        pool.join()
        assert counter.value == 1
