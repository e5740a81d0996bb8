"""What the tests of `lightwork.map` and `Pool(backend="auto")` have them do."""

from __future__ import annotations

import os
import threading
import time
from multiprocessing import parent_process
from typing import Any


def add(x: int, y: int = 1) -> int:
    return x + y


def calculate(seconds: float) -> bool:
    """Use a processor for so long, whatever else runs; returns whether that was here."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return parent_process() is None


def wait(seconds: float) -> float:
    time.sleep(seconds)  # what is to be found out about it
    return seconds


def wait_if_late(x: int) -> int:
    if x < 100:
        calculate(0.0001)
    else:
        time.sleep(0.01)  # an item that takes longer than those before it
    return x


def lock_after(seconds: float) -> Any:
    calculate(seconds)
    return threading.Lock()


def note(item: tuple[str, int]) -> int:
    """Leave a byte in a file for each call."""
    path, number = item
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b".")
    os.close(descriptor)
    calculate(0.002)
    return number


def fail_at_three(x: int) -> int:
    if x == 3:
        raise KeyError("three")
    return x
