"""Pool: its results are those of plain calls, every failure is told to whom it concerns, and it always ends."""

import gc
import inspect
import itertools
import multiprocessing.pool
import os
import pickle
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import lightwork as mp
import lightwork.pool
from lightwork.context import BaseContext
from lightwork.errors import PoolBroken, TaskCancelled, WorkerDied
from lightwork.pool import MaybeEncodingError, Pool, RemoteTraceback

SOON = 30.0
"""Seconds that nothing here takes, unless it hangs."""


# -- what the tasks do


def square(x: int) -> int:
    return x * x


def multiply(x: int, y: int = 10) -> int:
    return x * y


def pid(_: object = None) -> int:
    return os.getpid()


def fail(x: object) -> None:
    raise KeyError(x)


def leave(code: int) -> None:
    sys.exit(code)


def die(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)


def exit_at_once(code: int) -> None:
    os._exit(code)


def die_at(deadly: int, x: int) -> int:
    if x == deadly:
        die()
    return x


def die_at_three(x: int) -> int:
    return die_at(3, x)


def meet(barrier: Any) -> int:
    """Returns only when as many workers as the barrier has parties are here at once."""
    barrier.wait(SOON)
    return os.getpid()


def begin(begun: Any, go: Any, value: int = 0) -> int:
    begun.set()
    assert go.wait(SOON)
    return value


def ignore_terminate(begun: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begun.set()
    while True:
        signal.pause()


def begin_and_pause(begun: Any) -> None:
    begun.set()
    while True:
        signal.pause()


def count(counter: Any, x: int) -> int:
    counter.add(1)
    return x


def count_or_die_at_three(job: tuple[Any, int]) -> int:
    counter, x = job
    return count(counter, die_at_three(x))


def raise_stop(x: int) -> int:
    if x == 2:
        raise StopIteration("from the task")
    return x


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


class Token:
    pass


# -- helpers


def meet_all(ctx: BaseContext, pool: Pool, workers: int = 2) -> set[int]:
    """The pids of all workers: so many are ready and idle now."""
    return set(pool.map(meet, [ctx.Barrier(workers)] * workers, 1))


class Watched:
    """Processes whose ends can be waited for."""

    def __init__(self, pids: set[int]) -> None:
        self._fds = [os.pidfd_open(p) for p in pids]

    def end(self) -> bool:
        """Have all ended, or do so soon?"""
        try:
            return all(select.select([fd], [], [], SOON)[0] for fd in self._fds)
        finally:
            for fd in self._fds:
                os.close(fd)


def run_with_pool(method: str, body: str) -> subprocess.CompletedProcess[str]:
    """Run a program that begins with a pool of 2 as `pool`."""
    head = (
        f"import os, sys, lightwork as mp\nif __name__ == '__main__':\n    pool = mp.get_context({method!r}).Pool(2)\n"
    )
    program = head + textwrap.indent(textwrap.dedent(body), "    ")
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SOON)


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


# -- a task's failure is that task's


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


def recurse() -> None:
    recurse()


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


def count_then_fail(counter: Any, x: int) -> None:
    counter.add(1)
    if x >= 4:
        raise KeyError(x)


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
        with pytest.raises(RuntimeError, match="StopIteration"):
            pool.map(raise_stop, range(5))
        results = pool.imap(raise_stop, range(4))
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(RuntimeError, match="StopIteration"):
            next(results)
        assert list(results) == [3]


# -- a worker's death


@pytest.mark.parametrize(
    ("func", "args", "exitcode", "words"),
    [(die, (), -signal.SIGKILL, "SIGKILL"), (die, (signal.SIGTERM,), -signal.SIGTERM, "SIGTERM"),
     (exit_at_once, (7,), 7, "code 7"), (exit_at_once, (0,), 0, "code 0")],
)  # fmt: skip
def test_the_task_of_a_worker_that_dies_fails(
    ctx: BaseContext, func: Any, args: Any, exitcode: int, words: str
) -> None:
    begun, go = ctx.Event(), ctx.Event()
    with ctx.Pool(2) as pool:
        other = pool.apply_async(begin, (begun, go, 5))
        assert begun.wait(SOON)
        with pytest.raises(WorkerDied, match=words) as info:
            pool.apply(func, args)
        assert info.value.exitcode == exitcode
        assert info.value.pid not in {w.pid for w in pool._pool}
        assert func.__name__ in str(info.value)
        go.set()
        assert other.get(SOON) == 5
        assert info.value.pid not in meet_all(ctx, pool)


def test_a_map_loses_only_what_the_dead_worker_had(ctx: BaseContext) -> None:
    counter = ctx.Value("i", 0)
    with ctx.Pool(2) as pool:
        result = pool.map_async(count_or_die_at_three, [(counter, x) for x in range(10)], chunksize=1)
        with pytest.raises(WorkerDied, match=r"item 3 of count_or_die_at_three"):
            result.get(SOON)
        assert counter.value == 9
        with pytest.raises(WorkerDied, match=r"items 2 to 3"):
            pool.map_async(die_at_three, range(10), chunksize=2).get(SOON)


