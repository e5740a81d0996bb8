"""What `lightwork.compare` returns: the figures, and how they are shown."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .figures import Figures
from .sameness import Difference, Likeness
from .verdict import explanation, verdict, warnings

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Comparison(Figures):
    """The same work in several ways. `print` it, or let a notebook show it.

    `left_out`: backends that could not do the work, with the reason. `differences`: ways whose results were not those
    of the first serial round.
    """

    name: str = ""
    title: str = ""
    rounds_wanted: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)
    differences: Mapping[str, Difference] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """How many full rounds there were."""
        return len(self.serial.seconds)

    @property
    def agree(self) -> bool:
        """Did no way give a result that differs? (Close floats, and what cannot be compared, do not.)"""
        return all(found.likeness is not Likeness.DIFFERENT for found in self.differences.values())

    @property
    def verdict(self) -> str:
        """What to do, and why."""
        return verdict(self)

    @property
    def explanation(self) -> list[str]:
        """What the rounds say about the work, a line for each cause."""
        return explanation(self)

    @property
    def warnings(self) -> list[str]:
        """What to doubt: results that differ, ways that were left out, a noisy machine."""
        return [
            *(f"{backend} left out: {reason}" for backend, reason in self.left_out.items()),
            *(f"{way}: {found.text}" for way, found in self.differences.items()),
            *warnings(self),
        ]

    @property
    def table(self) -> Table:
        """One row for each way: a `rich` table, which `rich.print` shows."""
        from .table import table

        return table(self)

    def plot(self, path: str | Path | None = None) -> str:
        """A chart of the ways' times, as SVG text; also written to `path`: .svg, .html, or .png (with matplotlib).

        Raises ValueError for another ending, ImportError if there is no matplotlib, OSError if it cannot be written.
        """
        from .plot import svg, write

        if path is not None:
            write([self], Path(path))
        return svg([self])

    def to_dict(self) -> dict[str, Any]:
        """The figures and the Python they were taken on, ready for JSON; times in seconds, efficiency as a fraction."""
        return {
            "name": self.name,
            "title": self.title,
            "items": self.items,
            "rounds": self.rounds,
            "python": platform.python_version(),
            "implementation": sys.implementation.name,
            "interpreter_lock": self.lock,
            "machine": platform.platform(),
            "cpus": self.cpus,
            "agree": self.agree,
            "best": self.best.way,
            "best_started": self.best_started.way,
            "longest_call": self.longest,
            "sending": None if self.sending is None else vars(self.sending),
            "verdict": self.verdict,
            "explanation": self.explanation,
            "warnings": self.warnings,
            "ways": [
                {
                    "way": timing.way,
                    "backend": timing.backend,
                    "workers": timing.workers,
                    "start": timing.start,
                    "seconds": list(timing.seconds),
                    "cpu_seconds": list(timing.cpu),
                    "queued_seconds": list(timing.queued),
                    "chunks": list(timing.chunks),
                    "median": timing.median,
                    "speed_up": self.speed_up(timing),
                    "efficiency": self.efficiency(timing),
                    "pays_from": None if timing is self.serial else self.pays_from(timing),
                }
                for timing in self.timings
            ],
        }

    def __str__(self) -> str:
        from .table import plain

        return plain(self)

    def __rich__(self) -> Any:
        from .table import view

        return view(self)

    def _repr_html_(self) -> str:
        from .plot import fragment

        return fragment([self])
