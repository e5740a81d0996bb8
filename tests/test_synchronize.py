"""Lock, RLock, Semaphore, BoundedSemaphore, Condition, Event, Barrier."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from conftest import wait_until

import lightwork as mp
from lightwork.errors import OwnerDied, OwnerDiedWarning

fork: Any = mp.get_context("fork")

#: Each primitive: how to make it, a change to it, and what the change can be seen by.
PRIMITIVES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "Lock": (lambda c: c.Lock(), lambda x: x.acquire(), lambda x: x.locked()),
    "RLock": (lambda c: c.RLock(), lambda x: x.acquire(), lambda x: x.locked()),
    "Semaphore": (lambda c: c.Semaphore(3), lambda x: x.acquire(), lambda x: x.get_value()),
    "BoundedSemaphore": (lambda c: c.BoundedSemaphore(3), lambda x: x.acquire(), lambda x: x.get_value()),
    "Condition": (lambda c: c.Condition(), lambda x: x.acquire(), lambda x: "None" not in repr(x)),
    "Event": (lambda c: c.Event(), lambda x: x.set(), lambda x: x.is_set()),
    "Barrier": (lambda c: c.Barrier(2), lambda x: x.abort(), lambda x: x.broken),
}
LOCKS = ["Lock", "RLock", "Semaphore", "BoundedSemaphore"]


def in_thread(f: Callable[[], Any]) -> Any:
    """What `f` returns or raises in another thread."""
    t = mp.Thread(target=f)
    hook, threading.excepthook = threading.excepthook, lambda args: None  # what it raises is for the caller to report
    try:
        t.start()
        return t.result(10)
    finally:
        threading.excepthook = hook


def asleep(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0] == "S"


def dead_holder(ctx: Any, lock: Any, how: str = "kill") -> Any:
    p = ctx.Process(target=hold, args=(lock, how), name="Bob")
    p.start()
    p.join()
    return p


def hold(lock: Any, how: str) -> None:
    assert lock.acquire()
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def hold_and_wait(lock: Any, n: int, ready: Any) -> None:
    for _ in range(n):
        lock.acquire()
    ready.put(os.getpid())
    fork.Event().wait()


# -- each for itself


@pytest.mark.parametrize("kind", LOCKS)
@pytest.mark.parametrize("how", [(False,), (True, 0), (True, -1), (True, -1e300), (True, 0.01), (False, 5)])
def test_acquire_of_what_is_taken_ends_in_time(kind: str, how: Any) -> None:
    lock = getattr(fork, kind)()
    assert in_thread(lock.acquire)
    start = time.monotonic()
    assert lock.acquire(*how) is False
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("kind", LOCKS)
@pytest.mark.parametrize("timeout", [None, 0, -1, 1e300, float("inf"), 1])
def test_acquire_of_what_is_free_ignores_the_timeout(kind: str, timeout: Any) -> None:
    lock = getattr(fork, kind)()
    assert lock.acquire(True, timeout) is True
    lock.release()
    with lock as entered:
        assert entered is True
        assert in_thread(lambda: lock.acquire(False)) is False
    assert in_thread(lambda: lock.acquire(block=False))
    with pytest.raises(TypeError):
        lock.acquire(True, "soon")


def test_release_too_often() -> None:
    for lock in (fork.Lock(), fork.BoundedSemaphore(2)):
        lock.acquire()
        lock.release()
        with pytest.raises(ValueError, match="released too many times"):
            lock.release()
    with pytest.raises(AssertionError, match="not owned"):
        fork.RLock().release()


def test_a_lock_may_be_released_by_another_thread_an_rlock_not() -> None:
    lock, rlock = fork.Lock(), fork.RLock()
    lock.acquire()
    in_thread(lock.release)
    assert not lock.locked()
    assert rlock.acquire() and rlock.acquire(False) and rlock.acquire(timeout=0)
    for release in (rlock.release, lambda: rlock.__exit__(None, None, None)):
        with pytest.raises(AssertionError, match="not owned by thread"):
            in_thread(release)
    for _ in range(3):
        assert rlock.locked()
        rlock.release()
    assert in_thread(lambda: rlock.acquire(False))


def test_reprs() -> None:
    lock, rlock = fork.Lock(), fork.RLock()
    assert (repr(lock), repr(rlock)) == ("<Lock(owner=None)>", "<RLock(None, 0)>")
    with lock, rlock, rlock:
        assert (repr(lock), repr(rlock)) == ("<Lock(owner=MainProcess)>", "<RLock(MainProcess, 2)>")
        assert in_thread(lambda: repr(lock)) == "<Lock(owner=SomeOtherThread)>"
        assert in_thread(lambda: repr(rlock)) == "<RLock(SomeOtherThread, nonzero)>"
    assert repr(fork.Semaphore(3)) == "<Semaphore(value=3)>"
    assert repr(fork.BoundedSemaphore(3)) == "<BoundedSemaphore(value=3, maxvalue=3)>"
    assert repr(fork.Condition()) == "<Condition(<RLock(None, 0)>, 0)>"
    assert "unset>" in repr(fork.Event()) and "waiters=0/2>" in repr(fork.Barrier(2))


def test_semaphore_counts() -> None:
    s = fork.Semaphore(2)
    assert [s.acquire(False) for _ in range(3)] == [True, True, False]
    for _ in range(5):
        s.release()
    assert s.get_value() == 5
    for value in (-1, 2**31):
        with pytest.raises(ValueError, match="initial value"):
            fork.Semaphore(value)
    with pytest.raises(TypeError):
        fork.Semaphore("1")


@pytest.mark.parametrize("name", PRIMITIVES)
def test_pickled_in_the_same_process_it_is_the_same(name: str) -> None:
    make, change, look = PRIMITIVES[name]
    original = make(fork)
    before = look(original)
    copy = pickle.loads(pickle.dumps(original))
    change(copy)
    assert look(original) == look(copy) != before
    again = pickle.loads(pickle.dumps(copy))  # also while it is held
    del original, copy
    assert look(again) != before


def looks(name: str, by_argument: Any, queue: Any, pipe: Any) -> None:
    look = PRIMITIVES[name][2]
    queue.put([look(by_argument), look(queue.get()), look(pipe.recv())])


def test_it_travels_as_argument_through_a_queue_and_a_pipe(ctx: Any) -> None:
    for name, (make, change, look) in PRIMITIVES.items():
        x, queue, (here, there) = make(ctx), ctx.Queue(), ctx.Pipe()
        before = look(x)
        change(x)
        queue.put(x)
        here.send(x)
        p = ctx.Process(target=looks, args=(name, x, queue, there))
        p.start()
        p.join()
        assert queue.get(timeout=5) == [look(x)] * 3 != [before] * 3
        here.close()
        there.close()


def count(lock: Any, number: Any, n: int) -> None:
    for _ in range(n):
        with lock:
            number.value += 1


@pytest.mark.parametrize("kind", LOCKS)
def test_only_one_is_inside(ctx: Any, kind: str) -> None:
    lock, number = getattr(ctx, kind)(), ctx.RawValue("i", 0)
    ps = [ctx.Process(target=count, args=(lock, number, 2000)) for _ in range(2)]
    for p in ps:
        p.start()
    count(lock, number, 2000)
    for p in ps:
        p.join()
    assert number.value == 6000


def test_only_one_thread_is_inside() -> None:
    for lock in (fork.Lock(), fork.RLock(), fork.Condition()):
        number = fork.RawValue("i", 0)
        ts = [threading.Thread(target=count, args=(lock, number, 500)) for _ in range(4)]
        for t in ts:
            t.start()
        for t in ts:
            t.join()
        assert number.value == 2000


# -- death of a holder


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize("how", ["kill", "exit"])
def test_the_lock_of_a_dead_holder_is_taken_over_with_a_warning(ctx: Any, kind: str, how: str) -> None:
    lock = getattr(ctx, kind)()
    p = dead_holder(ctx, lock, how)
    with pytest.warns(OwnerDiedWarning, match=rf"process {p.pid} \(Bob\) died holding"):
        assert lock.acquire(timeout=10)
    assert lock.owner_died and lock.locked()
    lock.release()
    assert not lock.owner_died
    assert lock.acquire(timeout=10)  # and no second warning
    assert not lock.owner_died


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_or_raises_and_leaves_it_free(kind: str) -> None:
    lock = getattr(fork, kind)(on_owner_death="raise")
    copy = pickle.loads(pickle.dumps(lock))
    for taker in (lock, copy):
        p = dead_holder(fork, lock)
        with pytest.raises(OwnerDied, match=rf"process {p.pid} \(Bob\) died holding"), taker:
            raise AssertionError("it must not come to this")
        assert not lock.locked() and not lock.owner_died
    assert copy.acquire(False)
    with pytest.raises(ValueError, match="'warn' or 'raise'"):
        fork.Lock(on_owner_death="ignore")


def test_a_child_forked_by_hand_has_nobody_elses_name() -> None:
    lock = fork.Lock()
    assert dead_holder(fork, fork.Lock()).exitcode == -signal.SIGKILL  # Bob; the next child gets his row
    pid = os.fork()
    if not pid:
        hold(lock, "kill")
    os.waitpid(pid, 0)
    with pytest.warns(OwnerDiedWarning, match=rf"process {pid} ") as warned:
        assert lock.acquire(timeout=10)
    assert "Bob" not in str(warned[0].message)


def test_a_warning_turned_into_an_error_leaves_it_free() -> None:
    lock = fork.Lock()
    dead_holder(fork, lock)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(OwnerDiedWarning):
            lock.acquire()
    assert not lock.locked() and lock.acquire(False)


@pytest.mark.parametrize("kind", LOCKS)
@pytest.mark.parametrize("how", [{"block": False}, {"timeout": 0}, {"timeout": 0.001}], ids=str)
def test_who_only_polls_finds_the_dead_holder_too(kind: str, how: Any) -> None:
    lock = getattr(fork, kind)()
    dead_holder(fork, lock)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert wait_until(lambda: lock.acquire(**how), 2)


@pytest.mark.parametrize("kind", LOCKS)
def test_a_holder_that_nobody_has_reaped_yet_is_dead(kind: str) -> None:
    lock, ready = getattr(fork, kind)(), fork.Queue()
    p = fork.Process(target=hold_and_wait, args=(lock, 1, ready))
    p.start()
    os.kill(ready.get(), signal.SIGKILL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert lock.acquire(timeout=10)
    p.join()


def test_a_semaphore_gets_back_what_the_dead_held() -> None:
    s, ready = fork.BoundedSemaphore(3), fork.Queue()
    p = fork.Process(target=hold_and_wait, args=(s, 2, ready))
    p.start()
    ready.get()
    assert s.get_value() == 1
    p.kill()
    p.join()
    assert [s.acquire(timeout=1) for _ in range(3)] == [True] * 3
    assert not s.acquire(timeout=0.1)


def signals(s: Any, n: int, ready: Any) -> None:
    for _ in range(n):
        s.release()
    hold_and_wait(s, 0, ready)


def test_a_signalling_semaphore_gains_and_loses_nothing_by_deaths() -> None:
    s, ready = fork.Semaphore(0), fork.Queue()
    for target, n in ((signals, 3), (hold_and_wait, 2)):
        p = fork.Process(target=target, args=(s, n, ready))
        p.start()
        ready.get()
        p.kill()
        p.join()
    assert s.acquire(timeout=1)
    assert not s.acquire(timeout=0.1)


# -- Event


def waits(event: Any, ready: Any, back: Any) -> None:
    ready.put(os.getpid())
    back.put(event.wait(20))


def test_a_killed_waiter_does_not_delay_set(ctx: Any) -> None:
    event, ready, back = ctx.Event(), ctx.Queue(), ctx.Queue()
    ps = [ctx.Process(target=waits, args=(event, ready, back)) for _ in range(3)]
    for p in ps:
        p.start()
    pids = [ready.get() for _ in ps]
    assert wait_until(lambda: all(map(asleep, pids)))
    ps[0].kill()
    ps[0].join()
    start = time.monotonic()
    event.set()
    assert [back.get(timeout=5) for _ in range(2)] == [True, True]
    assert time.monotonic() - start < 2
    for p in ps[1:]:
        p.join()


def test_event() -> None:
    event = fork.Event()
    assert [event.wait(t) for t in (0, -1, 0.01)] == [False] * 3
    event.set()
    event.set()
    assert event.is_set() and event.wait(0) and event.wait()
    event.clear()
    assert not event.is_set() and not event.wait(0)


# -- Condition


def enters(c: Any, ready: Any, back: Any) -> None:
    with c:
        ready.put(os.getpid())
        back.put((os.getpid(), c.wait(20)))


def crowd(ctx: Any, c: Any, ready: Any, back: Any, n: int) -> list[Any]:
    """`n` processes that wait, the first the longest."""
    ps = [ctx.Process(target=enters, args=(c, ready, back)) for _ in range(n)]
    for i, p in enumerate(ps):
        p.start()
        ready.get()
        assert wait_until(lambda i=i: f", {i + 1})>" in repr(c))  # type: ignore[misc]
    return ps


@pytest.mark.parametrize("lock", ["Lock", "RLock", None])
def test_notify_wakes_the_longest_waiting_of_the_living(ctx: Any, lock: str | None) -> None:
    c, ready, back = ctx.Condition(getattr(ctx, lock)() if lock else None), ctx.Queue(), ctx.Queue()
    ps = crowd(ctx, c, ready, back, 4)
    ps[0].kill()
    ps[0].join()
    with c:
        c.notify()
    assert back.get(timeout=5) == (ps[1].pid, True)
    with c:
        c.notify_all()
    assert {back.get(timeout=5)[0] for _ in range(2)} == {ps[2].pid, ps[3].pid}
    for p in ps:
        p.join()


def test_condition_needs_its_lock() -> None:
    for c in (fork.Condition(), fork.Condition(fork.Lock())):
        for call in (c.wait, c.notify, c.notify_all, lambda c=c: c.wait_for(lambda: False)):
            with pytest.raises(AssertionError):
                call()
        with c:
            with pytest.raises(AssertionError):
                in_thread(c.notify)
            for n in (0, -1, 1, 2**70):
                c.notify(n)


def test_wait_gives_back_all_levels_and_times_out() -> None:
    c = fork.Condition()
    with c, c:
        assert c.wait(0) is False and c.wait(-1) is False and c.wait(0.01) is False
        assert repr(c) == "<Condition(<RLock(MainProcess, 2)>, 0)>"
        assert c.wait_for(lambda: 0, 0.01) == 0 and c.wait_for(lambda: 7) == 7
    t = threading.Timer(0.01, lambda: c.__enter__() and [c.notify(), c.release()])
    with c, c:
        t.start()
        assert c.wait(10)
    t.join()
    assert repr(c) == "<Condition(<RLock(None, 0)>, 0)>"


def test_no_interrupt_leaves_a_ghost_among_the_waiters() -> None:
    c = fork.Condition()

    def interrupt_at(n: int) -> None:
        def trace(frame: Any, event: str, arg: Any) -> Any:
            nonlocal n
            if frame.f_code is mp.synchronize.Condition.wait.__code__ and event == "line":
                n -= 1
                if n == 0:
                    raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        try:
            c.wait(0)
        finally:
            sys.settrace(None)

    for n in range(1, 12):
        c.acquire()
        try:
            interrupt_at(n)
        except KeyboardInterrupt:
            pass
        assert ", 0)>" in repr(c), f"interrupted at step {n}"
        while c._lock._is_mine():
            c.release()


# -- Barrier


def meets(b: Any, rounds: int, back: Any) -> None:
    for _ in range(rounds):
        back.put(b.wait(20))


class Action:
    def __init__(self, number: Any) -> None:
        self.number = number

    def __call__(self) -> None:
        self.number.value += 1


def test_barrier_meets_round_after_round(ctx: Any) -> None:
    number = ctx.Value("i", 0)
    b, back = ctx.Barrier(3, Action(number)), ctx.Queue()
    ps = [ctx.Process(target=meets, args=(b, 20, back)) for _ in range(3)]
    for p in ps:
        p.start()
    numbers = [back.get(timeout=20) for _ in range(60)]
    for p in ps:
        p.join()
    assert sorted(numbers) == sorted([0, 1, 2] * 20)
    assert number.value == 20 and not b.broken and b.n_waiting == 0


def breaks(b: Any, back: Any) -> None:
    try:
        back.put(b.wait())
    except threading.BrokenBarrierError:
        back.put("broken")


class Sink:
    """A list that is put to, for threads."""

    def __init__(self, items: list[Any]) -> None:
        self.put = items.append


def test_the_death_of_one_who_waits_breaks_the_barrier(ctx: Any) -> None:
    b, back = ctx.Barrier(3), ctx.Queue()
    ps = [ctx.Process(target=breaks, args=(b, back)) for _ in range(2)]
    for p in ps:
        p.start()
    assert wait_until(lambda: b.n_waiting == 2)
    ps[0].kill()
    assert back.get(timeout=5) == "broken"
    for p in ps:
        p.join()
    with pytest.raises(threading.BrokenBarrierError):
        b.wait()
    b.reset()
    assert not b.broken and b.n_waiting == 0 and b.parties == 3


def test_the_last_to_come_finds_that_the_only_other_died() -> None:
    b = fork.Barrier(2)
    p = fork.Process(target=b.wait)
    p.start()
    assert wait_until(lambda: b.n_waiting == 1)
    p.kill()
    p.join()
    with pytest.raises(threading.BrokenBarrierError):
        b.wait(5)


@pytest.mark.parametrize("breaking", ["abort", "reset", "timeout", "action"])
def test_what_breaks_a_barrier(breaking: str) -> None:
    b = fork.Barrier(2, (lambda: 1 / 0) if breaking == "action" else None, 0.01 if breaking == "timeout" else None)
    results: list[Any] = []
    t = threading.Thread(target=breaks, args=(b, Sink(results)))
    t.start()
    if breaking != "timeout":
        assert wait_until(lambda: b.n_waiting == 1)
    if breaking == "action":
        with pytest.raises(ZeroDivisionError):
            b.wait()
    elif breaking != "timeout":
        getattr(b, breaking)()
    t.join()
    assert results == ["broken"] and b.broken is (breaking != "reset")
    b.reset()
    assert not b.broken
    for parties in (0, -1):
        with pytest.raises(ValueError, match="at least one"):
            fork.Barrier(parties)


def test_a_slow_action_is_nobodys_timeout() -> None:
    started, go_on = threading.Event(), threading.Event()

    def action() -> None:
        started.set()
        go_on.wait(10)

    b = fork.Barrier(2, action, timeout=0.2)
    results: list[Any] = []
    ts = [threading.Thread(target=breaks, args=(b, Sink(results))) for _ in range(2)]
    for t in ts:
        t.start()
    started.wait()
    time.sleep(0.3)  # longer than the barrier's timeout: the action itself is what takes long
    go_on.set()
    for t in ts:
        t.join()
    assert sorted(results, key=str) == [0, 1] and not b.broken


# -- signals


@pytest.mark.parametrize("name", ["Lock", "RLock", "Semaphore", "Event", "Condition", "Barrier"])
def test_an_interrupt_ends_the_wait_and_leaves_it_usable(name: str) -> None:
    x: Any = fork.Semaphore(0) if name == "Semaphore" else PRIMITIVES[name][0](fork)
    if name in ("Lock", "RLock"):
        in_thread(x.acquire)

    def wait() -> None:
        if name == "Condition":
            with x:
                x.wait()
        else:
            (getattr(x, "wait", None) or x.acquire)()

    timer = threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        wait()
    timer.join()
    if name == "Barrier":
        assert x.broken and x.n_waiting == 0
    elif name == "Condition":
        assert repr(x) == "<Condition(<RLock(None, 0)>, 0)>"
    elif name == "Event":
        x.set()
        assert x.wait(0)
    elif name != "RLock":
        x.release()
        assert x.acquire(False)


def test_a_signal_handler_may_use_what_is_waited_for() -> None:
    event, lock, c = fork.Event(), fork.Lock(), fork.Condition()

    def handler(*_: Any) -> None:
        with lock, c:
            c.notify_all()
        event.set()

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert event.wait(10)
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with c:
            assert c.wait(10)
    finally:
        signal.signal(signal.SIGALRM, before)
