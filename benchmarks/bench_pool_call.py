"""What does one `pool.apply(noop)` cost, there and back, in a pool that is warm?

Beside it what nobody can do without: two processes that wake each other by a bare futex (glibc's semaphore), and the
pickling of a call and of its value.
"""

from __future__ import annotations

import multiprocessing
import pickle
import time
from functools import partial
from itertools import repeat

from _pools import FORK, OURS, POOLS, noop, warm
from _rounds import Case, parser, positive, run

MICRO = 1e6
FLOOR = "two wake-ups, four pickles"


def call(name: str, workers: int, calls: int) -> float:
    """Microseconds for one call and its value."""
    with warm(name, workers) as (rival, pool):
        there_and_back = pool.apply if hasattr(pool, "apply") else partial(rival.call, pool)
        for _ in range(100):
            there_and_back(noop)
        start = time.perf_counter()
        for _ in repeat(None, calls):
            there_and_back(noop)
        return (time.perf_counter() - start) / calls * MICRO


def floor(calls: int) -> float:
    """Microseconds for a wake-up there and one back, and for the four picklings, by which nothing is sent."""
    there, back = multiprocessing.Semaphore(0), multiprocessing.Semaphore(0)
    task, value = (noop, (), {}), None
    packed_task, packed_value = pickle.dumps(task), pickle.dumps(value)

    def answer() -> None:
        for _ in repeat(None, calls):
            there.acquire()
            pickle.loads(packed_task)
            pickle.dumps(value)
            back.release()

    other = FORK.Process(target=answer)
    other.start()
    start = time.perf_counter()
    for _ in repeat(None, calls):
        pickle.dumps(task)
        there.release()
        back.acquire()
        pickle.loads(packed_value)
    seconds = time.perf_counter() - start
    other.join()
    return seconds / calls * MICRO


def main() -> None:
    options = parser(__doc__, rounds=5, workers=2)
    options.add_argument("--calls", type=positive, default=3_000, help="per round (default: %(default)s)")
    chosen = options.parse_args()
    rivals = {name: partial(call, name, chosen.workers, chosen.calls) for name in POOLS}
    case = Case(
        "pool.apply(noop), pool warm",
        "us",
        {**rivals, FLOOR: partial(floor, chosen.calls)},
        larger_is_better=False,
        targets={name: 0.1 for name in rivals if name != OURS},
        aims={FLOOR: 3},
    )
    run("pool_call", [case], chosen)


if __name__ == "__main__":
    main()
