"""How much processor time do 16 idle workers and their parent take, and a parent while a callback sleeps for 1 s?"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from _pools import OURS, POOLS, STDLIB, noop, warm
from _rounds import Case, parser, positive, run

MILLI = 1e3


def cpu_time(pid: int) -> float:
    """Seconds of processor time that all threads of a process have taken so far."""
    return time.clock_gettime(~pid << 3 | 2)  # the clock's number: clock_getcpuclockid(3)


def family() -> list[int]:
    """This process and its children."""
    threads = Path("/proc/self/task").glob("*/children")
    return [int(Path("/proc/self").resolve().name), *(int(pid) for one in threads for pid in one.read_text().split())]


def idle(name: str, workers: int, seconds: int) -> float:
    """Milliseconds of processor time a second, of the parent and all workers."""
    with warm(name, workers):
        pids = family()
        if len(pids) <= workers:
            raise RuntimeError(f"{name} has {len(pids) - 1} children")
        time.sleep(0.5)  # nothing tells that a rival's threads have come to rest
        before = sum(map(cpu_time, pids))
        time.sleep(seconds)  # the idleness that is measured
        return (sum(map(cpu_time, pids)) - before) / seconds * MILLI


def sleep_one(_: Any) -> None:
    time.sleep(1)  # the callback that is measured


def waiting_for_a_callback(name: str, workers: int) -> float:
    """Milliseconds of the parent's processor time from the call until its callback has slept for a second, the main
    thread waiting for the result."""
    with warm(name, workers) as (_, pool):
        before = time.process_time()
        pool.apply_async(noop, callback=sleep_one).get()
        time.sleep(1)  # the callback of some runs after the result is there
        return (time.process_time() - before) * MILLI


def main() -> None:
    options = parser(__doc__, rounds=3, workers=16)
    options.add_argument("--seconds", type=positive, default=3, help="of idleness, per round (default: %(default)s)")
    chosen = options.parse_args()
    cases = [
        Case(
            f"an idle pool of {chosen.workers} workers, all processes",
            "ms/s",
            {name: partial(idle, name, chosen.workers, chosen.seconds) for name in POOLS},
            larger_is_better=False,
            bound=5,
        ),
        Case(
            "the parent, while a callback sleeps for 1 s",
            "ms",
            {name: partial(waiting_for_a_callback, name, 2) for name in (OURS, STDLIB)},
            larger_is_better=False,
            bound=10,
        ),
    ]
    run("pool_idle", cases, chosen)


if __name__ == "__main__":
    main()
