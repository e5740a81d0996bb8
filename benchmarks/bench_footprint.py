"""What do 100,000 locks and 10,000 queues cost in one program: memory, descriptors, time?

Each library makes them in a fresh process of its own. The standard library's needs a mapping per lock and two
descriptors per queue, so it may not get to the end; then the table says how many it made.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _rounds import header, parser, positive, save, sizes

KIB = 1024
LIBRARIES = ("lightwork", "multiprocessing")
# RSS, PSS and shmem (RssShmem) are what is mapped into the process; memfd is what its memfds occupy; system is the
# growth of Shmem in /proc/meminfo, which also counts pages nobody has mapped or touched yet, and other programs' too.
COLUMNS = ("made", "us each", "RSS", "PSS", "shmem", "memfd", "system", "B each", "fds", "maps")


def reading() -> dict[str, int]:
    """What this process holds now: memory in bytes, descriptors, mappings, blocks of its memfds in bytes."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    status = Path("/proc/self/status").read_text()
    descriptors, memfd = 0, 0
    for entry in os.scandir("/proc/self/fd"):
        try:
            if os.readlink(entry.path).startswith("/memfd:"):
                memfd += os.stat(entry.path).st_blocks * 512
        except OSError:  # the descriptor of this very listing
            continue
        descriptors += 1
    return {
        "RSS": kib(rollup, "Rss"),
        "PSS": kib(rollup, "Pss"),
        "shmem": kib(status, "RssShmem"),
        "memfd": memfd,
        "system": kib(Path("/proc/meminfo").read_text(), "Shmem"),
        "fds": descriptors,
        "maps": Path("/proc/self/maps").read_bytes().count(b"\n"),
    }


def kib(text: str, key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * KIB if found else 0


def make(library: str, kind: str, count: int) -> dict[str, Any]:
    """Make `count` of `kind`, or as many as can be made, and return what they cost; runs in a fresh process."""
    factory = getattr(importlib.import_module(library), kind)
    made: list[Any] = [factory()]  # the first one may set up what all share: not counted
    gc.collect()
    before = reading()
    stopped = None
    start = time.perf_counter()
    try:
        for _ in range(count):
            made.append(factory())
    except (OSError, MemoryError) as error:
        stopped = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - start
    number = len(made) - 1
    if stopped is not None:
        # Without a free descriptor and a free mapping /proc cannot be read. What is taken away is too little to matter.
        del made[-50:]
        gc.collect()
    after = reading()
    growth = {key: after[key] - before[key] for key in after}
    return {"made": number, "stopped": stopped, "us each": seconds / max(number, 1) * 1e6, **growth}


def measure(library: str, kind: str, count: int) -> dict[str, Any]:
    """`make` in a fresh interpreter."""
    command = [sys.executable, __file__, "--inside", library, kind, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def median_of(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Per column the median of the rounds, and the memory that one object takes."""
    figures = {key: statistics.median(one[key] for one in rounds) for key in rounds[0] if key != "stopped"}
    figures["B each"] = figures["PSS"] / max(figures["made"], 1)
    return {**figures, "stopped": rounds[-1]["stopped"]}


def print_table(kind: str, count: int, rows: dict[str, dict[str, Any]]) -> None:
    print(f"{count:,} of {kind}  [memory in MiB]")
    print(f"  {'':<16}" + "".join(f"{column:>9}" for column in COLUMNS))
    for library, figures in rows.items():
        print(f"  {library:<16}" + "".join(f"{cell(column, figures[column]):>9}" for column in COLUMNS))
        if figures["stopped"]:
            print(f"  {'':<16} stopped after {figures['made']:,.0f}: {figures['stopped']}")
    print(flush=True)


def cell(column: str, value: float) -> str:
    if column in {"RSS", "PSS", "shmem", "memfd", "system"}:
        return f"{value / KIB**2:.1f}"
    return f"{value:.2f}" if column == "us each" else f"{value:,.0f}"


def main() -> None:
    options = parser(__doc__, rounds=3)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--locks", type=positive, default=100_000, help="default: %(default)s")
    options.add_argument("--queues", type=positive, default=10_000, help="default: %(default)s")
    options.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.inside:
        library, kind, count = chosen.inside
        print(json.dumps(make(library, kind, int(count))), flush=True)
        os._exit(0)  # taking thousands of objects down again is not the question
    about = header()
    tables = {}
    for kind, count in (("Lock", chosen.locks), ("Queue", chosen.queues)):
        rounds: dict[str, list[dict[str, Any]]] = {library: [] for library in LIBRARIES}
        for _ in range(chosen.rounds):
            for library in LIBRARIES:
                rounds[library].append(measure(library, kind, count))
        tables[kind] = {library: median_of(measured) for library, measured in rounds.items()}
        print_table(kind, count, tables[kind])
    save("footprint", {**about, "rounds": chosen.rounds, "sizes": sizes(chosen), "tables": tables}, chosen)


if __name__ == "__main__":
    main()
