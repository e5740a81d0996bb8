"""What every benchmark here does the same way: interleave the rivals, take medians, say on what machine, print, save.

A figure counts only beside a rival's from the same run, so a `Case` names the rivals together and every round measures
each of them once. What is printed is the ratio ours / theirs: of rates it should be large, of times small.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# What is installed beside the standard library.
RIVALS = ("lightwork", "faster-fifo", "joblib", "mpire", "pebble", "ray", "numpy", "scipy")


@dataclass(frozen=True)
class Case:
    """One question: `measures` gives, per rival and ours first, a function that runs one round and returns its figure.

    `unit` is the figure's unit; `larger_is_better` tells rates from times. `targets` holds, per rival, the ratio
    ours / theirs to be reached: at least that for rates, at most that for times; `aims` what is hoped for beyond.
    `bound` is for our own figure, where a ratio says nothing.
    """

    name: str
    unit: str
    measures: Mapping[str, Callable[[], float]]
    larger_is_better: bool
    targets: Mapping[str, float] = field(default_factory=dict)
    aims: Mapping[str, float] = field(default_factory=dict)
    bound: float | None = None


@dataclass(frozen=True)
class Row:
    """One rival's figures in one case; `ratio` is ours / theirs, None in our own row; `target` is for the ratio, in our
    own row for the median."""

    case: str
    rival: str
    unit: str
    rounds: list[float]
    median: float
    ratio: float | None
    target: str | None
    met: bool | None
    aim: str | None = None
    aim_met: bool | None = None


def parser(question: str, rounds: int, workers: int | None = None) -> argparse.ArgumentParser:
    """The options every script has, and those with pools (by default of so many `workers`); `question` is its help."""
    options = argparse.ArgumentParser(description=question)
    options.add_argument("--rounds", type=positive, default=rounds, help="rounds, interleaved (default: %(default)s)")
    if workers is not None:
        options.add_argument("--workers", type=positive, default=workers, help="of a pool (default: %(default)s)")
    options.add_argument("--save", action="store_true", help="write the figures to benchmarks/results/<name>.json")
    options.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE")
    return options


def positive(text: str) -> int:
    """An int of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def interleave(case: Case, rounds: int) -> list[Row]:
    """Measure every rival once per round, each round beginning with another, so that none always goes first."""
    names = list(case.measures)
    figures: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            figures[name].append(case.measures[name]())
    return [_row(case, name, figures) for name in names]


def _row(case: Case, name: str, figures: Mapping[str, list[float]]) -> Row:
    ours = statistics.median(figures[next(iter(case.measures))])
    median = statistics.median(figures[name])
    first = name == next(iter(case.measures))
    ratio = None if first else ours / median
    figure = median if ratio is None else ratio
    target = _judged(case, figure, case.bound if first else case.targets.get(name))
    aim = _judged(case, figure, case.aims.get(name))
    return Row(case.name, name, case.unit, figures[name], median, ratio, *target, *aim)


def _judged(case: Case, figure: float, wanted: float | None) -> tuple[str | None, bool | None]:
    """What is wanted of a figure, in words, and whether it is reached."""
    if wanted is None:
        return None, None
    if case.larger_is_better:
        return f">= {wanted:.3g}", figure >= wanted
    return f"<= {wanted:.3g}", figure <= wanted


def run(name: str, cases: Sequence[Case], options: argparse.Namespace) -> None:
    """Print the machine, then each case as soon as it is measured; save what `options` asks for."""
    about = header()
    rows: list[Row] = []
    for case in cases:
        measured = interleave(case, options.rounds)
        print_rows(measured)
        rows += measured
    figures = {"rounds": options.rounds, "sizes": sizes(options), "rows": [vars(row) for row in rows]}
    save(name, {**about, **figures}, options)


def sizes(options: argparse.Namespace) -> dict[str, Any]:
    """The options that say how much was measured."""
    return {key: value for key, value in vars(options).items() if key not in {"rounds", "save", "json"}}


def header() -> dict[str, Any]:
    """Collect and print what the figures depend on: machine, Python, commit, versions of the rivals."""
    about: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "commit": _commit(),
        "versions": {name: _version(name) for name in RIVALS},
        "load": os.getloadavg()[0],
    }
    print(f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, load {about['load']:.2f}")
    versions = ", ".join(f"{rival} {version or 'not installed'}" for rival, version in about["versions"].items())
    print(f"{about['python']}, {versions}, commit {about['commit'] or 'unknown'}\n", flush=True)
    return about


def print_rows(rows: Sequence[Row]) -> None:
    """One line per rival: median, range of the rounds, ratio to ours, target beside it."""
    print(f"{rows[0].case}  [{rows[0].unit}]")
    for row in rows:
        line = f"  {row.rival:<26}{_number(row.median):>10}  ({_number(min(row.rounds))} .. {_number(max(row.rounds))})"
        if row.ratio is not None:
            line = f"{line:<64} ratio {row.ratio:.3g}"
        if row.target is not None:
            line = f"{line:<64}  target {row.target}: {'met' if row.met else 'MISSED'}"
        if row.aim is not None:
            line += f", aim {row.aim}: {'met' if row.aim_met else 'missed'}"
        print(line)
    print(flush=True)


def save(name: str, figures: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Write `figures` where --save and --json want them."""
    text = json.dumps(figures, indent=1) + "\n"
    for path in [HERE / "results" / f"{name}.json"] * options.save + [options.json] * (options.json is not None):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"figures in {path}")


def _number(value: float) -> str:
    if value >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit that is checked out, with `-dirty` if tracked files differ from it; None outside a repository."""
    git = ["git", "--no-optional-locks", "-C", str(HERE)]
    describe = [*git, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def absent(package: str, why: str) -> None:
    """Say in one line that a rival is left out."""
    print(f"{package} is not installed: left out ({why})", file=sys.stderr)
