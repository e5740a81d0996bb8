"""How many calls a second, if 20,000 are begun with `apply_async` (or `submit`) and then all values are awaited?"""

from __future__ import annotations

import time
from functools import partial

from _pools import POOLS, STDLIB, noop, warm
from _rounds import Case, parser, positive, run


def rate(name: str, workers: int, tasks: int) -> float:
    """Tasks a second, from the first begun to the last value."""
    with warm(name, workers) as (rival, pool):
        begin = rival.begin
        start = time.perf_counter()
        waits = [begin(pool, noop) for _ in range(tasks)]
        values = [wait() for wait in waits]
        seconds = time.perf_counter() - start
    if values != [None] * tasks:
        raise RuntimeError(f"{name}: not all values are right")
    return tasks / seconds


def main() -> None:
    options = parser(__doc__, rounds=5, workers=2)
    options.add_argument("--tasks", type=positive, default=20_000, help="per round (default: %(default)s)")
    chosen = options.parse_args()
    case = Case(
        f"{chosen.tasks:,} calls begun, then all values",
        "tasks/s",
        {name: partial(rate, name, chosen.workers, chosen.tasks) for name in POOLS},
        larger_is_better=True,
        targets={STDLIB: 8},
        aims={STDLIB: 12},
    )
    run("pool_many", [case], chosen)


if __name__ == "__main__":
    main()
