"""What is lost when 5 workers run 5,000 tasks that sleep for 1 ms?

In waves: as many tasks as workers are begun, all are awaited, and so on. In one map: one task at a time, `chunksize=1`.
The ideal is a fifth of the tasks' time, at what one such task takes in one process: a little over 1 ms, since a sleep
ends late. Tasks and workers are those of Fiber's benchmark.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from _pools import OURS, POOLS, STDLIB, Rival, warm
from _rounds import Case, parser, positive, run

NAP = 0.001
IDEAL = "ideal"


def nap(_: object = None) -> None:
    time.sleep(NAP)  # the task that is measured


def waves(rival: Rival, pool: Any, workers: int, tasks: int) -> None:
    for _ in range(tasks // workers):
        for wait in [rival.begin(pool, nap) for _ in range(workers)]:
            wait()


def one_map(rival: Rival, pool: Any, workers: int, tasks: int) -> None:
    pool.map(nap, range(tasks), 1)


def in_pool(work: Callable[..., None], name: str, workers: int, tasks: int) -> float:
    """Seconds for all tasks."""
    with warm(name, workers) as (rival, pool):
        start = time.perf_counter()
        work(rival, pool, workers, tasks)
        return time.perf_counter() - start


def ideal(workers: int, tasks: int) -> float:
    """Seconds, if nothing but the tasks themselves took any: by the mean of many of them, one after another."""
    took = []
    for _ in range(500):
        start = time.perf_counter()
        nap()
        took.append(time.perf_counter() - start)
    return statistics.fmean(took) * tasks / workers


def main() -> None:
    options = parser(__doc__, rounds=5, workers=5)
    options.add_argument("--tasks", type=positive, default=5_000, help="per round (default: %(default)s)")
    chosen = options.parse_args()
    cases = []
    for title, work, names in (
        ("waves of one task a worker", waves, list(POOLS)),
        ("one map, chunksize=1", one_map, [OURS, STDLIB]),
    ):
        rivals = {name: partial(in_pool, work, name, chosen.workers, chosen.tasks) for name in names}
        cases.append(
            Case(
                f"{chosen.tasks:,} tasks of 1 ms on {chosen.workers} workers: {title}",
                "s",
                {**rivals, IDEAL: partial(ideal, chosen.workers, chosen.tasks)},
                larger_is_better=False,
                targets={IDEAL: 1.1},
                aims={IDEAL: 1.03},
            )
        )
    run("pool_waves", cases, chosen)


if __name__ == "__main__":
    main()
