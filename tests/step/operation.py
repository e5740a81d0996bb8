"""What an operation says of itself, and those who sleep while it is interrupted."""

from __future__ import annotations

import os
import pickle
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BOUND = 2.0
"""Seconds within which whoever is alive gets what it waits for: more than a slice of any sleep, on a slow machine."""

LATE = 0.03
"""Seconds that a poll gives a message of the dead to be found: the family looks for deaths once in 0.01."""

SOON = 0.01
"""Seconds that a victim waits for what does not come."""

SPAN = 1 << 16
"""Bytes of the arena that small blocks are cut from: they are seen by the spans that they need."""

LAST = "last"
"""What a survivor puts after the death."""


@dataclass
class Verdict:
    effect: bool
    """Has the interrupted operation happened, as far as the others can see?"""
    lost: int = 0
    doubled: int = 0
    stuck: int = 0


class Operation:
    """Made in the survivor, which is the victim's parent."""

    repeats: bool = True
    """Can a second victim do the same after the first one's death?"""
    victims: int = 0
    """How many there have been."""
    documented: int = 0
    """Bytes of the arena that all deaths together may leave behind, by a protocol's own table."""

    def ready(self) -> None:
        """In the victim, before it is stepped."""

    def act(self) -> None:
        """In the victim, step by step."""
        raise NotImplementedError

    def check(self) -> Verdict:
        """In the survivor, when the victim is dead."""
        raise NotImplementedError

    def end(self) -> None:
        """Let go of what is no memory."""


class Sleeper:
    """A process that waits in `f`, and what that returns."""

    def __init__(self, f: Callable[[], Any]) -> None:
        self._pipe, end = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                os.write(end, pickle.dumps(f()))
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        os.close(end)

    def until_asleep(self) -> None:
        until = time.monotonic() + BOUND
        while not self._waits():
            if time.monotonic() > until:
                raise RuntimeError("a sleeper does not go to sleep")
            time.sleep(0.0005)  # the kernel tells nobody that a process sleeps

    def _waits(self) -> bool:
        with open(f"/proc/{self.pid}/wchan") as wchan:
            return "futex" in wchan.read()

    def result(self) -> Any:
        """Raises TimeoutError if it has none within the bound."""
        if not select.select([self._pipe], [], [], BOUND)[0]:
            raise TimeoutError
        return pickle.loads(os.read(self._pipe, 1 << 16))

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._pipe)
