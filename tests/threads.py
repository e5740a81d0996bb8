"""Threads of one process that do something at the same moment: what an interpreter lock hides, a free-threaded
interpreter shows."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import lightwork as mp

THREADS = 4


def together(*works: Callable[[], Any]) -> list[Any]:
    """What these returned, each called in a thread of its own; all begin at the same moment."""
    start = threading.Barrier(len(works))

    def begun(work: Callable[[], Any]) -> Any:
        start.wait(30)
        return work()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # where there is an interpreter lock: another thread gets it as soon as it asks
    try:
        threads = [mp.Thread(target=begun, args=(work,), daemon=True) for work in works]
        for thread in threads:
            thread.start()
        return [thread.result(60) for thread in threads]
    finally:
        sys.setswitchinterval(interval)


def each(work: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """What `work(0)`, `work(1)` and so on returned in so many threads."""
    return together(*(lambda number=number: work(number) for number in range(count)))
