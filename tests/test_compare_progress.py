"""The line that shows how far a measurement is: what it says, where it appears, and that it goes."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import compare_tasks
import pytest

from lightwork.comparison.progress import PATIENCE, ProgressLine, Step

CLEARED = "\r\x1b[K"

# What a program needs to have a terminal of its own: Ctrl-C typed there interrupts it.
ON_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "lightwork", *sys.argv[1:]])
"""


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Two ends: what is typed and seen, what a program has."""
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


def read(fd: int) -> str:
    return os.read(fd, 100_000).decode()


@pytest.mark.parametrize(
    ("step", "elapsed", "text"),
    [
        (Step("first call, serially"), 3.0, "first call, serially"),
        (Step("serial", 0, 5), 3.0, "serial, 0 of 5 rounds done"),
        (Step("threads x 2", 1, 5, 14.6), 2.4, "threads x 2, 1 of 5 rounds done, about 12 s left"),
        (Step("threads x 2", 1, 5, 600.0), 0.0, "threads x 2, 1 of 5 rounds done, about 10 min left"),
        (Step("threads x 2", 1, 5, 36_000.0), 0.0, "threads x 2, 1 of 5 rounds done, about 10 h left"),
        (Step("serial", 4, 5, 2.0), 5.0, "serial, 4 of 5 rounds done, nearly done"),
    ],
)
def test_what_the_line_says(step: Step, elapsed: float, text: str) -> None:
    assert step.text(elapsed) == text


def test_a_long_measurement_is_shown_followed_and_cleared(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    threads = threading.active_count()
    show = ProgressLine(theirs, 40).steps("table 1 of 2: ")
    show(Step("threads x 2", 1, 5, 3 * PATIENCE))
    assert read(ours) == f"{CLEARED}table 1 of 2: threads x 2, 1 of 5 round"
    assert read(ours).startswith(CLEARED)  # the clock's: nobody else writes
    show(Step("starting threads x 2", makes_pool=True))
    assert read(ours).endswith(f"{CLEARED}table 1 of 2: starting threads x 2")
    assert threading.active_count() == threads
    show(None)
    assert read(ours) == CLEARED


def test_what_is_over_soon_is_not_shown(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    threads = threading.active_count()
    show = ProgressLine(theirs, 80).steps()
    show(Step("serial", 0, 5, PATIENCE / 2))
    show(None)
    os.write(theirs, b"end")
    assert read(ours) == "end"
    assert threading.active_count() == threads


def test_without_a_terminal_nothing_is_begun() -> None:
    threads = threading.active_count()
    ProgressLine(None, 80).steps()(Step("serial", 0, 5, 100.0))
    assert threading.active_count() == threads


def test_the_command_shows_it_on_a_terminal_only(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    target = f"{compare_tasks.__file__}:pause"
    command = [sys.executable, "-m", "lightwork", "compare", target, "--items", "range(300)", "--repeat", "1"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, text=True, timeout=100, check=False)
    shown = read(ours)
    assert done.returncode == 0
    assert "threads x 2, 0 of 1 rounds done, about " in shown
    assert shown.endswith(CLEARED)
    assert "rounds done" not in done.stdout


BLOCKED = """
import threading

rounds = 0

def in_third_round(x):
    global rounds
    rounds += 1
    if rounds > 3:  # one is the first call
        threading.Event().wait()
"""


def test_ctrl_c_on_a_terminal_clears_the_line_and_leaves_the_table(terminal: tuple[int, int], tmp_path: Path) -> None:
    ours, theirs = terminal
    (tmp_path / "blocked.py").write_text(BLOCKED)
    args = ["compare", "blocked.py:in_third_round", "--items", "[1]", "--backends", "serial"]
    command = [sys.executable, "-c", ON_TERMINAL, *args]
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment
    ) as program:
        shown = ""
        try:
            while "2 of 5 rounds done" not in shown:
                shown += read(ours)
            os.write(ours, b"\x03")
            assert program.wait(timeout=30) == 130
        except BaseException:
            program.kill()
            raise
    after = read(ours).rpartition(CLEARED)[2]
    assert "blocked.py:in_third_round, once in each way, 2 rounds of 5\r\n" in after
    assert after.endswith("compare: interrupted, 2 full rounds to show\r\n")
    assert "Traceback" not in after
    assert "\x1b" not in after  # NO_COLOR
