"""Pool(backend=...): threads, or nobody but the caller, behave as processes do."""

import asyncio
import concurrent.futures
import itertools
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pool_tasks import SOON, check_that_stop_iteration_is_an_error_and_no_end, fail, pid, square

import lightwork as mp
from lightwork.errors import PoolBroken, TaskCancelled, TaskTimeout
from lightwork.pool import AutoPool, Pool, SerialPool, ThreadPool

BACKENDS = ["processes", "threads", "serial", "auto"]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pool(backend: str) -> Iterator[Pool]:
    with mp.get_context("fork").Pool(2, backend=backend) as pool:
        yield pool
    pool.join()


def multiply(x: int, y: int = 10) -> int:
    return x * y


def inverse(x: int) -> float:
    return 1 / x


# -- which


def test_backends_have_their_classes_and_places() -> None:
    context = mp.get_context("fork")
    with context.Pool(2, backend="processes") as pool:
        assert type(pool) is Pool
        assert pool.apply(pid) != os.getpid()
    with context.Pool(2, backend="threads") as pool:
        assert type(pool) is ThreadPool
        assert pool.apply(pid) == os.getpid()
        assert pool.apply(threading.current_thread) in pool._pool
    with context.Pool(2, backend="serial") as pool:
        assert type(pool) is SerialPool
        assert pool.apply(threading.current_thread) is threading.current_thread()
    with context.Pool(2, backend="auto") as pool:
        assert type(pool) is AutoPool
        assert pool.apply(pid) != os.getpid()
    with mp.Pool(1, backend="serial") as pool:
        assert type(pool) is SerialPool


@pytest.mark.parametrize("wrong", ["process", "", None, 3])
def test_a_wrong_backend(wrong: Any) -> None:
    with pytest.raises(ValueError, match="'processes', 'threads', 'serial' or 'auto'"):
        mp.Pool(2, backend=wrong)


# -- the same for all


def test_results(pool: Pool) -> None:
    squares = [x * x for x in range(50)]
    assert pool.apply(multiply, (3,), {"y": 4}) == 12
    assert pool.apply_async(multiply, (3,)).get(SOON) == 30
    for chunksize in (None, 1, 7):
        assert pool.map(square, range(50), chunksize) == squares
        assert pool.map_async(square, iter(range(50)), chunksize).get(SOON) == squares
        assert pool.starmap(multiply, [(1, 2), (3,)], chunksize) == [2, 30]
    for chunksize in (1, 7):
        assert list(pool.imap(square, range(50), chunksize)) == squares
        assert sorted(pool.imap_unordered(square, range(50), chunksize)) == squares
    assert pool.map(square, []) == list(pool.imap(square, [])) == []
    assert pool.map(square, range(50), seed=1, progress=False) == squares


def test_errors(pool: Pool) -> None:
    with pytest.raises(KeyError, match="nothing"):
        pool.apply(fail, ("nothing",))
    with pytest.raises(SystemExit):
        pool.apply(sys.exit, (3,))
    with pytest.raises(KeyError, match="1"):
        pool.map(fail, [1, 2, 3], chunksize=1)
    check_that_stop_iteration_is_an_error_and_no_end(pool)
    results = pool.imap(inverse, [1, 0, 2])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == [0.5]
    with pytest.raises(ValueError, match="at least 1"):
        pool.map(square, [1], chunksize=0)


def test_callbacks(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    pool.apply_async(square, (3,), callback=told.append, error_callback=fail).wait(SOON)
    pool.map_async(square, [1, 2], callback=told.append, error_callback=fail).wait(SOON)
    pool.apply_async(fail, (1,), callback=fail, error_callback=told.append).wait(SOON)
    assert told[:2] == [9, [1, 4]]
    assert isinstance(told[2], KeyError)
    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))
    with pytest.raises(KeyError):
        pool.apply_async(square, (3,), callback=fail).get(SOON)
    assert [repr(e) for e in reported] == ["KeyError(9)"]


def test_futures(pool: Pool) -> None:
    futures = [pool.submit(multiply, x, y=x) for x in range(20)]
    assert {f.result() for f in concurrent.futures.as_completed(futures, SOON)} == {x * x for x in range(20)}
    failed = pool.submit(fail, 1)
    assert isinstance(failed.exception(SOON), KeyError)
    assert not failed.cancel()
    assert not failed.running()


