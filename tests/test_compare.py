"""`lightwork compare` and `lightwork.compare`: the figures, their check, and how it ends when it cannot go on."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from rich.console import Console

import lightwork as mp
from lightwork.compare import WAYS, Comparison, Timing, report, time_ways
from lightwork.compare.table import table, verdict
from lightwork.compare.ways import Target

N = 1000
TOTAL = 499667166000  # twice the sum for 1000, as the tutorial prints it


def compare(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lightwork", "compare", *args]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=100, check=False)


def script(tmp_path: Path, body: str) -> list[str]:
    """A program that compares a function of its own; the command that runs it."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(body))
    return [sys.executable, str(path)]


# The command ---------------------------------------------------------------------------------------------------------


def test_table_has_three_ways_and_the_tutorials_sum() -> None:
    done = compare("-n", str(N), "--repeat", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    rows = [line.split() for line in lines if line.endswith("%")]
    assert [row[0] for row in rows] == ["serial", "threads", "processes"]
    assert rows[0][2:] == ["1.00x", "100%"]
    assert f"All totals agree: {TOTAL}" in lines
    assert lines[-1].startswith("Fastest: ")
    assert done.stderr == ""


def test_output_is_plain_and_fits_80_columns_when_not_a_terminal() -> None:
    done = compare("-n", str(N), "--repeat", "1")
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(("n", "workers"), [(0, 1), (1, 1), (7, 3)])
def test_small_and_odd_sizes(n: int, workers: int) -> None:
    done = compare("-n", str(n), "--workers", str(workers), "--repeat", "1")
    assert done.returncode == 0, done.stderr
    assert f"All totals agree: {workers * sum(i + i**2 + i**3 for i in range(n))}\n" in done.stdout


def test_json_holds_every_round(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    done = compare("-n", str(N), "--repeat", "3", "--json", str(path))
    assert done.returncode == 0, done.stderr
    figures = json.loads(path.read_text())
    assert figures["args"] == [N]
    assert figures["total"] == TOTAL
    assert figures["agree"] is True
    assert figures["fastest"] in {"serial", "threads", "processes"}
    assert {way["way"]: way["workers"] for way in figures["ways"]} == {"serial": 1, "threads": 2, "processes": 2}
    for way in figures["ways"]:
        assert len(way["seconds"]) == 3
        assert way["median"] == sorted(way["seconds"])[1]
        assert way["efficiency"] == pytest.approx(way["speed_up"] / way["workers"])


def test_a_file_that_cannot_be_written_is_one_sentence() -> None:
    done = compare("-n", "1", "--repeat", "1", "--json", "/proc/figures.json")
    assert done.returncode != 0
    assert "/proc/figures.json" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


# The figures ---------------------------------------------------------------------------------------------------------


def comparison(*, totals: tuple[int, ...] = (5, 5, 5)) -> Comparison:
    return Comparison(
        (
            Timing("serial", 1, (9.0, 1.0, 2.0), (totals[0],) * 3),
            Timing("threads", 2, (2.0, 2.0, 2.5), (totals[1],) * 3),
            Timing("processes", 2, (1.0, 1.0, 8.0), (5, 5, totals[2])),
        )
    )


def test_medians_decide() -> None:
    serial, threads, processes = comparison().timings
    assert [timing.median for timing in (serial, threads, processes)] == [2.0, 2.0, 1.0]
    assert comparison().speed_up(processes) == 2.0
    assert comparison().efficiency(processes) == 1.0
    assert comparison().efficiency(threads) == 0.5
    assert comparison().fastest.way == "processes"
    assert verdict(comparison()) == "Fastest: processes, 2.00 times as fast as serial."


@pytest.mark.parametrize(("totals", "agree"), [((5, 5, 5), True), ((5, 6, 5), False), ((5, 5, 6), False)])
def test_one_different_round_is_a_disagreement(totals: tuple[int, ...], agree: bool) -> None:
    assert comparison(totals=totals).agree is agree


def test_terminal_table_fits_and_marks_the_best_way() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=80)
    with console.capture() as shown:
        console.print(table(comparison()))
    best = next(line for line in shown.get().splitlines() if "processes" in line)
    other = next(line for line in shown.get().splitlines() if "threads" in line)
    assert "\x1b[1;32m" in best
    assert "\x1b[1;32m" not in other
    with console.capture() as plain:
        console.print(table(comparison(), plain=True))
    assert plain.get().isascii()
    assert "\x1b" not in plain.get()


@pytest.mark.parametrize(("workers", "repeat"), [(0, 1), (1, 0)])
def test_bad_counts_raise(workers: int, repeat: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1, not 0"):
        time_ways(print, workers=workers, repeat=repeat)


# A function of one's own ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_every_start_method(tmp_path: Path, method: str) -> None:
    command = script(
        tmp_path,
        f"""
        import lightwork as mp
        from lightwork.compare import job, report

        if __name__ == "__main__":
            mp.set_start_method({method!r})
            raise SystemExit(report(job, ({N},), repeat=1))
        """,
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert f"All totals agree: {TOTAL}\n" in done.stdout


def test_totals_that_differ_are_said_and_fail(tmp_path: Path) -> None:
    command = script(
        tmp_path,
        """
        import os
        from lightwork.compare import report

        def whoami(q):
            q.put(os.getpid())

        if __name__ == "__main__":
            raise SystemExit(report(whoami, (), repeat=1))
        """,
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("compare: the totals differ, so the times mean nothing: serial ")
    assert len(done.stderr.splitlines()) == 1


def test_a_process_that_dies_is_an_error_not_a_hang(tmp_path: Path) -> None:
    command = script(
        tmp_path,
        """
        import os, signal
        from lightwork.compare import report

        MAIN = os.getpid()

        def die(q):
            if os.getpid() != MAIN:
                os.kill(os.getpid(), signal.SIGKILL)
            q.put(1)

        if __name__ == "__main__":
            raise SystemExit(report(die, (), repeat=1))
        """,
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("compare: ")
    assert "Traceback" not in done.stderr


def test_a_function_that_raises_on_a_thread_is_raised_here(tmp_path: Path) -> None:
    command = script(
        tmp_path,
        """
        import threading
        from lightwork.compare import time_ways

        def fail(q):
            if threading.current_thread() is not threading.main_thread():
                raise ZeroDivisionError("on purpose")
            q.put(1)

        if __name__ == "__main__":
            try:
                time_ways(fail)
            except ZeroDivisionError as error:
                print("caught:", error)
        """,
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout == "caught: on purpose\n"


# Ctrl-C --------------------------------------------------------------------------------------------------------------

# Each worker says that it is there and waits for ever; only the interrupt can end it.
BLOCKED = """
    import os, threading
    from lightwork.compare import report

    MAIN = os.getpid()

    def on_thread(q):
        q.put(0)
        if threading.current_thread() is not threading.main_thread():
            wait()

    def on_process(q):
        q.put(0)
        if os.getpid() != MAIN:
            wait()

    def wait():
        print("there", flush=True)
        threading.Event().wait()

    if __name__ == "__main__":
        raise SystemExit(report({target}, (), repeat=1, title="ready"))
"""


def interrupt(command: list[str], lines: int) -> tuple[int, str, float]:
    """Run `command`, wait for `lines` lines, press Ctrl-C; return exit code, stderr, and the seconds it took to end."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        assert program.stdout is not None
        try:
            for _ in range(lines):
                assert program.stdout.readline() != ""
            start = time.monotonic()
            os.killpg(program.pid, signal.SIGINT)
            # Ends when the last holder of the pipes, child or parent, has ended.
            _, stderr = program.communicate(timeout=30)
            took = time.monotonic() - start
        except BaseException:
            os.killpg(program.pid, signal.SIGKILL)
            raise
    with pytest.raises(ProcessLookupError):
        os.killpg(program.pid, 0)
    return program.returncode, stderr, took


@pytest.mark.parametrize("target", ["on_thread", "on_process"])
def test_interrupt_ends_workers_promptly_and_without_a_word(tmp_path: Path, target: str) -> None:
    command = script(tmp_path, BLOCKED.format(target=target))
    code, stderr, took = interrupt(command, lines=1 + 2)
    assert code == 130
    assert stderr == "compare: interrupted, nothing to show\n"
    assert took < 5


def test_interrupt_of_the_command() -> None:
    # The title is printed before the first round begins.
    code, stderr, took = interrupt([sys.executable, "-m", "lightwork", "compare", "-n", "1_000_000_000"], lines=1)
    assert code == 130
    assert stderr == "compare: interrupted, nothing to show\n"
    assert took < 5


@pytest.mark.parametrize("way", ["serial", "threads", "processes"])
def test_a_function_without_a_result_is_an_error_not_a_hang(way: str) -> None:
    with pytest.raises(mp.LightworkError, match=r"^returns put no result into the queue that it was given$"):
        WAYS[way](returns, (), 2)


def returns(q: object) -> int:
    return 7


def raises(q: object) -> None:
    raise ValueError("on purpose")


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (returns, "compare: returns put no result into the queue that it was given"),
        (raises, "compare: raises raised ValueError: on purpose"),
    ],
)
def test_report_says_what_is_wrong_with_the_function(
    capsys: pytest.CaptureFixture[str], target: Target, sentence: str
) -> None:
    assert report(target, (), repeat=1) == 1
    err = capsys.readouterr().err
    assert err.splitlines()[-1] == sentence
    assert ("in raises" in err) is (target is raises)
