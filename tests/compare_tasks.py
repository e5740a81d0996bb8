"""What the tests of `lightwork compare` compare. Also a target of the command: `compare_tasks.py:cube`."""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing import parent_process
from typing import Any

NUMBERS = [3, 1, 2]


def cube(x: int) -> int:
    return x**3


def power(x: int, y: int) -> int:
    return x**y


def total(n: int) -> int:
    res = 0
    for i in range(n):
        res += i * i
    return res


def pause(x: int) -> int:
    time.sleep(0.005)  # the work that is measured
    return x


def sleep(seconds: float) -> None:
    time.sleep(seconds)  # the work that is measured


def pid(_: object) -> int:
    return os.getpid()


def lock(_: object) -> Any:
    return threading.Lock()


def fail(x: object) -> None:
    raise ValueError("on purpose")


def leave(x: object) -> None:
    raise SystemExit(3)


calls_elsewhere = 0


def fail_later_elsewhere(x: object) -> None:
    global calls_elsewhere
    calls_elsewhere += parent_process() is not None
    if calls_elsewhere > 1:  # the first is the warm-up
        raise ValueError("on purpose")


def die_elsewhere(x: int) -> int:
    if parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return x
