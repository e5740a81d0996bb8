"""Pool: a worker that dies takes with it only the task that it had."""

import itertools
import os
import signal
import time
from functools import partial
from typing import Any

import pytest
from conftest import wait_until
from pool_tasks import SOON, Watched, begin, count, die, exit_at_once, meet_all, square

from lightwork.context import BaseContext
from lightwork.errors import WorkerDied


def die_at(deadly: int, x: int) -> int:
    if x == deadly:
        die()
    return x


def die_at_three(x: int) -> int:
    return die_at(3, x)


def count_or_die_at_three(job: tuple[Any, int]) -> int:
    counter, x = job
    return count(counter, die_at_three(x))


def leave_a_child_and_die(pids: Any) -> None:
    child = os.fork()
    if child == 0:
        time.sleep(600)
    pids.put(child)
    die()


@pytest.mark.parametrize(
    ("func", "args", "exitcode", "words"),
    [(die, (), -signal.SIGKILL, "SIGKILL"), (die, (signal.SIGTERM,), -signal.SIGTERM, "SIGTERM"),
     (exit_at_once, (7,), 7, "code 7"), (exit_at_once, (0,), 0, "code 0")],
)  # fmt: skip
def test_the_task_of_a_worker_that_dies_fails(
    ctx: BaseContext, func: Any, args: Any, exitcode: int, words: str
) -> None:
    begun, go = ctx.Event(), ctx.Event()
    with ctx.Pool(2) as pool:
        other = pool.apply_async(begin, (begun, go, 5))
        assert begun.wait(SOON)
        with pytest.raises(WorkerDied, match=words) as info:
            pool.apply(func, args)
        assert info.value.exitcode == exitcode
        assert info.value.pid not in {w.pid for w in pool._pool}
        assert func.__name__ in str(info.value)
        go.set()
        assert other.get(SOON) == 5
        assert info.value.pid not in meet_all(ctx, pool)


def test_a_death_names_the_function_that_a_partial_calls(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool, pytest.raises(WorkerDied, match=r"item 3 of die_at\(\)"):
        pool.map(partial(partial(die_at), 3), range(5), chunksize=1)


def test_a_map_loses_only_what_the_dead_worker_had(ctx: BaseContext) -> None:
    counter = ctx.Value("i", 0)
    with ctx.Pool(2) as pool:
        result = pool.map_async(count_or_die_at_three, [(counter, x) for x in range(10)], chunksize=1)
        with pytest.raises(WorkerDied, match=r"item 3 of count_or_die_at_three"):
            result.get(SOON)
        assert counter.value == 9
        with pytest.raises(WorkerDied, match=r"item 3 of die_at_three"):
            pool.map_async(die_at_three, range(10), chunksize=2).get(SOON)


def test_an_imap_loses_only_what_the_dead_worker_had(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool:
        results = pool.imap(die_at_three, range(12))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(WorkerDied, match="item 3"):
            next(results)
        assert list(results) == list(range(4, 12))


def test_the_death_of_idle_workers_costs_nothing(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool:
        first = meet_all(ctx, pool)
        watched = Watched(first)
        for worker in first:
            os.kill(worker, signal.SIGKILL)
        assert watched.end()
        assert not first & meet_all(ctx, pool)
        assert pool.map(square, range(10)) == [x * x for x in range(10)]


def test_a_death_is_noticed_though_a_grandchild_lives(ctx: BaseContext) -> None:
    """What a worker started may hold the pipe by which the standard library notices the worker's end."""
    pids = ctx.SimpleQueue()
    with ctx.Pool(1) as pool:
        try:
            with pytest.raises(WorkerDied):
                pool.apply_async(leave_a_child_and_die, (pids,)).get(SOON)
            assert pool.apply(square, (3,)) == 9
        finally:
            os.kill(pids.get(), signal.SIGKILL)


def test_random_deaths(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool:
        meet_all(ctx, pool)
        results = [pool.apply_async(square, (x,)) for x in range(2000)]
        for victim in itertools.count():
            if results[-1].ready() or victim == 10:
                break
            results[victim * 150].wait(SOON)
            for worker in pool._pool[:1]:
                os.kill(worker.pid, signal.SIGKILL)
        died = 0
        for x, result in enumerate(results):
            try:
                assert result.get(SOON) == x * x
            except WorkerDied:
                died += 1
        assert died <= 10
        assert len(meet_all(ctx, pool)) == 2


def pause(_: Any) -> None:
    signal.pause()


def test_a_task_that_ends_while_its_worker_takes_it_does_not_come_back(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool:
        pool.apply(square, (1,))
        paused = pool.apply_async(pause, ("x" * 200_000_000,))  # it takes a while to take that
        assert wait_until(lambda: pool._engine.crew.works_for(paused.id), SOON)
        assert paused.cancel()
        assert pool.apply_async(square, (2,)).get(SOON) == 4
