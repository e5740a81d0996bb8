"""lightwork.futures.ProcessPoolExecutor."""

import asyncio
import concurrent.futures
import gc
import inspect
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

import pytest
from pool_tasks import SOON, begin, begin_and_pause, count, die, die_once, fail, pid, square

from lightwork.context import BaseContext
from lightwork.errors import PoolBroken, TaskCancelled, TaskTimeout, WorkerDied
from lightwork.futures import Future, ProcessPoolExecutor

Make = Callable[..., ProcessPoolExecutor]


@pytest.fixture
def make(ctx: BaseContext) -> Make:
    return partial(ProcessPoolExecutor, mp_context=ctx)


def add(*numbers: int) -> int:
    return sum(numbers)


def inverse(x: int) -> float:
    return 1 / x


# -- calls


def test_submit(make: Make) -> None:
    with make(2) as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        future = executor.submit(int, "ff", base=16)
        assert isinstance(future, Future)
        assert future.result(SOON) == 255
        assert isinstance(executor.submit(fail, 1).exception(SOON), KeyError)
        with pytest.raises(TypeError):
            executor.submit()  # type: ignore[call-arg]


def test_map(make: Make) -> None:
    with make(2) as executor:
        for chunksize in (1, 3, 100):
            assert list(executor.map(square, range(20), chunksize=chunksize)) == [x * x for x in range(20)]
            results = executor.map(add, range(5), range(7), iter(range(9)), chunksize=chunksize)
            assert list(results) == [0, 3, 6, 9, 12]
            assert list(executor.map(square, [], chunksize=chunksize)) == []
            results = executor.map(inverse, [1, 0, 2], chunksize=chunksize)
            with pytest.raises(ZeroDivisionError):
                list(results)
        for chunksize in (0, -1):
            with pytest.raises(ValueError, match="chunksize must be >= 1"):
                executor.map(square, [1], chunksize=chunksize)


@pytest.mark.parametrize("chunksize", [1, 2])
def test_map_stops_waiting(make: Make, ctx: BaseContext, chunksize: int) -> None:
    begun, go, counter = ctx.Event(), ctx.Event(), ctx.Value("i", 0)
    with make(1) as executor:
        results = executor.map(begin, [begun] * chunksize, [go] * chunksize, timeout=0.05, chunksize=chunksize)
        assert begun.wait(SOON)  # so that it cannot be cancelled
        queued = executor.map(count, [counter] * 9, range(9), timeout=0.05, chunksize=chunksize)
        for late in (results, queued):
            with pytest.raises(concurrent.futures.TimeoutError):
                next(late)
        go.set()
        assert executor.submit(square, 3).result(SOON) == 9
        assert counter.value == 0  # those that were late are cancelled


def test_in_an_event_loop(make: Make) -> None:
    async def use() -> list[Any]:
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(executor, square, x) for x in range(50)]
        calls.append(loop.run_in_executor(executor, fail, 1))
        return await asyncio.gather(*calls, return_exceptions=True)

    with make(2) as executor:
        *squares, error = asyncio.run(use())
    assert squares == [x * x for x in range(50)]
    assert isinstance(error, KeyError)


# -- arguments


