"""Pool: limits of time and memory, and cancelling."""

import math
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import wait_until
from pool_tasks import SOON, Watched, begin, begin_and_pause, begin_here, count, meet_all, square

import lightwork as mp
from lightwork.context import BaseContext
from lightwork.errors import PoolBroken, TaskCancelled, TaskTimeout, WorkerDied
from lightwork.futures import ProcessPoolExecutor

fork: Any = mp.get_context("fork")
MIB = 1 << 20


def count_or_pause_at_three(job: tuple[Any, int]) -> int:
    counter, x = job
    while x == 3:
        signal.pause()
    return count(counter, x)


def count_and_pause(counter: Any) -> None:
    counter.add(1)
    while True:
        signal.pause()


def count_and_nap(counter: Any) -> None:
    counter.add(1)
    time.sleep(0.0005)


class SlowToLoad:
    def __reduce__(self) -> Any:
        return load_slowly, (0.8,)

    def __call__(self, x: int) -> int:
        raise AssertionError("it is not this that runs")


def load_slowly(seconds: float) -> Any:
    time.sleep(seconds)
    return square


def use_memory(nbytes: int, seconds: float) -> int:
    block = b"x" * nbytes
    time.sleep(seconds)
    return len(block)


def send_arrays(count: float) -> None:
    """Take and give the family's locks, as good as always."""
    queue = mp.SimpleQueue()
    while count > 0:
        array = mp.ndarray(5000)
        queue.put(array)
        del array
        queue.get()
        count -= 1


# -- time


def test_a_task_is_ended_while_it_holds_what_its_parent_waits_for() -> None:
    ended = 0
    with fork.Pool(2) as pool:
        end = time.monotonic() + 4
        while time.monotonic() < end:
            late = [pool.apply_async(send_arrays, (math.inf,), timeout=0.01) for _ in range(2)]
            while not all(job.ready() for job in late):
                send_arrays(20)
            for job in late:
                with pytest.raises(TaskTimeout):
                    job.get(SOON)
                ended += 1
    assert ended > 10


def test_a_call_over_its_time_ends_and_no_other(ctx: BaseContext) -> None:
    begun, go, overdue = ctx.Event(), ctx.Event(), ctx.Event()
    with ctx.Pool(2) as pool:
        workers = meet_all(ctx, pool)
        other = pool.apply_async(begin_here, (begun, go))
        assert begun.wait(SOON)
        with pytest.raises(TaskTimeout, match=r"begin_and_pause\(\) took longer than 0.2 s"):
            pool.apply(begin_and_pause, (overdue,), timeout=0.2)
        assert overdue.is_set()
        go.set()
        survivors = workers & meet_all(ctx, pool)
        assert survivors == {other.get(SOON)}


