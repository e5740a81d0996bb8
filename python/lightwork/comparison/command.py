"""The work behind `lightwork compare`: measure, print, write files, say what went wrong; returns the exit code.

0 is good; 1 means that results differ, a way could not do the work, the function raised, or a file could not be
written; 2 that the command line names nothing that can be compared; 130 that the user interrupted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import LightworkError, formatted, summary
from . import words
from .figures import BACKENDS
from .job import FORMULA, job
from .measure import Measurement, default_workers
from .plot import check_ending, write
from .result import Comparison
from .table import WIDTH, view
from .target import BadTarget, Target, load

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended

PATIENCE = 1.0
"""Seconds after which a terminal shows what is being measured."""


@dataclass(frozen=True)
class Order:
    """What the command line asks for. Without a target, and items, the tutorial's job is done once per worker."""

    target: str | None = None
    items: str | None = None
    args: str | None = None
    scales: tuple[float, ...] | None = None
    workers: tuple[int, ...] | None = None
    backends: tuple[str, ...] = BACKENDS
    repeat: int = 5
    json: Path | None = None
    plot: Path | None = None


def report(order: Order) -> int:
    """Do what is ordered."""
    out, err = Console(highlight=False), Console(highlight=False, stderr=True, soft_wrap=True)
    try:
        if order.plot is not None:
            check_ending(order.plot)
        measurements = _measurements(order, _Progress(err))
    except (BadTarget, ImportError, ValueError) as error:
        err.print(f"compare: {error}", markup=False)
        return 2
    found: list[Comparison] = []
    code = 0
    for measurement in measurements:
        code = _run(measurement, err)
        comparison = measurement.comparison()
        if comparison is not None:
            found.append(comparison)
            out.print(view(comparison, plain=not out.is_terminal))
            code = code or int(not comparison.agree or bool(comparison.left_out))
        if code == INTERRUPTED:
            rounds = words.count(comparison.rounds, "full round") if comparison is not None else "nothing"
            err.print(f"compare: interrupted, {rounds} to show")
        if code:
            break
    return _save(order, found, err) or code


def _run(measurement: Measurement, err: Console) -> int:
    try:
        measurement.run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (OSError, LightworkError) as error:
        err.print(f"compare: {summary(error)}", markup=False)
        return 1
    except Exception as error:
        err.print(f"{formatted(error)}compare: {measurement.name} raised {summary(error)}", markup=False)
        return 1
    finally:
        measurement.on_step("")
    return 0


def _save(order: Order, found: Sequence[Comparison], err: Console) -> int:
    try:
        if order.plot is not None and found:
            write(found, order.plot)
        if order.json is not None and found:
            figures = [comparison.to_dict() for comparison in found]
            order.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        err.print(f"compare: {error}", markup=False)
        return 1
    return 0


def _measurements(order: Order, progress: _Progress) -> list[Measurement]:
    """One for each scale. Raises BadTarget and ValueError."""
    target = Target(job, sys.modules[job.__module__]) if order.target is None else load(order.target)
    if order.target is None and (order.items or order.args):
        raise BadTarget("--items and --args are for a TARGET: package.module:function or path/to/file.py:function")
    workers = order.workers or ((2,) if order.target is None else None)
    scales = order.scales or ((1_000_000,) if order.target is None else (None,))
    found = []
    for scale in scales:
        items, title = _items(order, target, scale, workers)
        try:
            found.append(
                Measurement(
                    target.func,
                    items,
                    workers=workers,
                    backends=order.backends,
                    repeat=order.repeat,
                    star=order.args is not None,
                    title=title,
                    on_step=progress.show,
                )
            )
        except TypeError as error:  # the items cannot be iterated over
            raise BadTarget(f"cannot take items from {order.items!r}: {error}") from None
    return found


def _items(order: Order, target: Target, scale: float | None, workers: Sequence[int] | None) -> tuple[Any, str]:
    """What to call the function with, and the title; with arguments of one call: that, once for each worker."""
    times = max(workers or default_workers())
    at = "" if scale is None else f" at n = {scale:,}"
    if order.items is not None and order.args is not None:
        raise BadTarget("give --items or --args, not both")
    if order.items is not None:
        return target.evaluate(order.items, scale), f"{order.target}{at}"
    if order.args is not None:
        args = target.evaluate(order.args, scale)
        return [args if isinstance(args, tuple) else (args,)] * times, f"{order.target}{at}"
    if scale is None:
        raise BadTarget(f"what is {order.target} to be called with? Give --items, --args or --scale")
    what = f"{FORMULA} for i < {scale:,}" if order.target is None else f"{order.target}{at}"
    return [scale] * times, what


class _Progress:
    """A line on a terminal that says what is being measured, once that has taken a while."""

    def __init__(self, err: Console) -> None:
        self._err = err
        self._begun = time.monotonic()
        self._shown = False

    def show(self, step: str) -> None:
        """Show this in the place of what was there; "" clears the line."""
        if self._err.is_terminal and (self._shown or time.monotonic() - self._begun > PATIENCE):
            self._err.file.write(f"\r\x1b[K{step[: WIDTH - 1]}")
            self._err.file.flush()
            self._shown = bool(step)
