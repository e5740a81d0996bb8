"""Pool: calls for which there is no room in shared memory."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import in_thread, wait_until
from pool_tasks import SOON, die
from processes import used

from lightwork.context import BaseContext
from lightwork.errors import PoolBroken

MIB = 1 << 20
LARGE = 3 * MIB

Budget = Callable[[int], None]


def fail_when_told(go: Any) -> None:
    assert go.wait(SOON)
    raise ValueError("bad initializer")


def size(go: Any, data: bytes) -> int:
    assert go.wait(SOON)
    return len(data)


def test_a_caller_that_waits_for_room_is_told_that_the_pool_is_broken(ctx: BaseContext, budget: Budget) -> None:
    go = ctx.Event()
    with ctx.Pool(1, fail_when_told, (go,)) as pool, ThreadPoolExecutor(1) as threads:
        budget(8 * MIB)
        before = used()
        caller = threads.submit(pool.map, len, [bytes(LARGE) for _ in range(4)], 1)
        assert wait_until(lambda: used() > before + 2 * LARGE)
        go.set()
        with pytest.raises(PoolBroken, match="bad initializer"):
            caller.result(SOON)


def test_an_interrupted_wait_for_room_leaves_no_call(
    ctx: BaseContext, budget: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    go = ctx.Event()
    pool = ctx.Pool(1)
    budget(8 * MIB)
    sent = []
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(time, "sleep", interrupt)
        while True:
            sent.append(pool.apply_async(size, (go, bytes(LARGE))))
    go.set()
    assert [result.get(SOON) for result in sent] == [LARGE] * len(sent)
    pool.close()
    in_thread(pool.join)


def die_once_when_told(died: Any, begun: Any, go: Any, data: bytes) -> int:
    if died.exchange(1) == 0:
        begun.set()
        size(go, data)
        die()
    return len(data)


def test_a_lost_call_waits_for_room_while_its_worker_is_replaced(ctx: BaseContext, budget: Budget) -> None:
    died, begun, go = ctx.Value("i", 0), ctx.Event(), ctx.Event()
    with ctx.Pool(1, retries=1) as pool, ThreadPoolExecutor(4) as threads:
        budget(8 * MIB)
        before = used()
        calls = [
            threads.submit(pool.apply, die_once_when_told, (died, begun, go, bytes(LARGE)), retries=1) for _ in range(4)
        ]
        assert begun.wait(SOON)
        assert wait_until(lambda: used() > before + 2 * LARGE)  # of the other calls
        go.set()
        assert [call.result(SOON) for call in calls] == [LARGE] * 4
