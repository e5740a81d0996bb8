"""Pool: what its calls return and take, callbacks, waiting, names."""

import inspect
import multiprocessing.pool
import pickle
import threading
import time
from typing import Any

import pytest
from pool_tasks import SOON, begin, count, fail, meet_all, pid, square

import lightwork as mp
import lightwork.pool
from lightwork.context import BaseContext
from lightwork.futures import ProcessPoolExecutor


def multiply(x: int, y: int = 10) -> int:
    return x * y


# -- what calls return


def test_calls_and_maps_return_what_plain_calls_do(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool:
        assert pool.apply(multiply, (3,)) == 30
        assert pool.apply(multiply, (3,), {"y": 4}) == 12
        assert pool.apply_async(multiply, (3,), {"y": 5}).get(SOON) == 15
        assert pool.map(square, range(100)) == [x * x for x in range(100)]
        assert pool.map(square, iter(range(10)), chunksize=3) == [x * x for x in range(10)]
        assert pool.map_async(square, range(10), chunksize=100).get(SOON) == [x * x for x in range(10)]
        assert pool.starmap(multiply, zip(range(9), range(9), strict=True)) == [x * x for x in range(9)]
        assert pool.starmap_async(multiply, [(1, 2), (3,)], chunksize=1).get(SOON) == [2, 30]
        assert list(pool.imap(square, range(100))) == [x * x for x in range(100)]
        assert list(pool.imap(square, range(100), chunksize=7)) == [x * x for x in range(100)]
        assert sorted(pool.imap_unordered(square, range(100))) == [x * x for x in range(100)]
        assert sorted(pool.imap_unordered(square, range(100), chunksize=7)) == [x * x for x in range(100)]


def test_nothing_to_do(ctx: BaseContext) -> None:
    called: list[object] = []
    with ctx.Pool(1) as pool:
        result = pool.map_async(square, [], callback=called.append)
        assert result.ready()
        assert result.successful()
        assert result.get(0) == []
        assert pool.map(square, iter(())) == []
        assert list(pool.imap(square, [])) == list(pool.imap_unordered(square, [], chunksize=5)) == []
    assert called == []  # as in the standard library


def test_what_pickle_cannot_carry_goes_by_cloudpickle(ctx: BaseContext) -> None:
    base = 100

    def add(x: int) -> int:
        return base + x

    with ctx.Pool(1) as pool:
        assert pool.map(lambda x: x + 1, [1, 2]) == [2, 3]
        assert pool.apply(add, (5,)) == 105
        assert list(pool.imap(add, [6])) == [106]


def test_primitives_are_arguments(ctx: BaseContext) -> None:
    counter = ctx.Value("i", 0)
    with ctx.Pool(2) as pool:
        pool.starmap(count, [(counter, x) for x in range(50)], chunksize=5)
    assert counter.value == 50


# -- callbacks and waiting


def test_callbacks(ctx: BaseContext) -> None:
    told: list[object] = []
    with ctx.Pool(1) as pool:
        pool.apply_async(square, (3,), callback=told.append, error_callback=fail).wait(SOON)
        pool.map_async(square, [1, 2], callback=told.append, error_callback=fail).wait(SOON)
        pool.apply_async(fail, (1,), callback=fail, error_callback=told.append).wait(SOON)
        pool.starmap_async(multiply, [()], callback=fail, error_callback=told.append).wait(SOON)
    assert told[:2] == [9, [1, 4]]
    assert [type(e) for e in told[2:]] == [KeyError, TypeError]


def test_a_callbacks_error_is_reported_and_is_the_jobs(ctx: BaseContext, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))
    with ctx.Pool(1) as pool:
        with pytest.raises(KeyError):
            pool.apply_async(square, (3,), callback=fail).get(SOON)
        assert [repr(e) for e in reported] == ["KeyError(9)"]
        assert pool.apply(square, (4,)) == 16


