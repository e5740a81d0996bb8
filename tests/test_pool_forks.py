"""Tasks that fork: the child is no worker, and ends when it comes out of the task."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest
from conftest import wait_until
from pool_tasks import SOON, square

from lightwork.context import BaseContext
from lightwork.futures import ProcessPoolExecutor
from lightwork.pool import ThreadPool


def return_it(x: int) -> str:
    return f"child of {x}"


def leave(_: int) -> None:
    sys.exit(3)


def fail(_: int) -> None:
    raise ValueError("of the child")


def fork_and(in_child: Callable[[int], Any], x: int) -> tuple[int, int]:
    """The child's exit code, and whatever `x` is."""
    if not (child := os.fork()):
        os.close(2)  # its traceback is no news
        return in_child(x)  # type: ignore[no-any-return]
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), x


def fork_and_leave_it(children: Any, ended: Any) -> None:
    if os.fork():
        return
    children.put(os.getpid())
    ended.wait(SOON)


ENDS = pytest.mark.parametrize(("end", "code"), [(return_it, 0), (leave, 3), (fail, 1)])


@ENDS
def test_each_task_has_its_own_outcome(ctx: BaseContext, end: Any, code: int) -> None:
    with ctx.Pool(1) as pool:
        assert [pool.apply(fork_and, (end, x)) for x in range(3)] == [(code, x) for x in range(3)]
        assert pool.starmap(fork_and, [(end, x) for x in range(5)]) == [(code, x) for x in range(5)]
        assert list(pool.imap(square, range(4))) == [0, 1, 4, 9]
        pool.close()
        pool.join()


@ENDS
def test_an_executor_goes_on(ctx: BaseContext, end: Any, code: int) -> None:
    with ProcessPoolExecutor(1, mp_context=ctx) as executor:
        assert executor.submit(fork_and, end, 1).result(SOON) == (code, 1)
        assert executor.submit(square, 2).result(SOON) == 4


@ENDS
def test_an_initializer_may_fork(ctx: BaseContext, end: Any, code: int) -> None:
    with ctx.Pool(1, initializer=fork_and, initargs=(end, 1)) as pool:
        assert pool.map(square, range(4)) == [0, 1, 4, 9]


@ENDS
def test_threads_fork(end: Any, code: int) -> None:
    with ThreadPool(1) as pool, pytest.MonkeyPatch().context() as patch:
        patch.setattr("threading.excepthook", lambda _: None)
        assert pool.apply(fork_and, (end, 1))[1] == 1
        assert pool.apply(square, (2,)) == 4


@ENDS
def test_a_process_has_its_own_result(ctx: BaseContext, end: Any, code: int) -> None:
    p = ctx.Process(target=fork_and, args=(end, 1))
    p.start()
    assert p.result(SOON) == (code, 1)


def test_a_pool_ends_before_a_child_that_its_task_has_left(ctx: BaseContext) -> None:
    children, ended = ctx.Queue(), ctx.Event()
    pool = ctx.Pool(1)
    assert pool.apply(fork_and_leave_it, (children, ended)) is None
    child = children.get(timeout=SOON)
    assert pool.apply(square, (3,)) == 9
    pool.close()
    pool.join()
    ended.set()
    assert wait_until(lambda: not os.path.exists(f"/proc/{child}"), SOON)


def fork_on_signals(forked: Any) -> int:
    def handler(*_: Any) -> None:
        if child := os.fork():
            os.waitpid(child, 0)
            forked.set()
        else:
            os.close(2)  # its traceback is no news

    signal.signal(signal.SIGUSR1, handler)
    return os.getpid()


def test_an_idle_worker_s_signal_handler_may_fork(ctx: BaseContext) -> None:
    forked = ctx.Event()
    with ctx.Pool(1) as pool:
        os.kill(pool.apply(fork_on_signals, (forked,)), signal.SIGUSR1)
        assert forked.wait(SOON)
        assert pool.map(square, range(5), chunksize=1) == [0, 1, 4, 9, 16]
