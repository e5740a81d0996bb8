"""What the tests of queues send that cannot be unpickled."""

from __future__ import annotations

import os
import signal
from typing import Any


class Evil:
    """Unpickles into an exception."""

    def __reduce__(self) -> Any:
        return int, ("not a number",)


class Raises:
    """Unpickles into an exception of a class."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        return _raise, (self.kind,)


def _raise(kind: type[BaseException]) -> None:
    raise kind


class KillsItsReader:
    """Unpickles in the process that made it, and in no other."""

    def __reduce__(self) -> Any:
        return _die_unless, (os.getpid(),)


def _die_unless(pid: int) -> str:
    if os.getpid() != pid:
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"
