"""What does it cost to send an array of 100 MB: to a pool's task, back as its result, through a queue?

Steady state: some went the same way before. The receiver touches the first and the last item. Each array is received
before the next one is sent. Beside it one copy of such an array between two that have been touched, in one process.
"""

from __future__ import annotations

import multiprocessing
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from _arrays import MEMCPY, check, ends, memcpy, ready_array, steady
from _pools import OURS, STDLIB, warm
from _race import race
from _rounds import Case, parser, positive, run

import lightwork

#: What a worker returns. Forked workers have it from the start.
READY: Any = None


def ready() -> Any:
    return READY


def as_argument(name: str, workers: int, megabytes: int, calls: int) -> float:
    """Milliseconds for a call with an array, and its small value."""
    array = ready_array(megabytes)

    def once() -> None:
        # A new value each time: what was sent before is of no use.
        array[0] += 1
        check(rival.call(pool, ends, array), array)

    with warm(name, workers) as (rival, pool):
        return steady(once, calls)


def as_result(name: str, workers: int, megabytes: int, calls: int) -> float:
    """Milliseconds for a call without arguments, and its array."""
    global READY
    READY = ready_array(megabytes)

    def once() -> None:
        array = rival.call(pool, ready)
        if array.nbytes != READY.nbytes:
            raise RuntimeError(f"{array.nbytes} bytes came, not {READY.nbytes}")
        check(ends(array), READY)

    with warm(name, workers) as (rival, pool):
        return steady(once, calls)


def put_arrays(q: Any, told: Connection, megabytes: int, calls: int) -> float:
    array = ready_array(megabytes)

    def once() -> None:
        array[0] += 1
        q.put(array)
        check(told.recv(), array)

    figure = steady(once, calls)
    q.put(None)
    return figure


def get_arrays(q: Any, tell: Connection) -> None:
    while (array := q.get()) is not None:
        tell.send(ends(array))
        del array


def through_queue(library: Any, megabytes: int, calls: int) -> float:
    """Milliseconds from before the put until the other process has said, by a pipe, what it found."""
    q = library.Queue()
    told, tell = multiprocessing.Pipe(duplex=False)
    with told, tell:
        _, (figure, _) = race(library, partial(put_arrays, q, told, megabytes, calls), partial(get_arrays, q, tell))
    return float(figure)


def main() -> None:
    options = parser(__doc__, rounds=5, workers=2)
    options.add_argument("--megabytes", type=positive, default=100, help="of an array (default: %(default)s)")
    options.add_argument("--calls", type=positive, default=5, help="per round (default: %(default)s)")
    chosen = options.parse_args()
    size = (chosen.megabytes, chosen.calls)
    floor = {MEMCPY: partial(memcpy, *size)}
    cases = [
        Case(
            f"{chosen.megabytes} MB as {what}",
            "ms",
            {name: partial(measure, name, chosen.workers, *size) for name in (OURS, STDLIB)} | floor,
            larger_is_better=False,
            targets={STDLIB: 1 / 15, MEMCPY: 1.5},
            aims={MEMCPY: 1.15},
        )
        for what, measure in (("an argument", as_argument), ("a result", as_result))
    ]
    queues = {"lightwork.Queue": lightwork, "multiprocessing.Queue": multiprocessing}
    cases.append(
        Case(
            f"{chosen.megabytes} MB through a queue",
            "ms",
            {name: partial(through_queue, library, *size) for name, library in queues.items()} | floor,
            larger_is_better=False,
            targets={"multiprocessing.Queue": 1 / 15},
            aims={MEMCPY: 1.15},
        )
    )
    run("array_send", cases, chosen)


if __name__ == "__main__":
    main()
