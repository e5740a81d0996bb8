"""Pool: futures and awaitable results."""

import asyncio
import concurrent.futures
import logging
import threading
import time
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, as_completed
from typing import Any

import pytest
from pool_tasks import SOON, begin, begin_and_pause, count, die, fail, meet_all, square

from lightwork import Pool
from lightwork.context import BaseContext
from lightwork.errors import PoolBroken, TaskCancelled, WorkerDied
from lightwork.pool import RemoteTraceback


def multiply(x: int, y: int = 10) -> int:
    return x * y


# -- submit


def test_futures_bring_results_and_errors(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool:
        future = pool.submit(multiply, 3, y=4)
        assert isinstance(future, concurrent.futures.Future)
        assert future.result(SOON) == 12
        assert future.exception() is None
        assert future.done()
        failed = pool.submit(fail, "nothing")
        with pytest.raises(KeyError, match="nothing") as info:
            failed.result(SOON)
        assert isinstance(info.value.__cause__, RemoteTraceback)
        assert pool.submit(lambda x: x + 1, 1).result(SOON) == 2
        unsent = pool.submit(square, threading.Lock())
        with pytest.raises(TypeError, match="pickle"):
            unsent.result(SOON)
        nested = pool.submit(square, future)
        with pytest.raises(TypeError, match="a future cannot be passed between processes"):
            nested.result(SOON)
    with pytest.raises(ValueError, match="not running"):
        pool.submit(square, 3)


def test_cancel_futures(ctx: BaseContext) -> None:
    begun, go, counter = ctx.Event(), ctx.Event(), ctx.Value("i", 0)
    told: list[object] = []
    with ctx.Pool(1) as pool:
        running, queued, kept = pool.submit(begin, begun, go, 7), pool.submit(count, counter, 1), pool.submit(square, 3)
        queued.add_done_callback(told.append)
        assert begun.wait(SOON)
        assert [f.running() for f in (running, queued, kept)] == [True, False, False]
        assert not running.cancel()
        assert queued.cancel()
        assert queued.cancel()  # as in the standard library
        assert told == [queued]
        assert queued.cancelled()
        assert queued.done()
        with pytest.raises(CancelledError):
            queued.result(0)
        with pytest.raises(concurrent.futures.TimeoutError):
            running.result(0.01)
        assert not kept.done()
        go.set()
        assert running.result(SOON) == 7
        assert kept.result(SOON) == 9
        assert not kept.cancel()
        assert not kept.running()
        assert counter.value == 0


def test_done_callbacks(ctx: BaseContext, caplog: pytest.LogCaptureFixture) -> None:
    told: list[object] = []
    here = threading.get_ident()
    all_told = threading.Event()

    def tell(future: concurrent.futures.Future[int]) -> None:
        told.append((future.exception() or future.result(), threading.get_ident() != here))

    begun, go = ctx.Event(), ctx.Event()
    with ctx.Pool(1) as pool:
        future = pool.submit(begin, begun, go, 7)
        future.add_done_callback(fail)
        future.add_done_callback(tell)
        go.set()
        assert future.result(SOON) == 7
        future = pool.submit(fail, 1)
        future.add_done_callback(lambda _: all_told.set())
        assert all_told.wait(SOON)
        future.add_done_callback(tell)  # done already: called at once, here
    assert told[0] == (7, True)
    assert (repr(told[1][0]), told[1][1]) == ("KeyError(1)", False)  # type: ignore[index]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


def test_waiting_for_several_futures(ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()
    with ctx.Pool(2) as pool:
        slow, queued = pool.submit(begin, begun, go, 7), [pool.submit(square, x) for x in range(20)]
        assert begun.wait(SOON)
        done, left = concurrent.futures.wait([slow, queued[0]], SOON, FIRST_COMPLETED)
        assert (done, left) == ({queued[0]}, {slow})
        assert {f.result() for f in as_completed(queued, SOON)} == {x * x for x in range(20)}
        with pytest.raises(concurrent.futures.TimeoutError):
            list(as_completed([slow], 0.01))
        done, left = concurrent.futures.wait([slow, pool.submit(fail, 1)], SOON, FIRST_EXCEPTION)
        assert left == {slow}
        go.set()
        assert concurrent.futures.wait([slow], SOON).done == {slow}


def test_a_death_is_its_futures(ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()
    with ctx.Pool(2) as pool:
        other = pool.submit(begin, begun, go, 5)
        assert begun.wait(SOON)
        with pytest.raises(WorkerDied, match=r"SIGKILL .* die\(\)") as info:
            pool.submit(die).result(SOON)
        assert isinstance(info.value, concurrent.futures.BrokenExecutor)
        go.set()
        assert other.result(SOON) == 5
        assert len(meet_all(ctx, pool)) == 2


def test_futures_of_a_terminated_pool(ctx: BaseContext) -> None:
    begun = ctx.Event()
    with ctx.Pool(1) as pool:
        futures = [pool.submit(begin_and_pause, begun), pool.submit(square, 3)]
        assert begun.wait(SOON)
    for future in futures:
        with pytest.raises(TaskCancelled, match="terminated"):
            future.result(SOON)
        assert not future.running()


def test_futures_of_a_broken_pool(ctx: BaseContext) -> None:
    told: list[object] = []
    with ctx.Pool(1, fail, ("in the initializer",)) as pool:
        with pytest.raises(PoolBroken):
            pool.submit(square, 3).result(SOON)
        for thread in threading.enumerate():  # later calls come to a pool whose threads have left
            if thread.name.startswith("lightwork-pool"):
                thread.join(SOON)
        for _ in range(3):
            assert isinstance(pool.submit(square, 3).exception(SOON), PoolBroken)
            with pytest.raises(PoolBroken):
                pool.apply_async(square, (3,), error_callback=told.append).get(SOON)
    assert [type(e) for e in told] == [PoolBroken] * 3


@pytest.mark.parametrize("_", range(8))
def test_two_threads_begin_the_first_calls_with_callbacks(_: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    told: list[int] = []
    both = threading.Barrier(2)
    make = threading.Thread

    def make_together(*args: Any, **kwds: Any) -> threading.Thread:
        """Each of the two may find that nobody calls callbacks yet, and start a thread for it."""
        if kwds.get("name") == "lightwork-pool-collector" and not both.broken:
            try:
                both.wait(0.5)
            except threading.BrokenBarrierError:
                pass
        return make(*args, **kwds)

    with Pool(2, backend="threads") as pool, ThreadPoolExecutor(2) as threads:
        assert list(threads.map(time.sleep, [0.01, 0.01])) == [None, None]  # its threads are there
        monkeypatch.setattr(threading, "Thread", make_together)
        monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))
        for begun in [threads.submit(pool.apply_async, abs, (x,), callback=told.append) for x in range(3000)]:
            begun.result(SOON).wait(SOON)
    assert sorted(told) == list(range(3000))
    assert reported == []


# -- await


def test_results_may_be_awaited(ctx: BaseContext) -> None:
    async def use() -> None:
        assert await pool.apply_async(multiply, (3,), {"y": 4}) == 12
        assert await pool.map_async(square, range(100)) == [x * x for x in range(100)]
        results = await asyncio.gather(*(pool.apply_async(square, (x,)) for x in range(300)))
        assert results == [x * x for x in range(300)]
        with pytest.raises(KeyError, match="nothing") as info:
            await pool.apply_async(fail, ("nothing",))
        assert isinstance(info.value.__cause__, RemoteTraceback)
        with pytest.raises(WorkerDied):
            await pool.apply_async(die)
        ready = pool.apply_async(square, (3,))
        ready.wait(SOON)
        assert await ready == 9
        assert await ready == 9
        assert await pool.map_async(square, []) == []
        assert await asyncio.wrap_future(pool.submit(square, 4)) == 16

    with ctx.Pool(2) as pool:
        asyncio.run(use())


def test_the_loop_runs_on_while_a_result_is_awaited(ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()

    async def use() -> None:
        result = pool.apply_async(begin, (begun, go, 7))
        assert await asyncio.to_thread(begun.wait, SOON)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(result, 0.05)
        first, second = asyncio.ensure_future(result), asyncio.ensure_future(result)
        await asyncio.sleep(0)
        assert not first.done()
        go.set()
        assert await first == await second == 7
        cancelled = pool.apply_async(begin_and_pause, (ctx.Event(),))
        waiting = asyncio.ensure_future(cancelled)
        await asyncio.sleep(0)
        assert cancelled.cancel()
        with pytest.raises(TaskCancelled):
            await waiting

    with ctx.Pool(1) as pool:
        asyncio.run(use())


def test_callbacks_come_before_who_awaits(ctx: BaseContext) -> None:
    told: list[object] = []

    async def use() -> None:
        assert await pool.apply_async(square, (3,), callback=told.append) == 9
        assert told == [9]
        with pytest.raises(KeyError):
            await pool.apply_async(fail, (1,), error_callback=told.append)
        assert len(told) == 2

    with ctx.Pool(1) as pool:
        asyncio.run(use())
