"""ThreadPool: the engine of Pool over threads, with the very objects."""

import gc
import itertools
import queue
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from pool_tasks import SOON, fail, square

import lightwork as mp
from lightwork.errors import PoolBroken, TaskCancelled
from lightwork.pool import ThreadPool


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    with ThreadPool(2) as pool:
        yield pool
    pool.join()


def test_calls_and_maps_return_what_plain_calls_do(pool: ThreadPool) -> None:
    assert pool.apply(square, (3,)) == 9
    assert pool.map(square, range(100)) == [x * x for x in range(100)]
    assert pool.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert pool.map_async(square, []).get(0) == []
    for chunksize in (1, 7):
        assert list(pool.imap(square, range(100), chunksize)) == [x * x for x in range(100)]
        assert sorted(pool.imap_unordered(square, range(100), chunksize)) == [x * x for x in range(100)]


def test_the_calls_are_in_other_threads(pool: ThreadPool) -> None:
    barrier = threading.Barrier(2)

    def meet(_: int) -> threading.Thread:
        barrier.wait(SOON)
        return threading.current_thread()

    assert set(pool.map(meet, range(2), chunksize=1)) == set(pool._pool)
    assert all(thread.daemon for thread in pool._pool)


def test_nothing_is_copied(pool: ThreadPool) -> None:
    lock = threading.Lock()  # cannot be pickled
    assert pool.apply(lambda x: x, (lock,)) is lock
    error = KeyError("the object itself")

    def raise_it() -> None:
        raise error

    with pytest.raises(KeyError) as info:
        pool.apply(raise_it)
    assert info.value is error
    assert error.__cause__ is None


def test_an_error_is_its_tasks(pool: ThreadPool) -> None:
    with pytest.raises(SystemExit):
        pool.apply(sys.exit, (3,))
    with pytest.raises(KeyError):
        pool.map(fail, [1, 2])
    results = pool.imap(lambda x: 1 / x, [1, 0, 2])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == [0.5]
    assert all(thread.is_alive() for thread in pool._pool)


def test_time_out(pool: ThreadPool) -> None:
    go = threading.Event()
    result = pool.apply_async(go.wait, (SOON,))
    with pytest.raises(mp.TimeoutError):
        result.get(0.01)
    go.set()
    assert result.get(SOON) is True


def test_every_thread_runs_the_initializer() -> None:
    names: queue.SimpleQueue[str] = queue.SimpleQueue()
    with ThreadPool(3, lambda mark: names.put(mark + threading.current_thread().name), ("in ",)) as pool:
        assert len({names.get(timeout=SOON) for _ in range(3)}) == 3
    pool.join()


def test_an_initializer_that_raises_breaks_the_pool() -> None:
    pool = ThreadPool(2, fail, ("from the initializer",))
    with pytest.raises(PoolBroken) as info:
        pool.apply_async(square, (1,)).get(SOON)
    assert isinstance(info.value.__cause__, KeyError)
    with pytest.raises(PoolBroken):
        pool.map(square, [1])
    pool.close()
    pool.join()


def test_imap_looks_ahead_a_bounded_number_of_items(pool: ThreadPool) -> None:
    numbers = itertools.count()
    results = pool.imap(square, numbers)
    for _ in range(100):
        next(results)
    assert 100 <= next(numbers) <= 120


def test_a_closed_pool_keeps_its_promises() -> None:
    pool = ThreadPool(2)
    go = threading.Event()
    result = pool.apply_async(go.wait, (SOON,))
    results = pool.imap(square, range(100))
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        pool.apply(square, (1,))
    go.set()
    pool.join()
    assert result.get(0) is True
    assert list(results) == [x * x for x in range(100)]
    assert not any(thread.is_alive() for thread in pool._pool)


def test_a_dropped_iterator_keeps_nothing_alive() -> None:
    pool = ThreadPool(2)
    for _ in pool.imap(square, itertools.count()):
        break
    pool.close()
    pool.join()


def test_terminate_drops_what_has_not_begun() -> None:
    begun, go = threading.Event(), threading.Event()
    ran: list[int] = []

    def begin(x: int) -> None:
        ran.append(x)
        begun.set()
        go.wait(SOON)

    pool = ThreadPool(1)
    result = pool.map_async(begin, range(1000), chunksize=1)
    assert begun.wait(SOON)
    before = time.monotonic()
    pool.terminate()
    assert time.monotonic() - before < 5
    with pytest.raises(TaskCancelled):
        result.get(0)
    go.set()
    pool.join()
    assert ran == [0]


def test_join_after_terminate_is_bounded() -> None:
    begun, go = threading.Event(), threading.Event()

    def stay() -> None:
        begun.set()
        go.wait()

    pool = ThreadPool(1)
    pool.apply_async(stay)
    assert begun.wait(SOON)
    pool.terminate()
    before = time.monotonic()
    pool.join()
    assert time.monotonic() - before < 15
    (worker,) = pool._pool
    assert worker.is_alive()
    go.set()
    worker.join(SOON)
    assert not worker.is_alive()


def test_a_pool_that_nobody_holds_ends() -> None:
    pool = ThreadPool(2)
    threads = list(pool._pool)
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
        del pool
        gc.collect()
    for thread in threads:
        thread.join(SOON)
        assert not thread.is_alive()


def test_arguments_and_results_are_let_go(pool: ThreadPool) -> None:
    class Token:
        pass

    gone = [threading.Event(), threading.Event()]
    token = Token()
    weakref.finalize(token, gone[0].set)
    weakref.finalize(pool.apply(lambda _: Token(), (token,)), gone[1].set)
    del token
    assert all(event.wait(SOON) for event in gone)


@pytest.mark.parametrize(("processes", "error"), [(0, ValueError), ("2", TypeError)])
def test_bad_arguments(processes: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        ThreadPool(processes)
