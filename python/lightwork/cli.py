"""The `lightwork` command: argument parsing, nothing else.

Each command returns the call that does its work, and `main` makes that call after click is done. So a program under
`lightwork run` meets no click frame in its tracebacks, and its exceptions (KeyboardInterrupt, EPIPE, click's own if it
uses click) are not taken for ours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lightwork")
def commands() -> None:
    """Python's multiprocessing, rebuilt: same names and calls, faster, and it does not hang when a process dies."""


def _in_a_folder(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    # Found out now, not after minutes of measuring.
    if path is not None and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(path.parent)!r}.")
    return path


@commands.command()
@click.option(
    "-n",
    "count",
    metavar="COUNT",
    type=click.IntRange(min=0),
    default=1_000_000,
    show_default=True,
    help="How many numbers the job sums.",
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="How many times the job is done in each way: in a row, on N threads, on N processes.",
)
@click.option(
    "--repeat",
    metavar="R",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Rounds; the table shows medians.",
)
@click.option(
    "--json",
    "save",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=_in_a_folder,
    help="Also write the figures to FILE.",
)
def compare(count: int, workers: int, repeat: int, save: Path | None) -> Callable[[], int]:
    """Time a job serially, on threads and on processes.

    The job is the tutorial's: res += i + i**2 + i**3 for i from 0 to COUNT - 1.
    """
    from lightwork.compare import job, report

    return partial(report, job, (count,), workers=workers, repeat=repeat, save=save)


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