@pytest.mark.parametrize(
    ("kwds", "error"),
    [({"max_workers": 0}, ValueError), ({"max_workers": -1}, ValueError), ({"max_workers": "2"}, TypeError),
     ({"initializer": 3}, TypeError), ({"max_tasks_per_child": 0}, ValueError),
     ({"max_tasks_per_child": "1"}, TypeError), ({"max_tasks_per_child": 1.5}, TypeError)],
)  # fmt: skip
def test_bad_arguments(kwds: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        ProcessPoolExecutor(**kwds)


def test_signatures_are_the_standard_librarys() -> None:
    theirs = concurrent.futures.ProcessPoolExecutor
    for name, method in inspect.getmembers(theirs, inspect.isfunction):
        if name == "__init__" or not name.startswith("_"):
            ours = inspect.signature(getattr(ProcessPoolExecutor, name)).parameters
            for parameter in inspect.signature(method).parameters.values():
                if parameter.kind is parameter.VAR_KEYWORD and name != "submit":
                    continue  # `map` takes its options so
                mine = ours[parameter.name]
                assert (mine.kind, mine.default) == (parameter.kind, parameter.default), (name, parameter)


def test_map_keeps_no_result(make: Make) -> None:
    with make(1) as executor:
        for found in executor.map(Forgotten, range(3)):
            gone = weakref.ref(found)
            del found
            assert gone() is None


class Forgotten:
    def __init__(self, _: int) -> None:
        """Weak references to instances are possible."""


def test_map_reads_a_bounded_number_ahead(make: Make) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for x in range(100):
            taken.append(x)
            yield -x

    with make(2) as executor:
        for chunksize in (1, 4):
            taken.clear()
            results = executor.map(abs, items(), chunksize=chunksize, buffersize=3)
            for x, result in enumerate(results):
                assert result == x
                assert len(taken) <= x + 1 + 4 * chunksize
            assert len(taken) == 100
        for wrong, error in ((0, ValueError), ("many", TypeError)):
            with pytest.raises(error, match="buffersize must be"):
                executor.map(abs, [1], buffersize=wrong)  # type: ignore[arg-type]


def test_settings_reach_the_workers(make: Make, ctx: BaseContext) -> None:
    counter = ctx.Value("i", 0)
    with make(1, initializer=count, initargs=(counter, 1), max_tasks_per_child=2) as executor:
        pids = [executor.submit(pid).result(SOON) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert counter.value >= 2
    with make(1, timeout=0.5, retries=1) as executor:
        assert executor.submit(die_once, ctx.Value("i", 0)).result(SOON) == 3
        with pytest.raises(TaskTimeout):
            executor.submit(begin_and_pause, ctx.Event()).result(SOON)


# -- failures


def test_a_death_fails_its_future_alone(make: Make, ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()
    with make(2) as executor:
        other = executor.submit(begin, begun, go, 5)
        assert begun.wait(SOON)
        with pytest.raises(WorkerDied) as info:
            executor.submit(die).result(SOON)
        assert isinstance(info.value, BrokenProcessPool)
        assert list(executor.map(square, range(5))) == [0, 1, 4, 9, 16]
        go.set()
        assert other.result(SOON) == 5


def test_an_initializer_that_raises_breaks_the_executor(make: Make) -> None:
    with make(2, initializer=fail, initargs=("in the initializer",)) as executor:
        future = executor.submit(square, 3)
        with pytest.raises(PoolBroken) as info:
            future.result(SOON)
        assert isinstance(info.value, BrokenProcessPool)
        assert isinstance(info.value.__cause__, KeyError)
        with pytest.raises(BrokenProcessPool, match="initializer"):
            executor.submit(square, 3)


# -- ends


def test_shutdown_waits(make: Make, ctx: BaseContext) -> None:
    counter = ctx.Value("i", 0)
    with make(2) as executor:
        futures = [executor.submit(count, counter, x) for x in range(100)]
    assert all(f.done() for f in futures)
    assert counter.value == 100
    executor.shutdown()
    for refused in (executor.submit, executor.map):
        with pytest.raises(RuntimeError, match="after shutdown"):
            refused(square, [1])
    unused = make(2)
    unused.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        unused.submit(square, 1)


def test_shutdown_without_waiting(make: Make, ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()
    executor = make(1)
    futures = [executor.submit(begin, begun, go, x) for x in range(3)]
    assert begun.wait(SOON)
    executor.shutdown(wait=False)
    assert not futures[0].done()
    go.set()
    assert [f.result(SOON) for f in futures] == [0, 1, 2]


def test_shutdown_cancels_what_has_not_begun(make: Make, ctx: BaseContext) -> None:
    begun, go, counter = ctx.Event(), ctx.Event(), ctx.Value("i", 0)
    executor = make(1)
    running = executor.submit(begin, begun, go, 7)
    queued = [executor.submit(count, counter, 1) for _ in range(20)]
    assert begun.wait(SOON)
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(f.cancelled() for f in queued)
    go.set()
    assert running.result(SOON) == 7
    executor.shutdown()
    assert counter.value == 0


@pytest.mark.parametrize("end", ["terminate_workers", "kill_workers"])
def test_ending_the_workers(make: Make, ctx: BaseContext, end: str) -> None:
    begun = ctx.Event()
    executor = make(1)
    futures = [executor.submit(begin_and_pause, begun), executor.submit(square, 3)]
    assert begun.wait(SOON)
    getattr(executor, end)()
    for future in futures:
        with pytest.raises(TaskCancelled):
            future.result(SOON)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(square, 1)


def test_an_executor_that_nobody_holds_does_its_work(make: Make, ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()
    executor = make(1)
    future = executor.submit(begin, begun, go, 7)
    assert begun.wait(SOON)
    del executor
    gc.collect()
    go.set()
    assert future.result(SOON) == 7


def test_an_interrupt_cancels_what_has_not_begun(make: Make, ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()
    with pytest.raises(KeyboardInterrupt), make(1) as executor:
        first = executor.submit(begin, begun, go, 7)
        rest = [executor.submit(square, x) for x in range(50)]
        rest[-1].add_done_callback(lambda _: go.set())
        assert begun.wait(SOON)
        raise KeyboardInterrupt
    assert first.result(SOON) == 7
    assert all(future.cancelled() for future in rest)
