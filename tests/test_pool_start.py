"""Pool: how it starts and replaces its workers, and what it does when it cannot."""

import itertools
import os
import signal
import threading
from typing import Any

import pytest
from pool_tasks import SOON, count, count_then_fail, die, exit_at_once, meet_all, pid, square

import lightwork as mp
from lightwork.context import BaseContext
from lightwork.errors import PoolBroken, WorkerDied
from lightwork.pool import Pool


def count_then_end(counter: Any, end: Any) -> None:
    counter.add(1)
    end(signal.SIGKILL)


class Textless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def raise_textless() -> None:
    raise Textless


def cannot_start_the_third_process(error: BaseException) -> type[Pool]:
    started = itertools.count(1)

    class Failing(Pool):
        @staticmethod
        def Process(ctx: BaseContext, *args: Any, **kwds: Any) -> Any:
            if next(started) == 3:
                raise error
            return Pool.Process(ctx, *args, **kwds)

    return Failing


def test_as_many_workers_as_cpus() -> None:
    with mp.get_context("fork").Pool() as pool:
        assert len(pool._pool) == len(os.sched_getaffinity(0))


def test_worker_processes(ctx: BaseContext) -> None:
    with ctx.Pool(3) as pool:
        assert len(pool._pool) == pool._processes == 3
        assert all(w.daemon and w.is_alive() and "PoolWorker" in w.name for w in pool._pool)
        assert pool._ctx is ctx
        assert "state=RUN pool_size=3" in repr(pool)
    assert "state=TERMINATE" in repr(pool)
    assert mp.active_children() == []


def test_workers_are_replaced_after_maxtasksperchild(ctx: BaseContext) -> None:
    with ctx.Pool(2, maxtasksperchild=3) as pool:
        pids = pool.map(pid, range(12), chunksize=1)
        assert len(pids) == 12
        assert max(pids.count(p) for p in pids) == 3
    pool = ctx.Pool(2, maxtasksperchild=1)
    results = [pool.apply_async(square, (x,)) for x in range(5)]
    pool.close()
    pool.join()
    assert [r.get(0) for r in results] == [x * x for x in range(5)]


def test_a_pool_that_cannot_start_leaves_nothing() -> None:
    failing = cannot_start_the_third_process(OSError("no more processes"))
    threads = threading.active_count()
    with pytest.raises(OSError, match="no more processes"):
        failing(4, context=mp.get_context("fork"))
    assert mp.active_children() == []
    assert threading.active_count() == threads


def test_a_pool_that_cannot_start_ends_workers_that_do_not_obey() -> None:
    failing = cannot_start_the_third_process(OSError("no more processes"))
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # which forked workers inherit
    try:
        with pytest.raises(OSError, match="no more processes"):
            failing(4, context=mp.get_context("fork"))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert mp.active_children() == []


class Knowing:
    """A worker of the program's own, which knows no more than the standard library's pool asks when it cannot start."""

    name, exitcode, state = "Process", None, "initial"

    def start(self) -> None:
        self.state = "started"

    def terminate(self) -> None:
        self.state = "terminated"

    def join(self) -> None:
        assert self.state == "terminated"
        self.state = "joined"


def test_a_pool_that_cannot_start_ends_workers_of_any_class() -> None:
    workers: list[Knowing] = []

    class Failing(Pool):
        @staticmethod
        def Process(ctx: BaseContext, *args: Any, **kwds: Any) -> Any:
            if len(workers) == 2:
                raise OSError("no more processes")
            workers.append(Knowing())
            return workers[-1]

    with pytest.raises(OSError, match="no more processes"):
        Failing(4, context=mp.get_context("fork"))
    assert [worker.state for worker in workers] == ["joined", "joined"]


def test_a_pool_that_cannot_watch_its_workers_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = cannot_start_the_third_process(SystemExit("no third process"))
    reported: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))

    with failing(2, context=mp.get_context("fork")) as pool:
        with pytest.raises((WorkerDied, PoolBroken)):
            pool.apply_async(die).get(SOON)
        pool._engine.crew.thread.join(SOON)
        for worker in list(pool._pool):
            worker.join(SOON)
            assert worker.exitcode == -signal.SIGKILL
        with pytest.raises(PoolBroken, match="no third process"):
            pool.apply(square, (1,))
    assert [str(e) for e in reported] == ["no third process"]


# -- the initializer


def test_every_worker_runs_the_initializer(ctx: BaseContext) -> None:
    counter = ctx.Value("i", 0)
    with ctx.Pool(2, count, (counter, 1)) as pool:
        meet_all(ctx, pool)
        assert counter.value == 2
    with ctx.Pool(1, lambda: counter.add(1)) as pool:
        pool.apply(pid)
    assert counter.value == 3


def test_an_initializer_that_raises_breaks_the_pool(ctx: BaseContext) -> None:
    told: list[BaseException] = []
    counter = ctx.Value("i", 0)
    pool = ctx.Pool(2, count_then_fail, (counter, 4))
    result = pool.apply_async(square, (1,), callback=told.append, error_callback=told.append)
    with pytest.raises(PoolBroken) as info:
        result.get(SOON)
    assert isinstance(info.value.__cause__, KeyError)
    assert "raise KeyError(x)" in str(info.value.__cause__.__cause__)
    assert [type(e) for e in told] == [PoolBroken]
    for thread in threading.enumerate():
        if thread.name == "lightwork-pool-crew":
            thread.join(SOON)
    for later in (
        lambda: pool.apply(square, (2,)),
        lambda: pool.map(square, [1]),
        lambda: next(pool.imap(square, [1])),
    ):
        with pytest.raises(PoolBroken, match="initializer"):
            later()
    assert 1 <= counter.value <= 4  # the first two, and those that were on their way
    assert pool._pool == []
    pool.close()
    pool.join()


@pytest.mark.parametrize("backend", ["processes", "threads", "serial"])
def test_an_initializer_whose_error_has_no_text_breaks_the_pool(backend: str) -> None:
    with mp.Pool(1, raise_textless, backend=backend) as pool, pytest.raises(PoolBroken, match="Textless: its text"):
        pool.apply_async(square, (1,)).get(SOON)


@pytest.mark.parametrize(("end", "most"), [(die, 15), (exit_at_once, 4)])
def test_workers_that_die_in_the_initializer_break_the_pool(ctx: BaseContext, end: Any, most: int) -> None:
    counter = ctx.Value("i", 0)
    with ctx.Pool(1, count_then_end, (counter, end)) as pool, pytest.raises(PoolBroken) as info:
        pool.apply_async(square, (1,)).get(SOON)
    assert isinstance(info.value.__cause__, WorkerDied)
    assert 1 <= counter.value <= most