def test_an_imap_loses_only_what_the_dead_worker_had(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool:
        results = pool.imap(die_at_three, range(12))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(WorkerDied, match="item 3"):
            next(results)
        assert list(results) == list(range(4, 12))


def test_the_death_of_idle_workers_costs_nothing(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool:
        first = meet_all(ctx, pool)
        watched = Watched(first)
        for worker in first:
            os.kill(worker, signal.SIGKILL)
        assert watched.end()
        assert not first & meet_all(ctx, pool)
        assert pool.map(square, range(10)) == [x * x for x in range(10)]


def test_a_death_is_noticed_though_a_grandchild_lives(ctx: BaseContext) -> None:
    """What a worker started may hold the pipe by which the standard library notices the worker's end."""
    pids = ctx.SimpleQueue()
    with ctx.Pool(1) as pool:
        try:
            with pytest.raises(WorkerDied):
                pool.apply_async(leave_a_child_and_die, (pids,)).get(SOON)
            assert pool.apply(square, (3,)) == 9
        finally:
            os.kill(pids.get(), signal.SIGKILL)


def leave_a_child_and_die(pids: Any) -> None:
    child = os.fork()
    if child == 0:
        time.sleep(600)
    pids.put(child)
    die()


def test_random_deaths(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool:
        meet_all(ctx, pool)
        results = [pool.apply_async(square, (x,)) for x in range(2000)]
        for victim in itertools.count():
            if results[-1].ready() or victim == 10:
                break
            results[victim * 150].wait(SOON)
            for worker in pool._pool[:1]:
                os.kill(worker.pid, signal.SIGKILL)
        died = 0
        for x, result in enumerate(results):
            try:
                assert result.get(SOON) == x * x
            except WorkerDied:
                died += 1
        assert died <= 10
        assert len(meet_all(ctx, pool)) == 2


# -- starting workers


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
    pool._worker_handler.join(SOON)
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


@pytest.mark.parametrize(("end", "most"), [(die, 15), (exit_at_once, 4)])
def test_workers_that_die_in_the_initializer_break_the_pool(ctx: BaseContext, end: Any, most: int) -> None:
    counter = ctx.Value("i", 0)
    with ctx.Pool(1, count_then_end, (counter, end)) as pool, pytest.raises(PoolBroken) as info:
        pool.apply_async(square, (1,)).get(SOON)
    assert isinstance(info.value.__cause__, WorkerDied)
    assert 1 <= counter.value <= most


def count_then_end(counter: Any, end: Any) -> None:
    counter.add(1)
    end(signal.SIGKILL)


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


def test_worker_processes(ctx: BaseContext) -> None:
    with ctx.Pool(3) as pool:
        assert len(pool._pool) == pool._processes == 3
        assert all(w.daemon and w.is_alive() and "PoolWorker" in w.name for w in pool._pool)
        assert pool._ctx is ctx
        assert "state=RUN pool_size=3" in repr(pool)
    assert "state=TERMINATE" in repr(pool)
    assert mp.active_children() == []


def test_a_pool_that_cannot_start_leaves_nothing() -> None:
    context = mp.get_context("fork")

    class Failing(Pool):
        started = 0

        @staticmethod
        def Process(ctx: BaseContext, *args: Any, **kwds: Any) -> Any:
            Failing.started += 1
            if Failing.started == 3:
                raise OSError("no more processes")
            return Pool.Process(ctx, *args, **kwds)

    threads = threading.active_count()
    with pytest.raises(OSError, match="no more processes"):
        Failing(4, context=context)
    assert mp.active_children() == []
    assert threading.active_count() == threads


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


# -- iterators


def test_imap_looks_ahead_a_bounded_number_of_items(ctx: BaseContext) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    with ctx.Pool(2) as pool:
        for chunksize in (1, 3):
            for start in (pool.imap, pool.imap_unordered):
                taken = 0
                results = start(square, items(), chunksize)
                assert taken <= 16 * chunksize
                for _ in range(100):
                    next(results)
                assert 100 <= taken <= 100 + 16 * chunksize


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


def inverse(x: int) -> float:
    return 1 / x


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


# -- ends


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


def test_a_pool_that_nobody_holds_ends(ctx: BaseContext) -> None:
    pool = ctx.Pool(2)
    workers = Watched(meet_all(ctx, pool))
    threads = [pool._worker_handler, pool._result_handler]
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


def identity(x: Any) -> Any:
    return x


@pytest.mark.parametrize("end", ["pass", "pool.close()", "sys.exit(0)", "pool.apply_async(os.wait)", "del pool"])
def test_a_program_may_end_with_a_pool(ctx: BaseContext, end: str) -> None:
    before = time.monotonic()
    ended = run_with_pool(ctx.get_start_method(), f"print(pool.map(abs, [-1, -2]))\n{end}")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "[1, 2]\n", "")
    assert time.monotonic() - before < 15


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


# -- arguments


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


def test_a_pool_is_not_sent(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool, pytest.raises(NotImplementedError, match="cannot be passed between processes"):
        pickle.dumps(pool)


def test_as_many_workers_as_cpus() -> None:
    with mp.get_context("fork").Pool() as pool:
        assert len(pool._pool) == len(os.sched_getaffinity(0))


def test_signatures_are_the_standard_librarys() -> None:
    def plain(func: Any) -> list[tuple[str, Any, Any]]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(func).parameters.values()]

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
