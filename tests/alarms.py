"""Signal handlers that come at a random moment."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from typing import Any, Self


class Alarm:
    """Calls `handler` in the main thread a random moment after `set()`, once, unless it is `off` by then."""

    off = True

    def __init__(self, handler: Callable[[], object], most: float = 3e-4) -> None:
        self._handler = handler
        self._most = most
        self._times = random.Random(1)
        self.rung = 0

    def set(self) -> None:
        self.off = False
        signal.setitimer(signal.ITIMER_REAL, self._times.uniform(1e-6, self._most))

    def _ring(self, *_: object) -> None:
        if not self.off:
            self.off = True  # two may be under way: the last one set, and one before it that came too late
            self.rung += 1
            self._handler()

    def __enter__(self) -> Self:
        signal.signal(signal.SIGALRM, self._ring)
        return self

    def __exit__(self, *_: object) -> None:
        self.off = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        # The handler stays: one that is on its way to some thread would end the process by default.


def interrupt() -> None:
    raise KeyboardInterrupt


def insist(get: Callable[[], Any], alarm: Alarm) -> Any:
    """What `get` returns in the end. (No signal handler runs between its return and `off`.)"""
    while True:
        try:
            alarm.set()
            value = get()
            alarm.off = True
        except KeyboardInterrupt:
            continue
        return value
