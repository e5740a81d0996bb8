"""Pool: who waits for results, however it is interrupted, gets each of them once; waiting costs nothing."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alarms import Alarm, insist, interrupt
from conftest import wait_until
from pool_tasks import SOON, Endless, begin, count, meet_all, square

import lightwork as mp
import lightwork.arena
from lightwork.context import BaseContext

MIB = 1 << 20


def block(counter: Any, nbytes: int) -> bytes:
    counter.add(1)
    return bytes(nbytes)


# -- several who wait


def test_threads_wait_for_different_results(ctx: BaseContext) -> None:
    def use(thread: int) -> list[int]:
        numbers = range(thread * 1000, thread * 1000 + 60)
        found = [pool.apply(square, (x,)) for x in numbers]
        results = [pool.apply_async(square, (x,)) for x in numbers]
        assert found == [r.get(SOON) for r in reversed(results)][::-1]
        assert found == list(pool.imap(square, numbers)) == pool.map(square, numbers)
        assert sorted(pool.imap_unordered(square, numbers)) == found
        return found

    with ctx.Pool(2) as pool, ThreadPoolExecutor(8) as threads:
        for thread, found in enumerate(threads.map(use, range(8), timeout=SOON)):
            assert found == [x * x for x in range(thread * 1000, thread * 1000 + 60)]


def test_threads_wait_for_one_result(ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()
    with ctx.Pool(2) as pool, ThreadPoolExecutor(5) as threads:
        slow = pool.apply_async(begin, (begun, go, 7))
        waiting = [threads.submit(slow.get, SOON) for _ in range(4)]
        assert begun.wait(SOON)
        assert threads.submit(pool.apply, square, (3,)).result(SOON) == 9  # though others wait before it
        go.set()
        assert [w.result(SOON) for w in waiting] == [7] * 4


def test_a_wait_that_is_over_in_time_leaves_the_others_waiting(ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()
    with ctx.Pool(1) as pool, ThreadPoolExecutor(4) as threads:
        slow = pool.apply_async(begin, (begun, go, 7))
        short, long = [threads.submit(slow.get, s) for s in (0.05, 0.1)], [threads.submit(slow.get, SOON)]
        for late in short:
            with pytest.raises(mp.TimeoutError):
                late.result(SOON)
        long.append(threads.submit(slow.get, SOON))
        go.set()
        assert [w.result(SOON) for w in long] == [7, 7]


# -- interrupted


def test_a_signal_handler_may_wait_for_results(ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()
    found: list[int] = []

    def handler() -> None:
        found.append(pool.apply(square, (len(found),)))
        found.append(other.get(SOON))
        if len(found) < 20:
            alarm.set()
        else:
            go.set()

    with ctx.Pool(2) as pool, Alarm(handler, 0.01) as alarm:
        outer = pool.apply_async(begin, (begun, go, 7))
        other = pool.apply_async(square, (100,))
        assert begun.wait(SOON)
        alarm.set()
        assert outer.get(SOON) == 7
    assert found[1::2] == [10_000] * 10
    assert found[::2] == [x * x for x in range(0, 20, 2)]


def test_a_signal_handler_may_wait_for_what_it_interrupts(ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()

    def handler() -> None:
        go.set()
        found.append(result.get(SOON))

    found: list[int] = []
    with ctx.Pool(2) as pool, Alarm(handler, 0.01) as alarm:
        for turn in range(20):
            result = pool.apply_async(begin, (begun, go, turn))
            assert begun.wait(SOON)
            alarm.set()
            assert result.get(SOON) == turn
            assert found == [*range(turn + 1)]
            begun.clear()
            go.clear()


def test_an_interrupted_get_is_got_later(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool, Alarm(interrupt) as alarm:
        meet_all(ctx, pool)
        for x in range(1500):
            result = pool.apply_async(square, (x,))
            assert insist(result.get, alarm) == x * x == result.get(0)
            if x % 10 == 0:
                several = pool.map_async(square, range(50), chunksize=5)
                assert insist(several.get, alarm) == [y * y for y in range(50)]
        assert alarm.rung > 20


@pytest.mark.parametrize("chunksize", [1, 3])
def test_an_interrupted_iterator_goes_on(ctx: BaseContext, chunksize: int) -> None:
    with ctx.Pool(2) as pool, Alarm(interrupt) as alarm:
        meet_all(ctx, pool)
        for turn in range(400):
            start = pool.imap if turn % 2 else pool.imap_unordered
            results = start(square, range(30), chunksize, buffersize=100)  # takes all at once
            found: list[int] = []
            try:
                while True:
                    found.append(insist(results.next, alarm))
            except StopIteration:
                alarm.off = True
            assert (found if turn % 2 else sorted(found)) == [x * x for x in range(30)]
        assert alarm.rung > 20


# -- what is not asked for


def test_results_that_nobody_asks_for_do_not_pile_up(ctx: BaseContext) -> None:
    counter = ctx.Value("i", 0)
    with ctx.Pool(2) as pool:
        meet_all(ctx, pool)
        before = lightwork.arena.stats().used
        for _ in range(50):
            pool.apply_async(block, (counter, MIB))
        assert wait_until(lambda: counter.value == 50, SOON)
        assert wait_until(lambda: lightwork.arena.stats().used < before + 4 * MIB, 5)
        for _ in range(5000):
            pool.apply_async(block, (counter, 1000))
        assert wait_until(lambda: counter.value == 5050, SOON)
        assert wait_until(lambda: lightwork.arena.stats().used < before + 4 * MIB, 5)


def test_a_pool_and_its_iterator_are_collected_together(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool:
        results: Any = pool.imap(square, range(100))
        assert next(results) == 0
    cycle = [pool, results]
    cycle.append(cycle)
    del pool, results, cycle
    gc.collect()  # what a destructor raises here fails the test


@pytest.mark.parametrize("chunksize", [1, 3])
@pytest.mark.parametrize("buffersize", [1, 4, 30])
def test_buffersize_bounds_how_far_imap_reads_ahead(ctx: BaseContext, buffersize: int, chunksize: int) -> None:
    bound = max(buffersize, chunksize)
    with ctx.Pool(2) as pool:
        for start in (pool.imap, pool.imap_unordered):
            items = Endless()
            results = start(square, items, chunksize, buffersize=buffersize)
            assert items.taken <= bound
            for asked in range(1, 100):
                next(results)
                assert items.taken <= asked + bound
        with pytest.raises(ValueError, match="buffersize has to be at least 1"):
            pool.imap(square, [1], buffersize=0)


# -- what waiting costs


def cpu_time(pid: int) -> float:
    """Seconds of processor time that a process has used: the clock is made from its number (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


def test_an_idle_pool_uses_no_processor(ctx: BaseContext) -> None:
    with ctx.Pool(16) as pool:
        workers = meet_all(ctx, pool, 16)
        time.sleep(0.5)  # until what they do after their task is over
        before = time.process_time(), [cpu_time(pid) for pid in workers]
        time.sleep(1)
        after = time.process_time(), [cpu_time(pid) for pid in workers]
        assert after[0] - before[0] + sum(after[1]) - sum(before[1]) < 0.005


def test_a_slow_callback_costs_the_parent_nothing(ctx: BaseContext) -> None:
    used: list[float] = []

    def sleep(_: object) -> None:
        before = time.process_time()
        time.sleep(0.5)
        used.append(time.process_time() - before)

    with ctx.Pool(2) as pool:
        meet_all(ctx, pool)
        for _ in range(3):
            assert pool.apply_async(count, (ctx.Value("i", 0), 7), callback=sleep).get(SOON) == 7
    assert min(used) < 0.005  # in one of them this process may also have collected its garbage, 80 ms of it
