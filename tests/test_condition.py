"""Condition: who is woken, and what a wait leaves behind."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import Any

import pytest
from conftest import in_thread, wait_until

import lightwork as mp

fork: Any = mp.get_context("fork")


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


class Interrupts:
    """SIGINT raises KeyboardInterrupt, and whoever sent it can wait until its handler runs."""

    def __init__(self) -> None:
        self.main = threading.get_ident()
        self.handled = threading.Semaphore(0)
        self.raised: list[KeyboardInterrupt] = []

    def __enter__(self) -> Interrupts:
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *args: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: Any) -> None:
        self.handled.release()
        self.raised.append(KeyboardInterrupt())
        raise self.raised[-1]

    def send(self) -> bool:
        signal.pthread_kill(self.main, signal.SIGINT)
        return self.handled.acquire(timeout=10)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_one_interrupt_waits_until_the_lock_is_back(kind: str) -> None:
    c = fork.Condition(getattr(fork, kind)())
    held: list[bool] = []

    def disturb() -> None:
        with c:  # had when the main thread waits
            c.notify()
            held.append(interrupts.send())

    t = threading.Thread(target=disturb)
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt), c:
            t.start()
            try:
                c.wait()
            finally:
                held.append(c._lock._is_mine())
        t.join()
    assert held == [True, True] and not c._lock.locked()


@pytest.mark.parametrize(("kind", "levels"), [("Lock", 1), ("RLock", 1), ("RLock", 2)])
def test_a_second_interrupt_ends_the_wait_for_a_lock_that_is_stuck(kind: str, levels: int) -> None:
    c = fork.Condition(getattr(fork, kind)())
    ended, seen = threading.Event(), list[Any]()

    def disturb() -> None:
        with c:  # had when the main thread waits
            c.notify()
            seen.extend([interrupts.send(), interrupts.send(), ended.wait(10), c._lock._is_mine()])

    t = threading.Thread(target=disturb)
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt) as caught, contextlib.ExitStack() as entered:
            for _ in range(levels):
                entered.enter_context(c)
            t.start()
            c.wait()
        ended.set()
        t.join()
    assert seen == [True, True, True, True]  # nobody took the lock from its holder
    first, second = interrupts.raised
    assert caught.value is second and second.__context__ is first
    assert not c._lock.locked()
    with c:
        assert in_thread(lambda: c.acquire(False)) is False
        assert c.wait(0) is False
    assert in_thread(lambda: c.acquire(False)) is True
