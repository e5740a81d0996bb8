"""What does `with lock:` cost, alone and against another process?"""

from __future__ import annotations

import multiprocessing
import time
from functools import partial
from itertools import repeat
from typing import Any

from _race import race
from _rounds import Case, parser, positive, run

import lightwork

NANO = 1e9


def cross(lock: Any, loops: int) -> None:
    for _ in repeat(None, loops):
        with lock:
            pass


def alone(library: Any, kind: str, loops: int) -> float:
    """Nanoseconds per `with lock: pass` when nobody else wants the lock, the loop's own few included."""
    lock = getattr(library, kind)()
    start = time.perf_counter()
    cross(lock, loops)
    return (time.perf_counter() - start) / loops * NANO


def count_up(lock: Any, cell: Any, loops: int) -> None:
    for _ in repeat(None, loops):
        with lock:
            cell.value += 1


def contended(library: Any, kind: str, loops: int) -> float:
    """Nanoseconds per section, two processes in each other's way; the section counts, to prove it exclusive."""
    lock = getattr(library, kind)()
    cell = multiprocessing.RawValue("q", 0)  # the same unguarded cell for all
    lane = partial(count_up, lock, cell, loops)
    seconds, _ = race(library, lane, lane)
    if cell.value != 2 * loops:
        raise RuntimeError(f"{library.__name__}.{kind} let two in: counted {cell.value}, not {2 * loops}")
    return seconds / (2 * loops) * NANO


def main() -> None:
    options = parser(__doc__, rounds=7)
    options.add_argument("--loops", type=positive, default=500_000, help="alone, per round (default: %(default)s)")
    options.add_argument(
        "--contended-loops", type=positive, default=50_000, help="per process and round (default: %(default)s)"
    )
    chosen = options.parse_args()
    libraries = (lightwork, multiprocessing)
    cases = []
    for kind in ("Lock", "RLock"):
        names = {f"{library.__name__}.{kind}": library for library in libraries}
        cases.append(
            Case(
                f"with {kind}(): pass, uncontended",
                "ns",
                {name: partial(alone, library, kind, chosen.loops) for name, library in names.items()},
                larger_is_better=False,
                targets={f"multiprocessing.{kind}": 0.5},
            )
        )
        cases.append(
            Case(
                f"with {kind}(): two processes count (information)",
                "ns",
                {name: partial(contended, library, kind, chosen.contended_loops) for name, library in names.items()},
                larger_is_better=False,
            )
        )
    run("lock", cases, chosen)


if __name__ == "__main__":
    main()
