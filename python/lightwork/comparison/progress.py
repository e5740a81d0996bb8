"""How far a measurement is: the steps that it tells of, and the line on a terminal that shows them.

A thread keeps the line's remaining time going while a call is on its way, which may take minutes. There is none while
pools are made: these may fork, and before there are threads is the best time for that.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

PATIENCE = 2.0
"""Seconds: a measurement that is not longer shows no line."""

PERIOD = 0.5
"""Seconds from one showing of the line to the next."""


@dataclass(frozen=True)
class Step:
    """What is being measured. `done` of `rounds` are full; `left`: seconds from its beginning to the measurement's end,
    None if nothing is known of that yet. `makes_pool`: it starts threads or processes."""

    doing: str
    done: int = 0
    rounds: int = 0
    left: float | None = None
    makes_pool: bool = False

    def text(self, elapsed: float) -> str:
        """The line, so many seconds after the step's beginning."""
        parts = [self.doing]
        if self.rounds:
            parts.append(f"{self.done} of {self.rounds} rounds done")
        if self.left is not None:
            parts.append(_left(self.left - elapsed))
        return ", ".join(parts)


def _left(seconds: float) -> str:
    if seconds < 1:
        return "nearly done"
    if seconds < 100:
        return f"about {seconds:.0f} s left"
    if seconds < 100 * 60:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds / 3600:.0f} h left"


class ProgressLine:
    """Shows steps on the terminal `fd`, one in the place of another, but not of what is over soon. `fd` None: none."""

    def __init__(self, fd: int | None, width: int) -> None:
        self._fd = fd
        self._width = width
        self._begun = time.monotonic()
        self._shown = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def steps(self, prefix: str = "") -> Callable[[Step | None], None]:
        """What a measurement calls with each of its steps, and at its end with None."""
        return lambda step: self._show(step, prefix)

    def _show(self, step: Step | None, prefix: str) -> None:
        if self._fd is None:
            return
        self._end_thread()
        now = time.monotonic()
        if step is None:
            if self._shown:
                self._write("")
            self._shown, self._begun = False, now
            return
        self._tell(step, prefix, now)
        if not step.makes_pool:
            self._stop = threading.Event()
            arguments = step, prefix, now, self._stop
            self._thread = threading.Thread(target=self._follow, args=arguments, daemon=True)
            self._thread.start()

    def _follow(self, step: Step, prefix: str, begun: float, stop: threading.Event) -> None:
        while not stop.wait(PERIOD):
            self._tell(step, prefix, begun)

    def _tell(self, step: Step, prefix: str, begun: float) -> None:
        now = time.monotonic()
        if self._shown or now - self._begun >= PATIENCE or (step.left or 0.0) >= PATIENCE:
            self._shown = True
            self._write(f"{prefix}{step.text(now - begun)}"[: self._width - 1])

    def _end_thread(self) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None

    def _write(self, text: str) -> None:
        assert self._fd is not None
        # Not through sys.stderr: its lock could be the thread's while the user's function forks.
        os.write(self._fd, f"\r\x1b[K{text}".encode())
