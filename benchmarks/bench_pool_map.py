"""Is `pool.map(square, range(1_000_000))` faster than the list comprehension, when nothing is said about chunks?

A pool's first map pays for fresh memory, in the arena and in the workers; it is shown apart.

Only pools that choose chunks by themselves: mpire's map takes half a minute, executors send each item by itself.
"""

from __future__ import annotations

import time
from functools import partial

from _pools import OURS, STDLIB, warm
from _rounds import Case, parser, positive, run

MILLI = 1e3
SERIAL = "[square(x) for x in ...]"


def square(x: int) -> int:
    return x * x


def check(values: list[int], items: int) -> None:
    if len(values) != items or sum(values) != (items - 1) * items * (2 * items - 1) // 6:
        raise RuntimeError("the squares are wrong")


def in_pool(name: str, workers: int, items: int, first: bool) -> float:
    """Milliseconds for the map in a warm pool: the first one it does, or the second."""
    with warm(name, workers) as (_, pool):
        if not first:
            pool.map(square, range(items))
        start = time.perf_counter()
        values = pool.map(square, range(items))
        seconds = time.perf_counter() - start
    check(values, items)
    return seconds * MILLI


def serial(items: int) -> float:
    start = time.perf_counter()
    values = [square(x) for x in range(items)]
    seconds = time.perf_counter() - start
    check(values, items)
    return seconds * MILLI


def main() -> None:
    options = parser(__doc__, rounds=7, workers=2)
    options.add_argument("--items", type=positive, default=1_000_000, help="default: %(default)s")
    chosen = options.parse_args()
    cases = []
    for first in (False, True):
        rivals = {name: partial(in_pool, name, chosen.workers, chosen.items, first) for name in (OURS, STDLIB)}
        cases.append(
            Case(
                f"map(square, range({chosen.items:_})){', the first map of a pool (information)' if first else ''}",
                "ms",
                {**rivals, SERIAL: partial(serial, chosen.items)},
                larger_is_better=False,
                targets={} if first else {STDLIB: 1 / 3, SERIAL: 1},
                aims={} if first else {SERIAL: 1 / 1.6},
            )
        )
    run("pool_map", cases, chosen)


if __name__ == "__main__":
    main()