def test_waiting_for_a_result(ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()
    with ctx.Pool(1) as pool:
        result = pool.apply_async(begin, (begun, go, 7))
        assert begun.wait(SOON)
        result.wait(0.01)
        assert not result.ready()
        with pytest.raises(ValueError, match="not ready"):
            result.successful()
        for timeout in (0, -1, 0.01):
            with pytest.raises(mp.TimeoutError):
                result.get(timeout)
        results = pool.imap(square, [1])
        with pytest.raises(mp.TimeoutError):
            results.next(0.01)
        go.set()
        assert result.get(SOON) == 7
        assert result.successful()
        assert results.next(SOON) == 1


def test_waiting_costs_no_cpu_time(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool:
        meet_all(ctx, pool)
        before = time.process_time()
        slow = pool.apply_async(square, (1,), callback=lambda _: threading.Event().wait(0.5))
        quick = pool.apply_async(square, (2,))
        assert slow.get(SOON) + quick.get(SOON) == 5
        threading.Event().wait(0.5)
        assert time.process_time() - before < 0.1


# -- arguments and names


@pytest.mark.parametrize(
    ("kwds", "error"),
    [({"processes": 0}, ValueError), ({"processes": -1}, ValueError), ({"processes": "2"}, TypeError),
     ({"processes": 1.5}, TypeError), ({"initializer": 1}, TypeError), ({"initargs": 1, "initializer": pid}, TypeError),
     ({"maxtasksperchild": 0}, ValueError), ({"maxtasksperchild": 0.5}, ValueError),
     ({"maxtasksperchild": "12"}, ValueError)],
)  # fmt: skip
def test_bad_arguments(kwds: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        mp.Pool(**kwds)


def test_bad_chunksizes(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool:
        for start in (pool.map, pool.starmap_async, pool.imap, pool.imap_unordered):
            with pytest.raises(ValueError, match="at least 1"):
                start(square, [1], chunksize=0)
            for wrong in ("7", 1.5):
                with pytest.raises(TypeError, match="chunksize has to be an int"):
                    start(square, [1], chunksize=wrong)
        with pytest.raises(TypeError, match="buffersize has to be an int"):
            pool.imap(square, [1], buffersize="7")


def test_a_start_methods_name_is_no_context() -> None:
    wrong: Any = "spawn"
    for make in (lambda: lightwork.pool.Pool(1, context=wrong), lambda: ProcessPoolExecutor(1, wrong)):
        with pytest.raises(TypeError, match="a context is what get_context"):
            make()


def test_what_cannot_be_called(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool:
        for wrong in (None, 5):
            with pytest.raises(TypeError, match="not callable"):
                pool.apply(wrong)
            with pytest.raises(TypeError, match="not callable"):
                pool.map(wrong, [1])


def test_a_pool_is_not_sent(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool, pytest.raises(NotImplementedError, match="cannot be passed between processes"):
        pickle.dumps(pool)


def test_signatures_are_the_standard_librarys() -> None:
    def plain(func: Any) -> list[tuple[str, Any, Any]]:
        return [
            (p.name, p.kind, p.default)
            for p in inspect.signature(func).parameters.values()
            if p.kind is not p.KEYWORD_ONLY  # what we have besides
        ]

    for name in ("Pool", "ThreadPool"):
        ours, theirs = getattr(lightwork.pool, name), getattr(multiprocessing.pool, name)
        assert plain(ours) == plain(theirs)
        for method, func in inspect.getmembers(theirs, inspect.isfunction):
            if not method.startswith("_"):
                assert plain(getattr(ours, method)) == plain(func), method


def test_names_and_homes() -> None:
    for name in lightwork.pool.__all__:
        assert hasattr(multiprocessing.pool, name)
        assert getattr(getattr(lightwork.pool, name), "__module__", "lightwork.pool") == "lightwork.pool"
    assert lightwork.pool.ApplyResult[int]
