"""What a way of working costs, for those who choose one: processor time, and the sending of items and results."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import _native
from ..reduction import unpack
from ._packing import parts


def holds_lock() -> bool:
    """Does this interpreter let only one thread at a time run Python code? (Not in a free-threaded build.)"""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def cpu_seconds(pids: Iterable[int] = ()) -> float:
    """Processor time that this process and these others have used. Of one that is gone it is not known: 0.

    The clock of another process has the number that Linux' MAKE_PROCESS_CPUCLOCK gives: ~pid << 3 | 2 (see
    clock_getcpuclockid(3)); /proc counts in hundredths of a second only.
    """
    total = time.process_time()
    for pid in pids:
        try:
            total += time.clock_gettime(~pid << 3 | 2)
        except OSError:
            continue
    return total


def queued_seconds(pids: Iterable[int] = ()) -> float:
    """Seconds that threads of this process and these others could have run, but other threads had the processors.

    From /proc/<pid>/task/*/schedstat, whose second number this is (the kernel's Documentation/scheduler/sched-stats);
    0 if the kernel does not count.
    """
    total = 0
    for folder in ("/proc/self", *filter(None, map(_native.proc_folder, pids))):
        for file in Path(f"{folder}/task").glob("*/schedstat"):
            try:
                total += int(file.read_text().split()[1])
            except (OSError, IndexError, ValueError):  # it has ended, or the kernel writes something else
                continue
    return total / 1e9


def queued_by_thread() -> float:
    """The same of this thread alone."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


@dataclass(frozen=True)
class Sending:
    """What it costs to send one item and its result to another process and back."""

    nbytes: float
    seconds: float


def sending(items: list[Any], results: list[Any]) -> Sending:
    """The cost of each of these items with its result, were they sent in one message each way. Raises what pickling
    raises."""
    nbytes, begun = 0, time.perf_counter()
    for objects in (items, results):
        pickled, buffers, _ = parts(objects)
        copies = [bytearray(buffer) for buffer in buffers]
        nbytes += len(pickled) + sum(map(len, copies))
        unpack((pickled, copies, []))
    return Sending(nbytes / len(items), (time.perf_counter() - begun) / len(items))
