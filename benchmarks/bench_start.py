"""How long does it take to start and join a process that does nothing? (Information: launching is the stdlib's.)"""

from __future__ import annotations

import importlib
import time
from functools import partial

from _rounds import Case, parser, positive, run

MILLI = 1e3


def nothing() -> None:
    """What the process does. The libraries are imported below, by name, so that a spawned child, which imports this
    file again, imports only the one it belongs to."""


def start_and_join(library: str, method: str, count: int) -> float:
    """Milliseconds per process, `count` processes one after another."""
    context = importlib.import_module(library).get_context(method)
    begin = time.perf_counter()
    for _ in range(count):
        process = context.Process(target=nothing)
        process.start()
        process.join()
        if process.exitcode != 0:
            raise RuntimeError(f"{library}: a process that does nothing ended with exit code {process.exitcode}")
    return (time.perf_counter() - begin) / count * MILLI


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--processes", type=positive, default=10, help="per round (default: %(default)s)")
    chosen = options.parse_args()
    cases = []
    for method in ("fork", "spawn", "forkserver"):
        measures = {
            f"{name}.Process": partial(start_and_join, name, method, chosen.processes)
            for name in ("lightwork", "multiprocessing")
        }
        for library in ("lightwork", "multiprocessing"):
            start_and_join(library, method, 1)  # the first one starts the fork server and the resource tracker
        cases.append(Case(f"start and join, {method}", "ms", measures, larger_is_better=False))
    run("start", cases, chosen)


if __name__ == "__main__":
    main()
