"""Barrier: it meets round after round, and what breaks it."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest
from conftest import wait_until

import lightwork as mp

fork: Any = mp.get_context("fork")


def meets(b: Any, rounds: int, back: Any) -> None:
    for _ in range(rounds):
        back.put(b.wait(20))


def breaks(b: Any, back: Any) -> None:
    try:
        back.put(b.wait())
    except threading.BrokenBarrierError as e:
        back.put(str(e))


SOMEBODY = "by abort(), a party's time-out, a failed action, or the death of a process that waited"
MEANWHILE = f"the barrier broke while this party waited in it: {SOMEBODY}"
BEFORE = f"the barrier was broken before: {SOMEBODY}; reset() makes it whole"
BROKEN = {
    "abort": MEANWHILE,
    "action": MEANWHILE,
    "reset": "the barrier was reset while this party waited in it",
    "timeout": "not all 2 parties came within 0.01 s, which breaks the barrier",
}


class Action:
    def __init__(self, number: Any) -> None:
        self.number = number

    def __call__(self) -> None:
        self.number.value += 1


class Sink:
    """A list that is put to, for threads."""

    def __init__(self, items: list[Any]) -> None:
        self.put = items.append


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


# -- what breaks it, and what does not


def test_the_death_of_one_who_waits_breaks_the_barrier(ctx: Any) -> None:
    b, back = ctx.Barrier(3), ctx.Queue()
    ps = [ctx.Process(target=breaks, args=(b, back)) for _ in range(2)]
    for p in ps:
        p.start()
    assert wait_until(lambda: b.n_waiting == 2)
    ps[0].kill()
    assert back.get(timeout=5) == MEANWHILE
    for p in ps:
        p.join()
    with pytest.raises(threading.BrokenBarrierError, match=f"^{re.escape(BEFORE)}$"):
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


@pytest.mark.parametrize("breaking", BROKEN)
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
    assert results == [BROKEN[breaking]] and b.broken is (breaking != "reset")
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


def test_an_action_that_breaks_the_barrier() -> None:
    b = fork.Barrier(1, lambda: b.abort())
    with pytest.raises(threading.BrokenBarrierError, match="broke while the action ran: by abort"):
        b.wait()
