"""How long does a pool of 2 live that is made, gives its first result, is closed and joined?

In a program of its own whose main module imports numpy. The program's first pool may start a server and is shown apart:
there every library imports numpy at least once, so the targets are for the later ones. Under spawn ours is told
`warm_start=True`; without, each worker is a new interpreter, as the standard library's are.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from _rounds import Case, parser, positive, run

PROGRAM = Path(__file__).with_name("_pool_life.py")
#: Method: the ratio to reach, and the one hoped for.
WANTED: dict[str, tuple[float, float | None]] = {
    "fork": (1, None),
    "forkserver": (1 / 3, 1 / 5),
    "spawn": (1 / 3, 1 / 5),
}


class Program:
    """Runs of the program. One run gives the figures of both cases: the first pool's case runs it, the later ones' case
    takes what was left, in the same order."""

    def __init__(self, library: str, method: str, pools: int, *options: str) -> None:
        self._command = [sys.executable, str(PROGRAM), library, method, str(pools), *options]
        self._later: list[float] = []

    def first(self) -> float:
        """Milliseconds of a program's first pool."""
        done = subprocess.run(self._command, stdout=subprocess.PIPE, text=True, check=True)
        first, *later = map(float, done.stdout.split())
        self._later.append(statistics.median(later))
        return first

    def later(self) -> float:
        """Milliseconds of the later ones of the same program, their median."""
        return self._later.pop(0)


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--pools", type=positive, default=5, help="later pools of each program (default: %(default)s)")
    chosen = options.parse_args()
    cases = []
    for method, (target, aim) in WANTED.items():
        rival, pools = "multiprocessing.Pool", 1 + chosen.pools
        programs = {
            "lightwork.Pool": Program("lightwork", method, pools),
            rival: Program("multiprocessing", method, pools),
        }
        if method == "spawn":
            programs = {"warm_start=True": Program("lightwork", method, pools, "warm_start"), **programs}
        firsts: dict[str, Callable[[], float]] = {name: program.first for name, program in programs.items()}
        laters: dict[str, Callable[[], float]] = {name: program.later for name, program in programs.items()}
        cases.append(Case(f"{method}: the first pool of a program", "ms", firsts, larger_is_better=False))
        cases.append(
            Case(
                f"{method}: a later pool",
                "ms",
                laters,
                larger_is_better=False,
                targets={rival: target},
                aims={} if aim is None else {rival: aim},
            )
        )
    run("pool_life", cases, chosen)


if __name__ == "__main__":
    main()
