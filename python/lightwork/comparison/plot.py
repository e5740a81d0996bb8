"""Charts of comparisons: a panel for each, in it a bar for each way.

SVG and HTML are written here, without any library; PNG needs matplotlib.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from . import words
from .figures import Timing
from .result import Comparison

ENDINGS = (".svg", ".html", ".png")

# Colours that can be told apart on white and on a dark notebook; text and lines take the page's own colour there.
BAR, START, BEST, INK = "#7f9bc0", "#a9a9a9", "#2f9a57", "#222222"
GRID_OPACITY = 0.15

# Pixels. RIGHT has room for "86400 s, 1.00x, best" beside the longest bar.
WIDTH, MARGIN, LEFT, RIGHT = 720, 12, 148, 176
ROW, TOP, BOTTOM, LINE, KEY = 30, 40, 56, 18, 40

TITLE_COLUMNS = 80
"""Characters of bold text that fit the width."""

KEY_LINES = (
    "grey: start of the pool; line: fastest to slowest round",
    "beside: median of the rounds without the start, and how many times as fast as serial",
)


def check_ending(path: Path) -> None:
    """Raises ValueError if no chart can be written to such a file, ImportError if that takes what is not installed."""
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"cannot draw {path.name!r}: its ending has to be one of {', '.join(ENDINGS)}")
    if path.suffix.lower() == ".png":
        _pyplot()


def write(comparisons: Sequence[Comparison], path: Path) -> None:
    """Write a chart. Raises what `check_ending` does, and OSError."""
    check_ending(path)
    ending = path.suffix.lower()
    if ending == ".png":
        _write_png(comparisons, path)
    elif ending == ".svg":
        path.write_text(svg(comparisons), encoding="utf-8")
    else:
        path.write_text(_page(comparisons), encoding="utf-8")


def _beside(comparison: Comparison, timing: Timing) -> str:
    """The words beside the bar of a way."""
    beside = f"{words.seconds(timing.median)}, {comparison.speed_up(timing):.2f}x"
    return f"{beside}, best" if timing is comparison.best else beside


def _colour(comparison: Comparison, timing: Timing) -> str:
    return BEST if timing is comparison.best else BAR


def _title(comparison: Comparison) -> str:
    """What was done, in lines that fit the width."""
    text = f"{comparison.title or comparison.name}, {words.times(comparison.items)}"
    return "\n".join(textwrap.wrap(text, TITLE_COLUMNS))


def _height(comparison: Comparison) -> int:
    return TOP + LINE * _title(comparison).count("\n") + ROW * len(comparison.timings) + BOTTOM


def _longest(comparison: Comparison) -> float:
    return max(timing.start + max(timing.seconds) for timing in comparison.timings)


def _label(unit: str) -> str:
    return f"wall time of all calls ({unit})"


# SVG ------------------------------------------------------------------------------------------------------------------


def svg(comparisons: Sequence[Comparison]) -> str:
    """The chart as a document of its own: dark on white."""
    return _drawing(comparisons, f'color="{INK}"', '<rect width="100%" height="100%" fill="white"/>')


def _drawing(comparisons: Sequence[Comparison], colour: str, background: str) -> str:
    panels, y = [], 0
    for comparison in comparisons:
        panels.append(f'<g transform="translate(0 {y})">{_panel(comparison)}</g>')
        y += _height(comparison)
    panels += [_text(LEFT, y + 8 + LINE * i, line, "start", size=11) for i, line in enumerate(KEY_LINES)]
    y += KEY
    size = f'viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" style="max-width:100%;height:auto"'
    style = f'font-family="sans-serif" fill="currentColor" {colour}'.rstrip()
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{background}{"".join(panels)}</svg>\n'


def _panel(comparison: Comparison) -> str:
    longest = _longest(comparison)
    unit, size = words.unit(longest)
    step = _step(longest / size)
    scale = (WIDTH - LEFT - RIGHT) / longest
    title = _title(comparison).split("\n")
    parts = [_text(MARGIN, 22 + LINE * i, line, "start", weight="bold") for i, line in enumerate(title)]
    top = TOP + LINE * (len(title) - 1)
    bottom = top + ROW * len(comparison.timings)
    for i in range(int(longest / size / step) + 1):
        x = LEFT + i * step * size * scale
        parts.append(_stroke(x, top, x, bottom, GRID_OPACITY))
        parts.append(_text(x, bottom + 17, f"{i * step:.6g}", "middle"))
    parts.append(_text(LEFT, bottom + 37, _label(unit), "start"))
    for row, timing in enumerate(comparison.timings):
        y = top + ROW * row + 5
        middle = y + 10
        work, end = LEFT + timing.start * scale, LEFT + timing.with_start * scale
        low, high = (LEFT + (timing.start + f(timing.seconds)) * scale for f in (min, max))
        weight = "bold" if timing is comparison.best else "normal"
        parts.append(_text(LEFT - 8, middle + 4, timing.way, "end", weight=weight))
        parts.append(_rect(LEFT, y, work - LEFT, START))
        parts.append(_rect(work, y, end - work, _colour(comparison, timing)))
        parts.append(_stroke(low, middle, high, middle))
        parts.append(_text(max(end, high) + 6, middle + 4, _beside(comparison, timing), "start", weight=weight))
    return "".join(parts)


def _rect(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="20" fill="{colour}"/>'


def _stroke(x1: float, y1: float, x2: float, y2: float, opacity: float = 1.0) -> str:
    place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {place} stroke="currentColor" stroke-opacity="{opacity:g}"/>'


def _text(x: float, y: float, text: str, anchor: str, *, size: int = 13, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )


def _step(longest: float) -> float:
    """A round distance of ticks, so that there are three to seven."""
    power: float = 10.0 ** math.floor(math.log10(longest))
    return next(step for part in (0.2, 0.5, 1.0, 2.0) if longest / (step := power * part) <= 7)


# HTML -----------------------------------------------------------------------------------------------------------------


def fragment(comparisons: Sequence[Comparison]) -> str:
    """Chart and text, as a part of a page, in the page's own colours: a notebook's theme may be dark."""
    texts = "".join(f"<pre>{escape(str(comparison))}</pre>" for comparison in comparisons)
    return f"<div>{_drawing(comparisons, '', '')}{texts}</div>"


def _page(comparisons: Sequence[Comparison]) -> str:
    title = escape(_title(comparisons[0]))
    head = (
        '<meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<title>lightwork compare: {title}</title>"
    )
    return f"<!DOCTYPE html>\n<html><head>{head}</head><body>{fragment(comparisons)}</body></html>\n"


# PNG ------------------------------------------------------------------------------------------------------------------


def _pyplot() -> Any:
    try:
        import_module("matplotlib").use("agg")
        return import_module("matplotlib.pyplot")
    except ImportError:
        raise ImportError("a .png chart needs matplotlib (pip install matplotlib); .svg and .html do without") from None


def _write_png(comparisons: Sequence[Comparison], path: Path) -> None:
    """The same places as in SVG: matplotlib counts them from below, as parts of the figure."""
    pyplot = _pyplot()
    height = sum(_height(comparison) for comparison in comparisons) + KEY
    figure = pyplot.figure(figsize=(WIDTH / 96, height / 96))
    y = 0
    for comparison in comparisons:
        title = _title(comparison)
        figure.text(MARGIN / WIDTH, 1 - (y + 10) / height, title, va="top", fontsize=10, weight="bold")
        rows = ROW * len(comparison.timings)
        y += _height(comparison)
        area = LEFT / WIDTH, 1 - (y - BOTTOM) / height, (WIDTH - LEFT - MARGIN) / WIDTH, rows / height
        _draw(figure.add_axes(area), comparison)
    figure.text(LEFT / WIDTH, 1 - y / height, "\n".join(KEY_LINES), va="top", fontsize=8)
    figure.savefig(path, dpi=144)
    pyplot.close(figure)


def _draw(axes: Any, comparison: Comparison) -> None:
    longest = _longest(comparison)
    unit, size = words.unit(longest)
    for row, timing in enumerate(comparison.timings):
        start, median = timing.start / size, timing.median / size
        least, most = min(timing.seconds) / size, max(timing.seconds) / size
        axes.barh(row, start, height=20 / ROW, color=START)
        colour, spread = _colour(comparison, timing), [[median - least], [most - median]]
        axes.barh(row, median, left=start, height=20 / ROW, color=colour, xerr=spread, ecolor=INK)
        weight = "bold" if timing is comparison.best else "normal"
        place = (start + most, row)
        axes.annotate(
            _beside(comparison, timing), place, (6, 0), textcoords="offset points", va="center", weight=weight
        )
    count = len(comparison.timings)
    axes.set_yticks(range(count), [timing.way for timing in comparison.timings])
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_xlim(0, longest / size * (WIDTH - LEFT - MARGIN) / (WIDTH - LEFT - RIGHT))
    step = _step(longest / size)
    axes.set_xticks([i * step for i in range(int(longest / size / step) + 1)])
    axes.xaxis.set_major_formatter("{x:.6g}")
    axes.set_xlabel(_label(unit), loc="left")
    axes.spines[["top", "right"]].set_visible(False)
