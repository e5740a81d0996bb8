"""How near to the ideal schedule is a map in which one item of 50 takes 100 times as long?

The ideal is the time of all items in one process, divided by the workers. Since two busy cores may each be slower than
one, the same work is measured in bare processes, too, each of which has its even share beforehand.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from functools import partial

from _pools import OURS, POOLS, STDLIB, warm
from _race import race
from _rounds import Case, parser, positive, run

IDEAL = "ideal: serial / workers"
BARE = "bare processes, even shares"
SHORT = 2_000
"""Turns of a short item's loop: about 0.1 ms."""


def spin(turns: int) -> int:
    total = 0
    for i in range(turns):
        total += i
    return total


def skewed(items: int) -> list[int]:
    """Turns of each item, the long ones at random places that are always the same."""
    turns = [SHORT * 100 if i % 50 == 0 else SHORT for i in range(items)]
    random.Random(50).shuffle(turns)
    return turns


def in_pool(name: str, workers: int, turns: list[int]) -> float:
    """Seconds for the map with default chunks."""
    with warm(name, workers) as (_, pool):
        start = time.perf_counter()
        values = pool.map(spin, turns)
        seconds = time.perf_counter() - start
    if values != [n * (n - 1) // 2 for n in turns]:
        raise RuntimeError(f"{name}: the sums are wrong")
    return seconds


def ideal(workers: int, turns: list[int]) -> float:
    start = time.perf_counter()
    for n in turns:
        spin(n)
    return (time.perf_counter() - start) / workers


def bare(workers: int, turns: list[int]) -> float:
    ordered = sorted(turns)
    lanes = [partial(lambda share: sum(map(spin, share)), ordered[i::workers]) for i in range(workers)]
    return race(multiprocessing, *lanes)[0]


def main() -> None:
    options = parser(__doc__, rounds=7, workers=2)
    options.add_argument("--items", type=positive, default=3_000, help="default: %(default)s")
    chosen = options.parse_args()
    turns = skewed(chosen.items)
    rivals = {name: partial(in_pool, name, chosen.workers, turns) for name in POOLS if name in (OURS, STDLIB, "mpire")}
    case = Case(
        f"map of {chosen.items:,} items on {chosen.workers} workers, one in 50 takes 100 times as long",
        "s",
        {**rivals, BARE: partial(bare, chosen.workers, turns), IDEAL: partial(ideal, chosen.workers, turns)},
        larger_is_better=False,
        targets={IDEAL: 1.1},
        aims={IDEAL: 1.05},
    )
    run("pool_skew", [case], chosen)


if __name__ == "__main__":
    main()
