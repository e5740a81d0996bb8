"""What does `pool.map(total, arrays)` cost for 10,000 arrays of 64 KiB?

The second map of a pool: the first one pays for fresh memory. Beside it a copy of each array into another, in one
process.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from _arrays import MEMCPY
from _pools import OURS, STDLIB, warm
from _rounds import Case, parser, positive, run

KIB = 1024


def total(array: Any) -> int:
    return int(array.sum())


def in_pool(name: str, workers: int, arrays: list[Any]) -> float:
    """Arrays per second."""
    with warm(name, workers) as (_, pool):
        pool.map(total, arrays)
        start = time.perf_counter()
        totals = pool.map(total, arrays)
        seconds = time.perf_counter() - start
    if totals != [i * array.size for i, array in enumerate(arrays)]:
        raise RuntimeError("the totals are wrong")
    return len(arrays) / seconds


def copied(arrays: list[Any]) -> float:
    target = np.ones_like(arrays[0])
    start = time.perf_counter()
    for array in arrays:
        np.copyto(target, array)
    return len(arrays) / (time.perf_counter() - start)


def main() -> None:
    options = parser(__doc__, rounds=5, workers=2)
    options.add_argument("--arrays", type=positive, default=10_000, help="default: %(default)s")
    options.add_argument("--kib", type=positive, default=64, help="of each (default: %(default)s)")
    chosen = options.parse_args()
    arrays = [np.full(chosen.kib * KIB // 8, i) for i in range(chosen.arrays)]
    rivals = {name: partial(in_pool, name, chosen.workers, arrays) for name in (OURS, STDLIB)}
    case = Case(
        f"map(total, {chosen.arrays:,} arrays of {chosen.kib} KiB)",
        "arrays/s",
        {**rivals, MEMCPY: partial(copied, arrays)},
        larger_is_better=True,
        targets={STDLIB: 5},
    )
    run("array_many", [case], chosen)


if __name__ == "__main__":
    main()
