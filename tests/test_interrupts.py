"""A signal handler that raises (Ctrl-C does) may come at any bytecode: what it leaves can be used, by others too, and
nothing is lost. From Python 3.14 on one may come between `with lock` and its body."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alarms import Alarm, insist, interrupt

import lightwork as mp
from lightwork import _native, futures
from lightwork.context import BaseContext
from lightwork.pool import ThreadPool

SOON = 20

Run = Callable[..., Any]


def harass(work: Callable[[], object], rings: int = 300) -> None:
    """Call it again and again, interrupted, until so many alarms have rung."""

    def until_it_rings() -> None:
        alarm.set()
        while not alarm.off:
            work()

    with Alarm(interrupt, 5e-5) as alarm:
        while alarm.rung < rings:
            try:
                until_it_rings()  # no loop in here: its jump back, where a handler may run, is in no `try`
            except KeyboardInterrupt:
                pass


def can_be_had(lock: Any) -> bool:
    """Can another thread have it?"""

    def take() -> bool:
        taken: bool = lock.acquire(False)
        if taken:
            lock.release()
        return taken

    t = mp.Thread(target=take)
    t.start()
    return t.result(SOON) is True


@pytest.mark.parametrize("make", [threading.Lock, threading.RLock, mp.Lock, mp.RLock, mp.Semaphore])
def test_a_lock_held_for_a_call_can_be_had_afterwards(make: Callable[[], Any]) -> None:
    lock, calls = make(), []
    harass(lambda: _native.holding(lock, calls.append, 1))
    assert calls
    assert can_be_had(lock)


def test_holding_calls_as_with_does() -> None:
    lock = threading.Lock()

    def look(*args: int) -> tuple[int, ...]:
        assert lock.locked()
        return args

    assert _native.holding(lock, look, 1, 2) == (1, 2)
    with pytest.raises(ZeroDivisionError):
        _native.holding(lock, divmod, 1, 0)
    assert not lock.locked()
    with pytest.raises(AttributeError, match="__exit__"):
        _native.holding(None, look)  # type: ignore[type-var]


def test_values_can_be_had_afterwards(ctx: BaseContext) -> None:
    value, array = ctx.Value("i", 0), ctx.Array("i", 4)

    def use() -> None:
        value.value = 1
        array[0] = value.value

    harass(use)
    assert can_be_had(value.get_lock())
    assert can_be_had(array.get_lock())
    p = ctx.Process(target=count_on, args=(value, array))
    p.start()
    p.result(SOON)
    assert (value.value, array[0]) == (2, 2)


def count_on(value: Any, array: Any) -> None:
    value.value += 1
    array[0] += 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what hits a destructor is only printed
def test_a_pool_can_be_ended_afterwards(ctx: BaseContext) -> None:
    pool = ctx.Pool(1)
    harass(lambda: pool.apply(abs, (-1,)), 100)
    harass(lambda: next(pool.imap(abs, [-1])), 100)
    assert pool.apply_async(abs, (-2,)).get(SOON) == 2
    assert list(pool.imap(abs, [-3])) == [3]
    pool.terminate()
    pool.join()


@pytest.mark.parametrize("kind", ["processes", "threads"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what hits a destructor is only printed
def test_iterators_that_a_handler_has_raised_in_leave_nothing(kind: str) -> None:
    pool = mp.Pool(1) if kind == "processes" else ThreadPool(1)

    def raise_timeout() -> None:
        raise TimeoutError("alarm")  # an Exception: not to be mistaken for one of the iterable's

    with pool, Alarm(raise_timeout, 6e-5) as clock:
        while clock.rung < 300:
            try:
                clock.set()
                list(pool.imap(abs, range(8)))
                clock.off = True
            except TimeoutError:
                pass
        assert list(pool.imap(abs, range(-8, 0))) == [8, 7, 6, 5, 4, 3, 2, 1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_iterators_that_a_handler_has_raised_in_go_on() -> None:
    def raise_timeout() -> None:
        raise TimeoutError("alarm")

    def rest(iterator: Any, clock: Alarm) -> list[int]:
        found: list[int] = []
        while len(found) < 200:
            try:
                clock.set()
                found.extend(map(next, (iterator,)))
                clock.off = True
            except TimeoutError:
                continue
        return found

    with mp.Pool(1) as pool, Alarm(raise_timeout, 6e-5) as clock:
        while clock.rung < 1000:
            assert rest(pool.imap(abs, range(200)), clock) == list(range(200))


def test_an_interrupted_pool_leaves_nobody(ctx: BaseContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fixture looks at what is left."""
    start = threading.Thread.start

    def start_and_raise(self: threading.Thread) -> None:
        start(self)
        if self.name == "lightwork-pool-crew":
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", start_and_raise)
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            ctx.Pool(2)


