"""How a comparison looks in a terminal, 80 columns wide, and as plain text."""

from __future__ import annotations

import io
import textwrap

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from . import words
from .figures import SERIAL
from .result import Comparison
from .sameness import Likeness

WIDTH = 80


def table(comparison: Comparison, *, plain: bool = False) -> Table:
    """One row per way, the best marked; without colours if `plain`. Fits 80 columns for times below a day."""
    grid = Table(box=None, header_style="" if plain else "bold", pad_edge=False)
    grid.add_column("way", no_wrap=True)
    unit, size = words.unit(max(timing.median for timing in comparison.timings) / 10)
    for heading in ("workers", f"time ({unit})", "+-", f"start ({unit})", "CPUs", "speed-up", "efficiency"):
        grid.add_column(heading, justify="right", no_wrap=True)
    for timing in comparison.timings:
        best = timing is comparison.best
        grid.add_row(
            f"{timing.backend} *" if best else timing.backend,
            str(timing.workers),
            _number(timing.median / size),
            f"{timing.spread:.0%}",
            "" if timing.backend == SERIAL else _number(timing.start / size),
            f"{timing.cpu_use:.2f}",
            f"{comparison.speed_up(timing):.2f}x",
            f"{comparison.efficiency(timing):.0%}",
            style="bold green" if best and not plain else None,
        )
    return grid


def view(comparison: Comparison, *, plain: bool = False) -> Group:
    """The table, and what it means in words."""
    parts: list[RenderableType] = [_line(_title(comparison), "" if plain else "bold"), table(comparison, plain=plain)]
    parts.append(_line(f"* the best for this work, with the start of its pool{_agreement(comparison)}", ""))
    parts += [_line(f"- {line}", "", "  ") for line in comparison.explanation]
    parts += [_line(f"! {line}", "" if plain else "yellow", "  ") for line in comparison.warnings]
    parts.append(_line(comparison.verdict, "" if plain else "bold"))
    return Group(*parts)


def plain(comparison: Comparison) -> str:
    """The same as text of 80 columns."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, highlight=False, force_terminal=False)
    with console.capture() as captured:
        console.print(view(comparison, plain=True))
    return captured.get().rstrip("\n")


def _number(value: float) -> str:
    return f"{value:.4f}" if value < 10 else f"{value:.2f}" if value < 1000 else f"{value:.0f}"


def _line(text: str, style: str, indent: str = "") -> Text:
    return Text("\n".join(textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)), style=style)


def _title(comparison: Comparison) -> str:
    work = f"{comparison.title or comparison.name}, {words.times(comparison.items)}"
    rounds = words.count(comparison.rounds, "round")
    if comparison.rounds < comparison.rounds_wanted:
        rounds += f" of {comparison.rounds_wanted}"
    return f"{work} in each way, {rounds}"


def _agreement(comparison: Comparison) -> str:
    if len(comparison.timings) == 1:
        return ""
    found = {difference.likeness for difference in comparison.differences.values()}
    if Likeness.DIFFERENT in found:
        return "; NOT all results agree"
    if Likeness.UNKNOWN in found:
        return "; results cannot be compared"
    return "; all results nearly agree" if found else "; all results agree"