def test_the_pools_timeout_is_the_default_of_calls(ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()
    with ctx.Pool(2, timeout=0.2) as pool:
        patient = pool.apply_async(begin, (begun, go, 7), timeout=SOON)
        assert begun.wait(SOON)
        for overdue in (
            pool.apply_async(begin_and_pause, (ctx.Event(),)).get,
            pool.submit(begin_and_pause, ctx.Event()).result,
            pool.map_async(begin_and_pause, [ctx.Event()]).get,
            pool.imap(begin_and_pause, [ctx.Event()]).next,
        ):
            with pytest.raises(TaskTimeout):
                overdue(SOON)
        go.set()
        assert patient.get(SOON) == 7


def test_time_runs_only_while_the_call_does(ctx: BaseContext) -> None:
    with ctx.Pool(1, timeout=0.7) as pool:
        assert pool.map(time.sleep, [0.2] * 4) == [None] * 4
        assert pool.map(time.sleep, [0.2] * 4, chunksize=4) == [None] * 4
        assert list(pool.imap(time.sleep, [0.2] * 4, chunksize=4)) == [None] * 4
        assert pool.apply(SlowToLoad(), (3,), timeout=0.5) == 9  # as a function is whose module imports a lot


def test_an_item_over_its_time_fails_alone(ctx: BaseContext) -> None:
    counter = ctx.Value("i", 0)
    jobs = [(counter, x) for x in range(10)]
    with ctx.Pool(2) as pool:
        with pytest.raises(TaskTimeout, match="item 3 of count_or_pause_at_three"):
            pool.map(count_or_pause_at_three, jobs, timeout=0.6)
        assert counter.value == 9
        for chunksize, before in ((1, [0, 1, 2]), (2, [0, 1])):
            results = pool.imap(count_or_pause_at_three, jobs, chunksize, timeout=0.6)
            assert [next(results) for _ in before] == before
            with pytest.raises(TaskTimeout, match="item 3 of count_or_pause_at_three"):
                next(results)
            assert list(results) == list(range(4, 10))


# -- memory


@pytest.mark.parametrize("timeout", [None, SOON])
def test_a_call_that_uses_too_much_memory_fails_alone(ctx: BaseContext, timeout: float | None) -> None:
    begun, go = ctx.Event(), ctx.Event()
    with ctx.Pool(2, memory_limit=200 * MIB, timeout=timeout) as pool:
        other = pool.apply_async(begin, (begun, go, 5))
        assert begun.wait(SOON)
        with pytest.raises(WorkerDied, match=r"use_memory\(\): it used \d+ MiB of memory, over the limit") as info:
            pool.apply(use_memory, (300 * MIB, SOON))
        assert info.value.peak_memory is not None
        assert info.value.peak_memory > 200 * MIB
        assert info.value.exitcode == -signal.SIGKILL
        go.set()
        assert other.get(SOON) == 5


def test_memory_of_the_parent_is_not_the_workers(ctx: BaseContext) -> None:
    ballast = b"x" * (300 * MIB)
    with ctx.Pool(1, memory_limit=200 * MIB) as pool:
        assert pool.apply(use_memory, (10 * MIB, 0.3)) == 10 * MIB
        with pytest.raises(WorkerDied, match="over the limit"):
            pool.apply(use_memory, (300 * MIB, SOON))
    assert len(ballast) == 300 * MIB


def test_an_initializer_that_uses_too_much_memory_breaks_the_pool() -> None:
    context = mp.get_context("fork")
    pool = context.Pool(1, use_memory, (300 * MIB, SOON), memory_limit=200 * MIB)
    with pool, pytest.raises(PoolBroken, match="over the limit"):
        pool.apply_async(square, (3,)).get(SOON)


# -- cancelling


def test_cancel_calls(ctx: BaseContext) -> None:
    begun, counter = ctx.Event(), ctx.Value("i", 0)
    with ctx.Pool(1) as pool:
        (worker,) = meet_all(ctx, pool, 1)
        watched = Watched({worker})
        running = pool.apply_async(begin_and_pause, (begun,))
        queued = pool.apply_async(count, (counter, 1))
        kept = pool.apply_async(square, (3,))
        assert begun.wait(SOON)
        assert queued.cancel()
        assert queued.ready()
        assert not queued.successful()
        with pytest.raises(TaskCancelled, match=r"count\(\) was cancelled"):
            queued.get(0)
        assert not queued.cancel()
        assert running.cancel()
        with pytest.raises(TaskCancelled, match=r"begin_and_pause\(\) was cancelled"):
            running.get(0)
        assert watched.end()
        assert kept.get(SOON) == 9
        assert not kept.cancel()
        assert kept.get(0) == 9
        assert counter.value == 0


def test_cancel_a_map(ctx: BaseContext) -> None:
    counter = ctx.Value("i", 0)
    told: list[object] = []
    with ctx.Pool(2) as pool:
        result = pool.map_async(count_and_pause, [counter] * 20, chunksize=1, error_callback=told.append)
        assert wait_until(lambda: counter.value == 2, SOON)
        assert result.cancel()
        with pytest.raises(TaskCancelled, match="count_and_pause"):
            result.get(SOON)
        assert len(meet_all(ctx, pool)) == 2
        assert counter.value == 2
    assert [type(e) for e in told] == [TaskCancelled]


def test_cancel_a_large_chunk_of_quick_items(ctx: BaseContext) -> None:
    counter = ctx.Value("i", 0)
    with ctx.Pool(1) as pool:
        for _ in range(2):
            before = counter.value
            result = pool.map_async(count_and_nap, [counter] * 1_000_000, chunksize=1_000_000)
            assert wait_until(lambda before=before: counter.value > before + 20, SOON)
            assert result.cancel()
            assert pool.apply_async(square, (3,)).get(SOON) == 9


def test_cancel_wakes_who_waits(ctx: BaseContext) -> None:
    begun = ctx.Event()
    with ctx.Pool(1) as pool, ThreadPoolExecutor(1) as thread:
        result = pool.apply_async(begin_and_pause, (begun,))
        cancelled = thread.submit(lambda: begun.wait(SOON) and result.cancel())
        with pytest.raises(TaskCancelled):
            result.get(SOON)
        assert cancelled.result(SOON)


def test_a_forked_child_takes_no_call_out_of_its_parents_queue() -> None:
    begun, go = fork.Event(), fork.Event()
    with fork.Pool(1) as pool:
        running = pool.apply_async(begin, (begun, go, 1))
        assert begun.wait(SOON)
        queued, future = pool.apply_async(begin, (begun, go, 2)), pool.submit(begin, begun, go, 3)

        def cancel() -> tuple[str, bool]:
            with pytest.raises(ValueError) as info:
                queued.cancel()
            for wait in (future.result, future.exception):
                with pytest.raises(ValueError, match="can only be had there"):
                    wait(SOON)
            return str(info.value), future.cancel()

        child = fork.Process(target=cancel)
        child.start()
        words, cancelled = child.result(SOON)
        assert "can only be had there" in words and not cancelled
        go.set()
        assert [running.get(SOON), queued.get(SOON), future.result(SOON)] == [1, 2, 3]


@pytest.mark.parametrize("seconds", [1e9, 1e300, float("inf")])  # more than a system call takes; than a clock
@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_a_time_limit_may_be_any_number(backend: str, seconds: float) -> None:
    with mp.Pool(2, backend=backend) as pool:

        def items() -> Iterator[int]:
            crew = pool._engine.crew.thread  # it has been told of the time limit
            assert crew is not None
            crew.join(0.3)
            assert crew.is_alive()
            yield 3

        assert list(pool.imap(square, items(), timeout=seconds)) == [9]
        assert pool.apply(square, (4,), timeout=seconds) == 16


@pytest.mark.parametrize("wrong", [{"timeout": "5"}, {"memory_limit": "1G"}, {"retries": "2"}, {"retries": 1.5}])
def test_limits_that_are_no_numbers(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    for make in (mp.Pool, ProcessPoolExecutor):
        with pytest.raises(TypeError, match=f"{name} has to be "):
            make(1, **wrong)


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"timeout": -1.0}, {"timeout": float("nan")}, {"retries": -1}])
def test_wrong_limits(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        mp.Pool(1, **wrong)
    with pytest.raises(ValueError, match="memory_limit"):
        mp.Pool(1, memory_limit=0)
    with mp.Pool(1, timeout=math.inf, memory_limit=math.inf) as pool:  # type: ignore[arg-type]
        assert pool.apply(abs, (-1,)) == 1
    with mp.Pool(1) as pool:
        for start in (pool.apply, pool.map, pool.imap, pool.imap_unordered):
            with pytest.raises(ValueError, match=name):
                start(square, (1,), **wrong)
        assert pool.apply(square, (3,)) == 9