def test_await(pool: Pool) -> None:
    async def use() -> None:
        assert await asyncio.gather(*(pool.apply_async(square, (x,)) for x in range(20))) == [x * x for x in range(20)]
        with pytest.raises(KeyError):
            await pool.apply_async(fail, (1,))
        assert await pool.map_async(square, range(5)) == [0, 1, 4, 9, 16]

    asyncio.run(use())


def test_imap_looks_ahead_a_bounded_number_of_items(pool: Pool) -> None:
    numbers = itertools.count()
    results = pool.imap(square, numbers, buffersize=3)
    assert [next(results) for _ in range(10)] == [x * x for x in range(10)]
    assert next(numbers) <= 13


def test_close_does_what_was_promised(pool: Pool) -> None:
    results = [pool.apply_async(square, (x,)) for x in range(10)]
    iterator = pool.imap(square, range(30))
    pool.close()
    with pytest.raises(ValueError, match="not running"):
        pool.apply_async(square, (1,))
    pool.join()
    assert [r.get(0) for r in results] == [x * x for x in range(10)]
    assert list(iterator) == [x * x for x in range(30)]


def test_terminate(backend: str) -> None:
    with mp.get_context("fork").Pool(1, backend=backend) as pool:
        results = pool.imap(square, itertools.count(), buffersize=5)
        assert next(results) == 0
    with pytest.raises(TaskCancelled):
        list(itertools.islice(results, 100))
    with pytest.raises(ValueError, match="not running"):
        pool.map(square, [1])
    pool.join()


def test_an_initializer_that_raises_breaks_the_pool(backend: str) -> None:
    told: list[object] = []
    pool = mp.get_context("fork").Pool(1, fail, ("in the initializer",), backend=backend)
    with pytest.raises(PoolBroken) as info:
        pool.apply_async(square, (1,), error_callback=told.append).get(SOON)
    assert isinstance(info.value.__cause__, KeyError)
    assert [type(e) for e in told] == [PoolBroken]
    with pytest.raises(PoolBroken):
        next(pool.imap(square, [1]))
    pool.close()
    pool.join()


# -- what is special


def test_a_timeout_on_threads_gives_the_call_up_and_no_other() -> None:
    begun, go = threading.Event(), threading.Event()

    def pause(x: int) -> int:
        if x == 3:
            begun.set()
            assert go.wait(SOON)
        return x

    with mp.Pool(3, backend="threads", timeout=0.3) as pool:
        patient = pool.apply_async(pause, (3,), timeout=SOON)
        assert begun.wait(SOON)
        with pytest.raises(TaskTimeout, match=r"pause\(\) took longer than 0.3 s"):
            pool.apply(pause, (3,))
        results = pool.imap(pause, range(6))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(TaskTimeout, match="item 3 of"):
            next(results)
        go.set()
        assert list(results) == [4, 5]
        assert patient.get(SOON) == 3
        assert pool.map(pause, range(6)) == list(range(6))


def test_cancel_on_threads_drops_what_has_not_begun() -> None:
    begun, go = threading.Event(), threading.Event()
    done: list[int] = []
    with mp.Pool(1, backend="threads") as pool:
        running = pool.apply_async(lambda: (begun.set(), go.wait(SOON), done.append(1)))
        queued = pool.apply_async(done.append, (2,))
        assert begun.wait(SOON)
        for result in (running, queued):
            assert result.cancel()
            with pytest.raises(TaskCancelled):
                result.get(0)
        go.set()
        assert pool.apply(square, (3,)) == 9
    assert done == [1]


def test_serial_calls_are_the_callers() -> None:
    with mp.Pool(backend="serial") as pool:
        with pytest.raises(KeyboardInterrupt):
            pool.apply(raise_it, (KeyboardInterrupt(),))
        assert pool.apply(lambda: pool.map(square, range(5))) == [0, 1, 4, 9, 16]
        error = KeyError("the object itself")
        with pytest.raises(KeyError) as info:
            pool.apply(raise_it, (error,))
        assert info.value is error
        assert any(entry.name == "raise_it" for entry in info.traceback)


def raise_it(error: BaseException) -> None:
    raise error
