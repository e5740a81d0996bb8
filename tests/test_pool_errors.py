"""Pool: a task's failure is that task's, and is told in full."""

import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pool_tasks import (
    SOON,
    check_that_stop_iteration_is_an_error_and_no_end,
    count_then_fail,
    fail,
    pid,
    square,
)

from lightwork.context import BaseContext
from lightwork.pool import MaybeEncodingError, RemoteTraceback


def leave(code: int) -> None:
    sys.exit(code)


def recurse() -> None:
    recurse()


class FailsToPickle:
    def __reduce__(self) -> Any:
        raise RuntimeError("will not pickle")


class FailsToLoad:
    def __reduce__(self) -> Any:
        return int, ("not a number",)


class NeedsTwoArguments(Exception):
    """Pickles, but cannot be unpickled."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(first)


class KeepsALock(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__(threading.Lock())


def return_bad(kind: str) -> Any:
    return {"pickle": FailsToPickle, "load": FailsToLoad}[kind]()


def raise_bad(kind: str) -> None:
    raise {"load": NeedsTwoArguments(1, 2), "pickle": KeepsALock()}[kind]


def test_an_exception_brings_its_remote_traceback(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool:
        result = pool.apply_async(fail, ("nothing",))
        with pytest.raises(KeyError, match="nothing") as info:
            result.get(SOON)
        assert result.ready()
        assert not result.successful()
        cause = info.value.__cause__
        assert type(cause) is RemoteTraceback
        assert "raise KeyError(x)" in cause.tb
        assert "raise KeyError(x)" in str(cause)


def test_exits_and_interrupts_are_the_tasks(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool:
        before = pool.apply(pid)
        with pytest.raises(SystemExit) as info:
            pool.apply(leave, (3,))
        assert info.value.code == 3
        with pytest.raises(KeyboardInterrupt):
            pool.apply(signal.default_int_handler, (signal.SIGINT, None))
        with pytest.raises(RecursionError):
            pool.apply(recurse)
        assert pool.apply(pid) == before


def test_what_will_not_pickle_fails_its_task(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool:
        before = pool.apply(pid)
        argument = pool.apply_async(pid, (FailsToPickle(),))  # does not raise here
        with pytest.raises(RuntimeError, match="will not pickle"):
            argument.get(SOON)
        with pytest.raises(RuntimeError, match="will not pickle"):
            pool.map(pid, [1, FailsToPickle(), 3], chunksize=1)
        with pytest.raises(MaybeEncodingError, match="will not pickle") as info:
            pool.apply(return_bad, ("pickle",))
        assert "FailsToPickle" in info.value.value
        with pytest.raises(MaybeEncodingError, match="KeepsALock"):
            pool.apply(raise_bad, ("pickle",))
        assert pool.apply(pid) == before


def test_what_will_not_unpickle_fails_its_task(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool:
        before = pool.apply(pid)
        with pytest.raises(ValueError, match="not a number"):
            pool.apply(pid, (FailsToLoad(),))
        with pytest.raises(MaybeEncodingError, match="not a number") as info:
            pool.apply(return_bad, ("load",))
        assert isinstance(info.value.__cause__, ValueError)
        with pytest.raises(MaybeEncodingError, match="NeedsTwoArguments") as info:
            pool.apply(raise_bad, ("load",))
        assert "raise {" in str(info.value.__cause__)
        assert pool.apply(pid) == before


def test_map_fails_with_its_first_chunks_error_when_all_are_done(ctx: BaseContext) -> None:
    counter = ctx.Value("i", 0)
    with ctx.Pool(2) as pool:
        result = pool.starmap_async(count_then_fail, [(counter, x) for x in range(10)], chunksize=1)
        with pytest.raises(KeyError, match="4"):
            result.get(SOON)
    assert counter.value == 10


def test_a_failing_iterable_fails_the_map(ctx: BaseContext) -> None:
    class Shorter:
        """Claims to be longer than it is, and fails."""

        def __len__(self) -> int:
            return 10

        def __iter__(self) -> Iterator[int]:
            yield from range(3)
            raise KeyError("from the iterable")

    with ctx.Pool(1) as pool:
        result = pool.map_async(square, Shorter(), chunksize=2)
        with pytest.raises(KeyError, match="from the iterable"):
            result.get(SOON)
        with pytest.raises(KeyError, match="from the iterable"):
            pool.map(square, iter(Shorter()))


def test_a_wrong_length_loses_nothing(ctx: BaseContext) -> None:
    class Liar(list[int]):
        length = 0

        def __len__(self) -> int:
            return self.length

    with ctx.Pool(1) as pool:
        for length in (2, 4, 40):
            liar = Liar(range(4))
            liar.length = length
            assert pool.map_async(square, liar, chunksize=1).get(SOON) == [0, 1, 4, 9]


def test_stop_iteration_is_an_error_and_no_end(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool:
        check_that_stop_iteration_is_an_error_and_no_end(pool)
