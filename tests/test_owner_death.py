"""What a dead process held of a lock or semaphore comes back, and who takes the lock is told."""

from __future__ import annotations

import linecache
import os
import pickle
import signal
import warnings
from typing import Any

import pytest
from conftest import LOCKS, wait_until

import lightwork as mp
from lightwork.errors import OwnerDied, OwnerDiedWarning

fork: Any = mp.get_context("fork")


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


# -- locks


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


def acquires(x: Any) -> None:
    x.acquire()  # here
    x.release()


def enters(x: Any) -> None:
    with x:  # here
        pass


def reads(x: Any) -> None:
    assert x.value == 0  # here


def indexes(x: Any) -> None:
    assert x[0] == 0  # here


@pytest.mark.parametrize(
    ("kind", "args", "take"),
    [(kind, (), take) for kind in ("Lock", "RLock", "Condition") for take in (acquires, enters)]
    + [("Value", ("i",), take) for take in (acquires, enters, reads)]
    + [("Array", ("i", 1), take) for take in (acquires, enters, indexes)],
)
def test_the_warning_names_the_line_that_took_the_lock(kind: str, args: Any, take: Any) -> None:
    x = getattr(fork, kind)(*args)
    dead_holder(fork, x)
    with pytest.warns(OwnerDiedWarning) as warned:
        take(x)
    assert warned[0].filename == __file__
    assert linecache.getline(__file__, warned[0].lineno).endswith("# here\n")


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


def notifies_and_dies(c: Any) -> None:
    c.acquire()
    c.notify()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_condition_takes_its_lock_back_from_the_dead(kind: str) -> None:
    c = fork.Condition(getattr(fork, kind)())
    p = fork.Process(target=notifies_and_dies, args=(c,))
    with c:
        p.start()
        with pytest.warns(OwnerDiedWarning, match=f"process {p.pid} ") as warned:
            assert c.wait(20)  # here
        assert c._lock.owner_died and c._lock._is_mine()
    assert linecache.getline(__file__, warned[0].lineno).endswith("# here\n")
    p.join()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_or_raises_and_leaves_the_conditions_lock_free(kind: str) -> None:
    c = fork.Condition(getattr(fork, kind)(on_owner_death="raise"))
    p = fork.Process(target=notifies_and_dies, args=(c,))
    with pytest.raises(OwnerDied), c:
        p.start()
        c.wait(20)
    assert not c._lock.locked()
    p.join()


# -- semaphores


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
