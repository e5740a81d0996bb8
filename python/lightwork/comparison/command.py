"""The work behind `lightwork compare`: measure, print, write files, say what went wrong; returns the exit code.

0 is good; 1 means that results differ, a way could not do the work, the function raised, or a file could not be
written; 2 that the command line names nothing that can be compared; 130 that the user interrupted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import LightworkError, formatted, summary
from . import words
from .figures import BACKENDS
from .job import FORMULA, job
from .measure import Measurement, checked_workers
from .plot import check_ending, write
from .progress import ProgressLine
from .result import Comparison
from .table import WIDTH, view
from .target import BadTarget, Target, load

PACKAGE = Path(__file__).parent.parent

INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended


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
        measurements = _measurements(order, _progress_line(err))
    except (BadTarget, ImportError, ValueError) as error:
        err.print(f"compare: {error}", markup=False)
        return 2
    except KeyboardInterrupt:
        err.print("compare: interrupted, nothing to show")
        return INTERRUPTED
    found: list[Comparison] = []
    code = 0
    for measurement in measurements:
        code = _run(measurement, err)
        comparison = measurement.comparison()
        if comparison is not None:
            found.append(comparison)
            out.print(view(comparison, plain=out.no_color or not out.is_terminal))
            code = code or int(not comparison.agree or bool(comparison.left_out))
        if code == INTERRUPTED:
            rounds = words.count(comparison.rounds, "full round") if comparison is not None else "nothing"
            err.print(f"compare: interrupted, {rounds} to show")
        if code:
            break
    return _save(order, found, err) or code


def _progress_line(err: Console) -> ProgressLine:
    shows = err.is_terminal and not err.is_dumb_terminal
    return ProgressLine(err.file.fileno() if shows else None, min(WIDTH, err.width))


def _run(measurement: Measurement, err: Console) -> int:
    try:
        measurement.run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (OSError, LightworkError) as error:
        err.print(f"compare: {summary(error)}", markup=False)
        return 1
    except (Exception, SystemExit) as error:
        err.print(f"{_traceback(error)}compare: {measurement.name} raised {summary(error)}", markup=False)
        return 1
    finally:
        measurement.on_step(None)
    return 0


def _traceback(error: BaseException) -> str:
    """The traceback from the user's function on; "" if it was not reached."""
    frames = error.__traceback__
    while frames is not None and Path(frames.tb_frame.f_code.co_filename).is_relative_to(PACKAGE):
        frames = frames.tb_next
    # One that comes from a worker has the worker's traceback as its cause.
    return formatted(error.with_traceback(frames)) if frames is not None or error.__cause__ is not None else ""


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


def _measurements(order: Order, progress: ProgressLine) -> list[Measurement]:
    """One for each scale. Raises BadTarget and ValueError."""
    target = Target(job, sys.modules[job.__module__]) if order.target is None else load(order.target)
    if order.target is None and (order.items or order.args):
        raise BadTarget("--items and --args are for a TARGET: package.module:function or path/to/file.py:function")
    workers = checked_workers((2,) if order.target is None and order.workers is None else order.workers)
    scales = order.scales or ((1_000_000,) if order.target is None else (None,))
    found = []
    for number, scale in enumerate(scales, 1):
        prefix = f"table {number} of {len(scales)}: " if len(scales) > 1 else ""
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
                    on_step=progress.steps(prefix),
                )
            )
        except ValueError:
            raise
        except Exception as error:  # the items cannot be iterated over, or their iterator raises
            raise BadTarget(f"cannot take items from {order.items!r}: {summary(error)}") from None
    return found


def _items(order: Order, target: Target, scale: float | None, workers: Sequence[int]) -> tuple[Any, str]:
    """What to call the function with, and the title; with arguments of one call: that, once for each worker."""
    times = max(workers)
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
