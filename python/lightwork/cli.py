"""The `lightwork` command: argument parsing, nothing else.

Each command returns the call that does its work, and `main` makes that call after click is done. So a program under
`lightwork run` meets no click frame in its tracebacks, and its exceptions (KeyboardInterrupt, EPIPE, click's own if it
uses click) are not taken for ours.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lightwork")
def commands() -> None:
    """Python's multiprocessing, rebuilt: same names and calls, faster, and it does not hang when a process dies."""


OUTPUT = click.Path(dir_okay=False, writable=True, path_type=Path)


def _in_a_folder(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    # Found out now, not after minutes of measuring.
    if path is not None and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(path.parent)!r}.")
    return path


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Numbers with commas between them, each at least `least`; a whole one is an int, also if written 1e6."""

    name = "numbers"

    def __init__(self, least: int, whole: bool) -> None:
        self._least = least
        self._whole = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        found = []
        for text in str(value).split(","):
            try:
                number = float(text)
                number = int(number) if number.is_integer() else number
            except ValueError:
                self.fail(f"{text!r} is not a number.", param, ctx)
            if self._whole and not isinstance(number, int):
                self.fail(f"{text} is not a whole number.", param, ctx)
            if not self._least <= number < math.inf:
                self.fail(f"{text} is not in the range x>={self._least}.", param, ctx)
            found.append(number)
        return tuple(found)


class Names(click.ParamType):  # type: ignore[type-arg]
    """Some of several names, with commas between them."""

    name = "names"

    def __init__(self, *choices: str) -> None:
        self._choices = choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        found = tuple(str(value).split(","))
        for name in found:
            if name not in self._choices:
                self.fail(f"{name!r} is not one of {', '.join(self._choices)}.", param, ctx)
        return found


@commands.command()
@click.argument("target", required=False)
@click.option("--items", metavar="EXPR", help="A Python expression: the function is called with each item.")
@click.option("--args", metavar="EXPR", help="A Python expression: the arguments of one call, done once per worker.")
@click.option(
    "--scale",
    "-n",
    "scales",
    metavar="N,...",
    type=Numbers(0, whole=False),
    help="Sizes to compare at: n in EXPR; without one the argument. For the tutorial's job 1000000, if not given.",
)
@click.option(
    "--workers",
    metavar="N,...",
    type=Numbers(1, whole=True),
    help="How many threads and processes. Default: one for each processor; 2 for the tutorial's job.",
)
@click.option(
    "--backends",
    metavar="NAME,...",
    type=Names("serial", "threads", "processes"),
    default="serial,threads,processes",
    show_default=True,
    help="What to compare; serial is always there.",
)
@click.option(
    "--repeat",
    metavar="R",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Rounds; the table shows medians.",
)
@click.option("--json", metavar="FILE", type=OUTPUT, callback=_in_a_folder, help="Also write the figures to FILE.")
@click.option(
    "--plot",
    metavar="FILE",
    type=OUTPUT,
    callback=_in_a_folder,
    help="Also draw a chart: .svg, .html, or .png (needs matplotlib).",
)
def compare(**order: Any) -> Callable[[], int]:
    """Time the same work serially, on threads and on processes, and say which way is best.

    TARGET is a function: package.module:function or path/to/file.py:function. Without it, the job is the tutorial's:
    res += i + i**2 + i**3 for i from 0 to n - 1.
    """
    from lightwork.comparison.command import Order, report

    return partial(report, Order(**order))


@commands.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> Callable[[], int]:
    """Look at this machine: what is well, what to change.

    The exit code is 1 if there is a problem, else 0.
    """
    from lightwork.doctor import report

    return partial(report, as_json)


# Without interspersed arguments, parsing ends at the script's name: every option after it belongs to the script. That
# `-m` is a flag, and the package the first argument, gives `-m package --help` to the package in the same way.
@commands.command(context_settings={"allow_interspersed_args": False})
@click.option("-m", "module", is_flag=True, help="SCRIPT is the name of a module or package, as for python -m.")
@click.argument("script")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def run(module: bool, script: str, args: tuple[str, ...]) -> Callable[[], None]:
    """Run an unmodified program on lightwork.

    Wherever it, its libraries or its children import multiprocessing, they get lightwork. SCRIPT is a file, or a
    module's name after -m; all that follows it is the program's own.
    """
    if module:
        from lightwork._run import run_module

        return partial(run_module, script, list(args))
    from lightwork._run import run_path

    return partial(run_path, script, list(args))


def main() -> None:
    """Entry point of the `lightwork` command; leaves with its exit code."""
    try:
        call = commands.main(prog_name="lightwork", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:  # Ctrl-C before there was a call
        sys.exit(130)
    # --help and --version leave no call, but an exit code.
    sys.exit(call() if callable(call) else call)
