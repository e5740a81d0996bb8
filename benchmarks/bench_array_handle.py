"""What does a `lightwork.ndarray` of 1 GB cost as an argument: the time of a call, and memory?

The time is that of `pool.apply(first_item, (array,))`, there and back; beside it a call that does nothing. The memory
is the PSS of parent and workers together while every worker has read all of the array and still has it. PSS counts
what several processes have mapped once.
"""

from __future__ import annotations

import os
import time
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

from _pools import OURS, noop, warm
from _rounds import Case, parser, positive, run

import lightwork

MB = 1_000_000
MICRO = 1e6
KIB = 1024
#: What the interpreters may take beside the array, in GB.
REST = 0.1
NOOP = "lightwork.Pool, no-op"


def first_item(array: Any) -> float:
    return float(array[0])


def call(workers: int, calls: int, expected: object, *task: Any) -> float:
    """Microseconds for one call and its value."""
    func, *args = task
    with warm(OURS, workers) as (_, pool):
        for _ in repeat(None, 100):
            pool.apply(func, args)
        start = time.perf_counter()
        for _ in repeat(None, calls):
            value = pool.apply(func, args)
        seconds = time.perf_counter() - start
    if value != expected:
        raise RuntimeError(f"a call returned {value}, not {expected}")
    return seconds / calls * MICRO


def read_all(array: Any, barrier: Any) -> tuple[int, float]:
    total = float(array.sum())
    barrier.wait()  # all have read
    barrier.wait()  # it has been measured
    return os.getpid(), total


def pss(pid: int) -> int:
    """Bytes that a process accounts for."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * KIB
    raise RuntimeError(f"no PSS of process {pid}")


def resident(array: Any, workers: int) -> float:
    """GB of the whole family."""
    barrier = lightwork.get_context("fork").Barrier(workers + 1)
    with warm(OURS, workers) as (_, pool):
        results = [pool.apply_async(read_all, (array, barrier)) for _ in range(workers)]
        barrier.wait()
        family = [os.getpid(), *(child.pid for child in lightwork.active_children())]
        total = sum(map(pss, family))
        barrier.wait()
        found = [result.get() for result in results]
    if {pid for pid, _ in found} != set(family[1:]):
        raise RuntimeError("not every worker read the array")
    if {total for _, total in found} != {float(array.size)}:
        raise RuntimeError("a worker read something else")
    return total / 1e9


def main() -> None:
    options = parser(__doc__, rounds=5, workers=2)
    options.add_argument("--megabytes", type=positive, default=1_000, help="of the array (default: %(default)s)")
    options.add_argument("--calls", type=positive, default=3_000, help="per round (default: %(default)s)")
    options.add_argument("--readers", type=positive, default=4, help="that read all of it (default: %(default)s)")
    chosen = options.parse_args()
    array = lightwork.ndarray(chosen.megabytes * MB // 8, fill=1.0)
    cases = [
        Case(
            f"apply(first_item, ({chosen.megabytes:,} MB,))",
            "us",
            {
                OURS: partial(call, chosen.workers, chosen.calls, 1.0, first_item, array),
                NOOP: partial(call, chosen.workers, chosen.calls, None, noop),
            },
            larger_is_better=False,
            bound=100,
            aims={NOOP: 1.1},
        ),
        Case(
            f"{chosen.megabytes:,} MB read by {chosen.readers} workers: PSS of all",
            "GB",
            {OURS: partial(resident, array, chosen.readers)},
            larger_is_better=False,
            bound=array.nbytes / 1e9 + REST,
        ),
    ]
    run("array_handle", cases, chosen)


if __name__ == "__main__":
    main()
