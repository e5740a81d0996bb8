"""Event: set, clear and wait, also when a waiter dies."""

from __future__ import annotations

import os
import time
from typing import Any

from conftest import wait_until
from processes import asleep

import lightwork as mp

fork: Any = mp.get_context("fork")


def test_event() -> None:
    event = fork.Event()
    assert [event.wait(t) for t in (0, -1, 0.01)] == [False] * 3
    event.set()
    event.set()
    assert event.is_set() and event.wait(0) and event.wait()
    event.clear()
    assert not event.is_set() and not event.wait(0)


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
