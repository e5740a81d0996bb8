"""Lock, RLock, Semaphore, BoundedSemaphore among the living; what the dead held is in test_owner_death.py."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from conftest import LOCKS, in_thread

import lightwork as mp

fork: Any = mp.get_context("fork")


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


@pytest.mark.parametrize("kind", LOCKS)
def test_block_is_any_truth_value(kind: str) -> None:
    lock = getattr(fork, kind)()
    for yes in (1, "yes", [0]):
        assert in_thread(lambda yes=yes: [lock.acquire(yes), lock.release()]) == [True, None]  # type: ignore[misc]
    lock.acquire()
    for no in (0, None, ""):
        assert in_thread(lambda no=no: lock.acquire(no)) is False  # type: ignore[misc]
        assert in_thread(lambda no=no: lock.acquire(block=no)) is False  # type: ignore[misc]
    lock.release()


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


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_the_with_methods_of_a_class_and_of_a_subclass(kind: str) -> None:
    base = type(getattr(fork, kind)())
    lock: Any = base(ctx=None)
    assert base.__enter__(lock) is True
    assert in_thread(lambda: lock.acquire(False)) is False
    assert base.__exit__(lock, None, None, None) is None
    enter = base(ctx=None).__enter__
    assert enter() is True  # it keeps what it is bound to

    class Counted(base):  # type: ignore[misc, valid-type]
        entries = 0

        def __enter__(self) -> bool:
            Counted.entries += 1
            return bool(super().__enter__())

    with Counted(ctx=None) as entered:
        assert entered is True
    assert Counted.entries == 1
    with pytest.raises(TypeError):
        base.__enter__(3)
    with pytest.raises(TypeError):
        base.__enter__(None)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_locks_used_by_with_are_freed(kind: str) -> None:
    def use() -> None:
        with getattr(fork, kind)():
            pass

    for _ in range(100):
        use()
    used = mp.arena.stats().used
    for _ in range(100_000):
        use()
    assert mp.arena.stats().used <= used + (1 << 16)
