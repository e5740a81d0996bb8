"""What does it cost to add 1 to a shared counter, alone and from two processes at once?"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any

from _race import race
from _rounds import Case, parser, positive, run

import lightwork

NANO = 1e9


def add(v: Any, loops: int) -> None:
    for _ in repeat(None, loops):
        v.add(1)


def plus(v: Any, loops: int) -> None:
    for _ in repeat(None, loops):
        v += 1


def locked(v: Any, loops: int) -> None:
    for _ in repeat(None, loops):
        with v.get_lock():
            v.value += 1


def alone(library: Any, count: Callable[[Any, int], None], loops: int) -> float:
    """Nanoseconds per addition from one process."""
    v = library.Value("q", 0)
    start = time.perf_counter()
    count(v, loops)
    seconds = time.perf_counter() - start
    check(v.value, loops)
    return seconds / loops * NANO


def together(library: Any, count: Callable[[Any, int], None], loops: int) -> float:
    """Nanoseconds per addition, two processes adding `loops` each to one counter."""
    v = library.Value("q", 0)
    lane = partial(count, v, loops)
    seconds, _ = race(library, lane, lane)
    check(v.value, 2 * loops)
    return seconds / (2 * loops) * NANO


def check(value: int, expected: int) -> None:
    if value != expected:
        raise RuntimeError(f"additions were lost: the counter is {value}, not {expected}")


STDLIB = "multiprocessing, locked +="
WAYS: dict[str, tuple[Any, Callable[[Any, int], None]]] = {
    "lightwork, v.add(1)": (lightwork, add),
    "lightwork, v += 1": (lightwork, plus),
    "lightwork, locked +=": (lightwork, locked),
}


def main() -> None:
    options = parser(__doc__, rounds=7)
    options.add_argument("--loops", type=positive, default=300_000, help="alone, per round (default: %(default)s)")
    options.add_argument(
        "--together-loops", type=positive, default=50_000, help="per process and round (default: %(default)s)"
    )
    chosen = options.parse_args()
    # One case per way of ours, so that each has the standard library's beside it.
    cases = []
    for name, (library, count) in WAYS.items():
        target = {} if count is locked else {STDLIB: 0.2}
        for title, measure, loops, aim in (
            ("one process", alone, chosen.loops, target),
            ("two processes at once", together, chosen.together_loops, {}),
        ):
            measures = {
                name: partial(measure, library, count, loops),
                STDLIB: partial(measure, multiprocessing, locked, loops),
            }
            cases.append(Case(title, "ns", measures, larger_is_better=False, targets=aim))
    run("counter", cases, chosen)


if __name__ == "__main__":
    main()
