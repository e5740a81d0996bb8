"""How much faster are two of the tutorial's jobs on 2 processes than one after the other?

The targets are speed-ups of 1.9 and 1.97 out of 2: ratios of 1/1.9 and 1/1.97. Two bare processes with one job each
show what the machine allows.
"""

from __future__ import annotations

import multiprocessing
import time
from functools import partial

from _pools import OURS, POOLS, STDLIB, warm
from _race import race
from _rounds import Case, parser, positive, run

SERIAL = "one after the other"
BARE = "two bare processes"


def job(n: int) -> int:
    res = 0
    for i in range(n):
        res += i + i**2 + i**3
    return res


def in_warm_pool(name: str, n: int) -> float:
    """Seconds for a map of two jobs."""
    with warm(name, 2) as (_, pool):
        start = time.perf_counter()
        pool.map(job, [n, n])
        return time.perf_counter() - start


def with_start(name: str, n: int) -> float:
    """Seconds for the same, the pool's making and end included."""
    rival = POOLS[name]
    start = time.perf_counter()
    pool = rival.make(2)
    try:
        pool.map(job, [n, n])
    finally:
        rival.end(pool)
    return time.perf_counter() - start


def serial(n: int) -> float:
    start = time.perf_counter()
    job(n)
    job(n)
    return time.perf_counter() - start


def bare(n: int) -> float:
    return race(multiprocessing, partial(job, n), partial(job, n))[0]


def main() -> None:
    options = parser(__doc__, rounds=7)
    options.add_argument("--n", type=positive, default=1_000_000, help="default: %(default)s")
    chosen = options.parse_args()
    cases = []
    for title, measure in (("pool warm", in_warm_pool), ("with the pool's start and end", with_start)):
        rivals = {name: partial(measure, name, chosen.n) for name in (OURS, STDLIB)}
        warm_one = measure is in_warm_pool
        cases.append(
            Case(
                f"two jobs of n = {chosen.n:,}, {title}",
                "s",
                {**rivals, BARE: partial(bare, chosen.n), SERIAL: partial(serial, chosen.n)},
                larger_is_better=False,
                targets={SERIAL: 1 / 1.9} if warm_one else {},
                aims={SERIAL: 1 / 1.97} if warm_one else {},
            )
        )
    run("pool_tutorial", cases, chosen)


if __name__ == "__main__":
    main()
