"""Pool: it always ends, and leaves nothing; what does not end it."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref
from typing import Any

import pytest
from pool_tasks import SOON, Watched, begin, begin_and_pause, meet_all, square

import lightwork as mp
from lightwork.context import BaseContext
from lightwork.errors import TaskCancelled
from lightwork.pool import Pool


def ignore_terminate(begun: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begun.set()
    while True:
        signal.pause()


class Token:
    pass


def identity(x: Any) -> Any:
    return x


def run_with_pool(method: str, body: str) -> subprocess.CompletedProcess[str]:
    """Run a program that begins with a pool of 2 as `pool`."""
    head = (
        f"import os, sys, lightwork as mp\nif __name__ == '__main__':\n    pool = mp.get_context({method!r}).Pool(2)\n"
    )
    program = head + textwrap.indent(textwrap.dedent(body), "    ")
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SOON)


# -- close and terminate


def test_close_ends_when_the_work_is_done(ctx: BaseContext) -> None:
    begun, go = ctx.Event(), ctx.Event()
    pool = ctx.Pool(1)
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    results = [pool.apply_async(begin, (begun, go, x)) for x in range(3)]
    pool.close()
    for refused in (pool.apply_async, pool.map_async, pool.imap, pool.imap_unordered):
        with pytest.raises(ValueError, match="not running"):
            refused(square, [1])
    with pytest.raises(ValueError, match="not running"), pool:
        pass
    assert begun.wait(SOON)
    assert not results[-1].ready()
    go.set()
    pool.join()
    assert [r.get(0) for r in results] == [0, 1, 2]
    pool.join()
    pool.terminate()


def test_terminate_cancels_what_is_not_done(ctx: BaseContext) -> None:
    begun = ctx.Event()
    told: list[object] = []
    with ctx.Pool(1) as pool:
        running = pool.apply_async(begin_and_pause, (begun,), error_callback=told.append)
        waiting = pool.map_async(square, range(1000), chunksize=1)
        assert begun.wait(SOON)
        workers = Watched({w.pid for w in pool._pool})
    for result in (running, waiting):
        with pytest.raises(TaskCancelled, match="terminated"):
            result.get(0)
    assert told == []
    assert workers.end()
    pool.join()
    pool.terminate()


def test_terminate_ends_workers_that_do_not_want_to(ctx: BaseContext) -> None:
    begun = ctx.Event()
    pool = ctx.Pool(1)
    pool.apply_async(ignore_terminate, (begun,))
    assert begun.wait(SOON)
    workers = Watched({w.pid for w in pool._pool})
    before = time.monotonic()
    pool.terminate()
    assert time.monotonic() - before < 10
    assert workers.end()


def test_terminate_from_a_callback(ctx: BaseContext) -> None:
    pool = ctx.Pool(1)
    result = pool.apply_async(square, (3,), callback=lambda _: pool.terminate())
    assert result.get(SOON) == 9
    pool.join()


# -- what nobody holds any more


def test_a_pool_that_nobody_holds_ends(ctx: BaseContext) -> None:
    pool = ctx.Pool(2)
    workers = Watched(meet_all(ctx, pool))
    threads = [t for t in threading.enumerate() if t.name.startswith("lightwork-pool")]
    assert threads
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
        del pool
        gc.collect()
    assert workers.end()
    for thread in threads:
        thread.join(SOON)
        assert not thread.is_alive()


def test_arguments_and_results_are_let_go(ctx: BaseContext) -> None:
    gone = [threading.Event(), threading.Event()]
    with ctx.Pool(1) as pool:
        token = Token()
        weakref.finalize(token, gone[0].set)
        weakref.finalize(pool.apply(identity, (token,)), gone[1].set)
        del token
        assert all(event.wait(SOON) for event in gone)


@pytest.mark.parametrize("end", ["pass", "pool.close()", "sys.exit(0)", "pool.apply_async(os.wait)", "del pool"])
def test_a_program_may_end_with_a_pool(ctx: BaseContext, end: str) -> None:
    before = time.monotonic()
    ended = run_with_pool(ctx.get_start_method(), f"print(pool.map(abs, [-1, -2]))\n{end}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "[1, 2]\n", "")
    assert time.monotonic() - before < 15


# -- what does not end it


def test_an_interrupt_between_tasks_is_the_parents_business(ctx: BaseContext) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        pytest.skip("the tests run with SIGINT ignored, and so do their children")
    begun = ctx.Event()
    with ctx.Pool(2) as pool:
        workers = meet_all(ctx, pool)
        for worker in workers:
            os.kill(worker, signal.SIGINT)
        assert meet_all(ctx, pool) == workers
        result = pool.apply_async(begin_and_pause, (begun,))
        assert begun.wait(SOON)
        for worker in workers:
            os.kill(worker, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            result.get(SOON)
        assert meet_all(ctx, pool) == workers


inherited: Pool | None = None


def test_a_forked_child_leaves_the_pool_alone() -> None:
    global inherited
    context = mp.get_context("fork")
    inherited = context.Pool(2)
    workers = meet_all(context, inherited)
    child = context.Process(target=misuse)
    child.start()
    child.join(SOON)
    assert child.exitcode == 0
    assert meet_all(context, inherited) == workers
    inherited.terminate()
    inherited = None


def misuse() -> None:
    global inherited
    assert inherited is not None
    for refused in (inherited.apply_async, inherited.map, inherited.imap):
        with pytest.raises(ValueError, match="not running in this process"):
            refused(square, [1])
    inherited.terminate()
    with pytest.raises(ValueError, match="belongs to process"):
        inherited.join()
    inherited._state = "RUN"
    collected = weakref.ref(inherited)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        del refused
        inherited = None
        gc.collect()
    assert collected() is None
    assert warned == []


def test_a_forked_child_takes_none_of_its_parents_results() -> None:
    ctx = mp.get_context("fork")
    go = ctx.Event()

    def ask() -> str:
        assert not result.ready()
        go.set()
        try:
            result.get(SOON)
        except ValueError as e:
            return str(e)
        return "it was had"

    with ctx.Pool(1) as pool:
        result = pool.apply_async(go.wait, (SOON,))
        asked = ctx.Process(target=ask)
        asked.start()
        assert "can only be had there" in asked.result(SOON)
        assert result.get(SOON) is True


def test_one_pool_after_another_needs_no_more_memory_than_one(ctx: BaseContext) -> None:
    def use() -> int:
        with ctx.Pool(2) as pool:
            pool.map(square, range(5000), chunksize=50)
        return mp.arena.stats().used

    at_first = max(use() for _ in range(8))
    assert max(use() for _ in range(12)) <= at_first + (1 << 19)


def test_a_callback_cannot_wait_for_its_own_end(ctx: BaseContext) -> None:
    pool = ctx.Pool(1)
    told: list[BaseException] = []

    def close_and_join(_: object) -> None:
        pool.close()
        with pytest.raises(RuntimeError, match="a callback cannot join its own pool") as info:
            pool.join()
        told.append(info.value)

    assert pool.apply_async(square, (3,), callback=close_and_join).get(SOON) == 9
    pool.join()
    assert len(told) == 1
