"""Pool: the iterators of imap and imap_unordered."""

import gc
import itertools
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from pool_tasks import SOON, Endless, begin_and_pause, square

import lightwork as mp
from lightwork.context import BaseContext
from lightwork.errors import TaskCancelled


def inverse(x: int) -> float:
    return 1 / x


def test_imap_looks_ahead_a_bounded_number_of_items(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool:
        for chunksize in (1, 3):
            for start in (pool.imap, pool.imap_unordered):
                items = Endless()
                results = start(square, items, chunksize)
                assert items.taken <= 16 * chunksize
                for _ in range(100):
                    next(results)
                assert 100 <= items.taken <= 100 + 16 * chunksize


def test_imap_gives_the_good_results_before_the_iterables_error(ctx: BaseContext) -> None:
    def items() -> Iterator[int]:
        yield from range(10)
        raise KeyError("from the iterable")

    with ctx.Pool(2) as pool:
        for chunksize in (1, 5):
            for start in (pool.imap, pool.imap_unordered):
                results = start(square, items(), chunksize)
                assert sorted(next(results) for _ in range(10)) == [x * x for x in range(10)]
                with pytest.raises(KeyError, match="from the iterable"):
                    next(results)
                with pytest.raises(StopIteration):
                    next(results)


def test_imap_goes_on_after_an_error(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool:
        results = pool.imap(inverse, [1, 0, 2])
        assert next(results) == 1
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert list(results) == [0.5]


@pytest.mark.parametrize("chunksize", [1, 3])
def test_a_closed_pool_keeps_its_promises_to_iterators(ctx: BaseContext, chunksize: int) -> None:
    pool = ctx.Pool(2)
    results = pool.imap(square, range(100), chunksize)
    pool.close()
    assert next(results) == 0
    pool.join()
    assert list(results) == [x * x for x in range(1, 100)]

    pool = ctx.Pool(2)
    results = pool.imap_unordered(square, range(100), chunksize)
    pool.close()
    assert sorted(results) == [x * x for x in range(100)]
    pool.join()


def test_a_dropped_iterator_keeps_nothing_alive(ctx: BaseContext) -> None:
    pool = ctx.Pool(2)
    for _ in pool.imap(square, itertools.count()):
        break
    results = pool.imap(square, itertools.count())
    assert next(results) == 0
    pool.close()
    del results
    pool.join()


def test_an_iterator_of_a_terminated_pool_ends(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool:
        results = pool.imap(begin_and_pause, [ctx.Event()])
    with pytest.raises(TaskCancelled):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_threads_share_an_iterator(ctx: BaseContext) -> None:
    def items() -> Iterator[int]:
        for x in range(300):
            time.sleep(0)  # let another thread try
            yield x

    pool = ctx.Pool(2)
    results = pool.imap(square, items())
    pool.close()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.extend(results)) for _ in range(3)]
    for thread in threads:
        thread.start()
    pool.join()  # consumes the items, too
    for thread in threads:
        thread.join(SOON)
    assert sorted(found) == [x * x for x in range(300)]


def test_an_iterator_may_be_collected_together_with_its_pool(ctx: BaseContext) -> None:
    pool = ctx.Pool(1)
    results = pool.imap(square, range(100))
    assert next(results) == 0
    pool.terminate()
    pool.join()
    results.itself = results  # type: ignore[attr-defined]  # now it takes the collector, which may begin anywhere
    del pool, results
    gc.collect()


def test_a_signal_handler_may_ask_while_the_iterable_is_asked(ctx: BaseContext) -> None:
    def items() -> Iterator[int]:
        for x in range(8):
            if x == 5:
                signal.raise_signal(signal.SIGALRM)
            yield x

    found: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: found.append(next(results)))
    try:
        with ctx.Pool(1) as pool:
            results = pool.imap(square, items(), buffersize=3)
            found.extend(results)
            assert sorted(found) == [x * x for x in range(8)]
            results = pool.imap(square, items(), buffersize=1)
            with pytest.raises(RuntimeError, match="while the iterable was asked"):
                list(results)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_iterable_that_an_interrupt_ends_gives_the_results_before(ctx: BaseContext) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise KeyboardInterrupt

    with ctx.Pool(1) as pool:
        results = pool.imap(square, items(), 2, buffersize=4)
        found = [next(results) for _ in range(2)]
        with pytest.raises(KeyboardInterrupt):
            next(results)
        found += [next(results) for _ in range(3)]
        assert found == [x * x for x in range(5)]
        with pytest.raises(KeyboardInterrupt):
            next(results)  # and not the end: nobody knows whether that was all
        assert list(results) == []


def test_a_forked_child_asks_for_nothing_of_its_parents(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool:
        numbers = Endless()
        results = pool.imap(square, numbers, buffersize=2)
        assert next(results) == 1
        child = mp.get_context("fork").Process(target=next, args=(results,))
        child.start()
        with pytest.raises(ValueError, match="can only be had there"):
            child.result(SOON)
        assert (next(results), numbers.taken) == (4, 3)