def blocks_interrupts(_: Any) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("blocked", [False, True])
def test_workers_block_interrupts_as_their_maker_does(ctx: BaseContext, method: str, blocked: bool) -> None:
    expected = blocked and method != "forkserver"  # whose children are the server's
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT} if blocked else ())
    try:
        with ctx.Pool(1, maxtasksperchild=1) as pool:  # the first is started by this thread, others by the crew's
            assert pool.map(blocks_interrupts, range(3), chunksize=1) == [expected] * 3
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.parametrize("program", ["interrupted_starts", "interrupted_workers"])
def test_program(run: Run, method: str, program: str) -> None:
    if sys.version_info >= (3, 14) and program == "interrupted_starts":
        pytest.skip(
            "from Python 3.14 on the locks of threading, the forkserver and the resource tracker may stay taken"
        )
    run(Path(__file__).parent / "programs" / f"{program}.py", method)


class Ring(Exception):
    """What a handler raises that is not for Ctrl-C."""


to_raise: list[type[BaseException]] = []


def interrupted(value: int) -> int:
    if to_raise:
        raise to_raise.pop()
    return value


class Sent:
    """Pickling it is interrupted."""

    def __reduce__(self) -> Any:
        return int, (interrupted(42),)


class Received:
    """Unpickling it is interrupted."""

    def __reduce__(self) -> Any:
        return interrupted, (42,)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Ring, SystemExit])
def test_an_interrupt_is_no_fault_of_what_is_unpickled(ctx: BaseContext, kind: type[BaseException]) -> None:
    p = ctx.Process(target=Received)
    with ctx.Pool(1) as pool:
        pool.apply(abs, (1,))
        p.start()
        for get in (pool.apply_async(Received).get, p.result):
            to_raise.append(kind)
            with pytest.raises(kind):
                get(SOON)
            assert get(SOON) == 42


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Ring, SystemExit])
def test_an_interrupt_is_no_fault_of_what_is_pickled(ctx: BaseContext, kind: type[BaseException]) -> None:
    with ctx.Pool(1) as pool:
        for begin in (pool.submit, pool.apply, pool.map, pool.imap):
            to_raise.append(kind)
            with pytest.raises(kind):
                begin(abs, [Sent()])
        assert pool.apply(abs, [Sent()]) == 42
    assert not pool._cache


@pytest.mark.parametrize("action", [None, abs])
def test_a_barrier_counts_nobody_who_was_interrupted(ctx: BaseContext, action: Any) -> None:
    barrier = ctx.Barrier(2, None if action is None else partial(action, 1))

    def meet_in_vain() -> None:
        try:
            barrier.wait(0)
        except threading.BrokenBarrierError:
            pass

    harass(meet_in_vain, 1000)
    assert barrier.n_waiting == 0
    barrier.reset()
    other = mp.Thread(target=barrier.wait)
    other.start()
    assert sorted([barrier.wait(SOON), other.result(SOON)]) == [0, 1]


def test_an_executor_goes_on_afterwards(ctx: BaseContext) -> None:
    with futures.ProcessPoolExecutor(1, ctx) as executor:
        assert executor.submit(abs, -1).result(SOON) == 1
        harass(lambda: executor.submit(abs, -1), 100)
        assert executor.submit(abs, -2).result(SOON) == 2


def test_an_interrupted_join_loses_no_exit_code_and_no_outcome(ctx: BaseContext) -> None:
    with Alarm(interrupt, 5e-4) as alarm:
        for n in range(20):
            leaves, returns = ctx.Process(target=os._exit, args=(n,)), ctx.Process(target=abs, args=(-n,))
            leaves.start()
            returns.start()
            insist(leaves.join, alarm)
            assert insist(returns.result, alarm) == n
            assert (leaves.exitcode, returns.exitcode) == (n, 0)


def test_a_signal_handler_may_ask_for_children_while_they_are_joined(ctx: BaseContext) -> None:
    asked = []

    def ask() -> None:
        asked.append([p.exitcode for p in (*mp.active_children(), joined)])
        alarm.set()

    joined = ctx.Process(target=abs, args=(1,))
    joined.start()
    with Alarm(ask, 1e-4) as alarm:
        alarm.set()
        joined.join()
        for _ in range(10):
            p = ctx.Process(target=abs, args=(1,))
            p.start()
            while p.is_alive():
                pass
            assert p.exitcode == 0
    assert len(asked) > 20


def test_a_child_that_ends_is_asked_for_in_its_signal_s_handler(ctx: BaseContext) -> None:
    ended: list[Any] = []
    before = signal.signal(signal.SIGCHLD, lambda *_: ended.append(mp.active_children()))
    try:
        for n in range(10):
            p = ctx.Process(target=os._exit, args=(n,))
            p.start()
            p.join()
            assert p.exitcode == n
    finally:
        signal.signal(signal.SIGCHLD, before)
