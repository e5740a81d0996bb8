"""Print a comparison: the command behind `lightwork compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

import lightwork as mp
from lightwork.compare.job import FORMULA, job
from lightwork.compare.measure import Comparison, time_ways
from lightwork.compare.ways import Target, name_of
from lightwork.errors import formatted, summary

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended


def report(
    target: Target = job,
    args: tuple[Any, ...] = (1_000_000,),
    *,
    workers: int = 2,
    repeat: int = 3,
    title: str | None = None,
    save: Path | None = None,
) -> int:
    """Measure, print the table and one line on what is fastest, write the figures to `save`; return the exit code.

    0 is good; 1 means that the totals differ, `target` raised or put no result into its queue, a worker died, or `save`
    could not be written (a sentence on stderr says which, after the traceback if `target` raised); 130 that the user
    interrupted. See `time_ways` for the parameters.
    """
    out, err = Console(highlight=False), Console(highlight=False, stderr=True, soft_wrap=True)
    try:
        out.print(title or _title(target, args, workers, repeat), markup=False, soft_wrap=True)
        comparison = time_ways(target, args, workers=workers, repeat=repeat)
        out.print(table(comparison, plain=not out.is_terminal))
        if not comparison.agree:
            totals = ", ".join(f"{timing.way} {_distinct(timing.totals)}" for timing in comparison.timings)
            err.print(f"compare: the totals differ, so the times mean nothing: {totals}", markup=False)
            return 1
        out.print(f"All totals agree: {comparison.timings[0].totals[0]}", markup=False, soft_wrap=True)
        out.print(verdict(comparison), markup=False, soft_wrap=True)
        if save is not None:
            figures = {"args": list(args), "repeat": repeat, **comparison.to_dict()}
            save.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    except KeyboardInterrupt:
        err.print("compare: interrupted, nothing to show")
        return INTERRUPTED
    except (OSError, mp.LightworkError) as error:
        err.print(f"compare: {error}", markup=False)
        return 1
    except Exception as error:
        err.print(f"{formatted(error)}compare: {name_of(target)} raised {summary(error)}", markup=False)
        return 1
    return 0


def table(comparison: Comparison, *, plain: bool = False) -> Table:
    """One row per way; without lines and colours if `plain`. At most 60 columns wide for times below a day."""
    grid = Table(box=None if plain else box.SIMPLE_HEAD, header_style="" if plain else "bold", pad_edge=not plain)
    grid.add_column("way")
    for heading in ("wall time (s)", "speed-up", "efficiency"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for timing in comparison.timings:
        best = not plain and timing is comparison.fastest
        grid.add_row(
            timing.way,
            f"{timing.median:.4f}",
            f"{comparison.speed_up(timing):.2f}x",
            f"{comparison.efficiency(timing):.0%}",
            style="bold green" if best else None,
        )
    return grid


def verdict(comparison: Comparison) -> str:
    """One line that names the fastest way."""
    best = comparison.fastest
    if best is comparison.timings[0]:
        return f"Fastest: {best.way}."
    return f"Fastest: {best.way}, {comparison.speed_up(best):.2f} times as fast as {comparison.timings[0].way}."


def _distinct(totals: tuple[Any, ...]) -> str:
    """The distinct totals of the rounds: one as itself, several in the order they came."""
    return " / ".join(str(total) for total in dict.fromkeys(totals))


def _title(target: Target, args: tuple[Any, ...], workers: int, repeat: int) -> str:
    work = f"{FORMULA} for i < {args[0]:,}" if target is job else name_of(target)
    return f"{work}, {_times(workers)} in each way, {_count(repeat, 'round')}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("s" if count != 1 else "")
