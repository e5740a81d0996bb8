"""Charts of comparisons: a panel for each, in it a bar for each way.

SVG and HTML are written here, without any library; PNG needs matplotlib.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from . import words
from .figures import Timing
from .result import Comparison

ENDINGS = (".svg", ".html", ".png")
BAR, START, BEST, INK, GRID = "#8fa8c8", "#d9d9d9", "#3a9d5d", "#222222", "#e6e6e6"

WIDTH, LEFT, RIGHT = 720, 120, 130
ROW, TOP, BOTTOM = 30, 40, 52


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


def _bars(comparison: Comparison) -> list[tuple[Timing, str, str]]:
    """Each way with its colour and the words beside its bar."""
    found = []
    for timing in comparison.timings:
        best = timing is comparison.best
        beside = f"{words.seconds(timing.median)}, {comparison.speed_up(timing):.2f}x"
        found.append((timing, BEST if best else BAR, f"{beside}, best" if best else beside))
    return found


def _title(comparison: Comparison) -> str:
    return f"{comparison.title or comparison.name}, {words.times(comparison.items)}"


X_LABEL = "wall time of all calls, seconds (grey: start of the pool; line: fastest to slowest round)"


# SVG ------------------------------------------------------------------------------------------------------------------


def svg(comparisons: Sequence[Comparison]) -> str:
    """The chart as a document of its own."""
    panels, y = [], 0
    for comparison in comparisons:
        height = TOP + ROW * len(comparison.timings) + BOTTOM
        panels.append(f'<g transform="translate(0 {y})">{_panel(comparison)}</g>')
        y += height
    style = f'font-family="sans-serif" font-size="13" fill="{INK}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" {style}>'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(panels)}</svg>\n'
    )


def _panel(comparison: Comparison) -> str:
    longest = max(timing.start + max(timing.seconds) for timing in comparison.timings)
    step = _step(longest)
    scale = (WIDTH - LEFT - RIGHT) / longest
    bottom = TOP + ROW * len(comparison.timings)
    parts = [_text(LEFT, 22, _title(comparison), "start", weight="bold")]
    for i in range(int(longest / step) + 1):
        x = LEFT + i * step * scale
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"/>')
        parts.append(_text(x, bottom + 17, f"{i * step:.6g}", "middle"))
    parts.append(_text(LEFT, bottom + 36, X_LABEL, "start", size=11))
    for row, (timing, colour, beside) in enumerate(_bars(comparison)):
        y = TOP + ROW * row + 5
        middle = y + 10
        work, end = LEFT + timing.start * scale, LEFT + timing.with_start * scale
        low, high = (LEFT + (timing.start + f(timing.seconds)) * scale for f in (min, max))
        parts.append(_text(LEFT - 8, middle + 4, timing.way, "end"))
        parts.append(_rect(LEFT, y, work - LEFT, START))
        parts.append(_rect(work, y, end - work, colour))
        parts.append(f'<line x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}" stroke="{INK}"/>')
        parts.append(_text(max(end, high) + 6, middle + 4, beside, "start"))
    return "".join(parts)


def _rect(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="20" fill="{colour}"/>'


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
    """Chart and text, as a part of a page."""
    texts = "".join(f"<pre>{escape(str(comparison))}</pre>" for comparison in comparisons)
    return f"<div>{svg(comparisons)}{texts}</div>"


def _page(comparisons: Sequence[Comparison]) -> str:
    title = escape(_title(comparisons[0]))
    head = f'<meta charset="utf-8"><title>lightwork compare: {title}</title>'
    return f"<!DOCTYPE html>\n<html><head>{head}</head><body>{fragment(comparisons)}</body></html>\n"


# PNG ------------------------------------------------------------------------------------------------------------------


def _pyplot() -> Any:
    try:
        import_module("matplotlib").use("agg")
        return import_module("matplotlib.pyplot")
    except ImportError:
        raise ImportError("a .png chart needs matplotlib (pip install matplotlib); .svg and .html do without") from None


def _write_png(comparisons: Sequence[Comparison], path: Path) -> None:
    pyplot = _pyplot()
    heights = [TOP + ROW * len(comparison.timings) + BOTTOM for comparison in comparisons]
    figure, grid = pyplot.subplots(
        len(comparisons),
        1,
        figsize=(WIDTH / 96, sum(heights) / 96),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for axes, comparison in zip(grid[:, 0], comparisons, strict=True):
        _draw(axes, comparison)
    figure.savefig(path, dpi=144)
    pyplot.close(figure)


def _draw(axes: Any, comparison: Comparison) -> None:
    bars = _bars(comparison)
    for row, (timing, colour, beside) in enumerate(bars):
        spread = [[timing.median - min(timing.seconds)], [max(timing.seconds) - timing.median]]
        axes.barh(row, timing.start, color=START)
        axes.barh(row, timing.median, left=timing.start, color=colour, xerr=spread, ecolor=INK)
        axes.annotate(
            beside,
            (timing.start + max(timing.seconds), row),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(bars)), [timing.way for timing, _, _ in bars])
    axes.invert_yaxis()
    axes.margins(x=0.3)
    axes.set_xlim(left=0)
    axes.set_xlabel(X_LABEL, fontsize=8)
    axes.set_title(_title(comparison), fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
