"""`lightwork compare` and `lightwork.compare`: what they measure and show, and how they end when they cannot go on."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import compare_tasks
import pytest
from conftest import wait_until
from rich.console import Console

import lightwork as mp
from lightwork.comparison.job import job

TASKS = Path(compare_tasks.__file__)


def compare(*args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lightwork", "compare", *args]
    environment = {**os.environ, **env}
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=100, check=False)


def task(name: str) -> str:
    return f"{TASKS}:{name}"


def rows(text: str) -> list[list[str]]:
    """The rows of the table, without the mark of the best."""
    return [[cell for cell in line.split() if cell != "*"] for line in text.splitlines() if line.endswith("%")]


# The command ---------------------------------------------------------------------------------------------------------


def test_the_tutorials_job() -> None:
    assert 2 * job(1000) == 499667166000  # as the tutorial prints it
    done = compare("-n", "1000", "--repeat", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("res += i + i**2 + i**3 for i < 1,000, twice in each way, 2 rounds\n")
    assert [row[:2] for row in rows(done.stdout)] == [["serial", "1"], ["threads", "2"], ["processes", "2"]]
    assert rows(done.stdout)[0][-2:] == ["1.00x", "100%"]
    assert "all results agree" in done.stdout


def test_output_is_plain_and_fits_80_columns_when_not_a_terminal() -> None:
    done = compare("-n", "1e3,1e4", "--repeat", "1", "--workers", "1,2,16")
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(("n", "workers"), [("0", "1"), ("1", "1"), ("7", "3"), ("1_0", "3,1")])
def test_small_and_odd_sizes(n: str, workers: str) -> None:
    done = compare("-n", n, "--workers", workers, "--repeat", "1")
    assert done.returncode == 0, done.stderr
    assert "all results agree" in done.stdout


@pytest.mark.parametrize(
    ("args", "items"),
    [
        (["--items", "NUMBERS + [4]"], 4),
        (["--items", "range(n)", "--scale", "6"], 6),
        (["--items", "(i / 2 for i in range(int(n)))", "--scale", "5.5"], 5),
        (["--args", "len(NUMBERS),", "--workers", "1,3"], 3),
        (["--args", "7", "--workers", "2"], 2),
        (["--scale", "9", "--workers", "2"], 2),
    ],
)
def test_a_target_and_what_it_is_called_with(tmp_path: Path, args: list[str], items: int) -> None:
    path = tmp_path / "figures.json"
    done = compare(task("cube"), *args, "--repeat", "1", "--json", str(path))
    assert done.returncode == 0, done.stderr
    (figures,) = json.loads(path.read_text())
    assert figures["items"] == items
    assert figures["agree"]


def test_arguments_of_one_call_are_several() -> None:
    done = compare(task("power"), "--args", "(2, 5)", "--repeat", "1")
    assert done.returncode == 0, done.stderr


def test_a_target_in_a_package_of_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "packaged").mkdir()
    (tmp_path / "packaged" / "__init__.py").touch()
    (tmp_path / "packaged" / "work.py").write_text("class Work:\n    @staticmethod\n    def do(x): return x\n")
    done = compare("packaged.work:Work.do", "--items", "[1, 2]", "--repeat", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_backends_and_workers_are_chosen(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    done = compare(
        *("-n", "10", "--repeat", "1"), *("--backends", "threads"), *("--workers", "1,2"), *("--json", str(path))
    )
    assert done.returncode == 0, done.stderr
    (figures,) = json.loads(path.read_text())
    assert [way["way"] for way in figures["ways"]] == ["serial", "threads x 1", "threads x 2"]


def test_json_holds_every_round_of_every_scale(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    done = compare("-n", "100,200", "--repeat", "3", "--json", str(path))
    assert done.returncode == 0, done.stderr
    small, large = json.loads(path.read_text())
    assert "i < 100" in small["title"]
    assert "i < 200" in large["title"]
    assert small["best"] in {"serial", "threads x 2", "processes x 2"}
    for way in small["ways"]:
        assert len(way["seconds"]) == len(way["cpu_seconds"]) == len(way["queued_seconds"]) == 3
        assert way["median"] == sorted(way["seconds"])[1]
        assert way["efficiency"] == pytest.approx(way["speed_up"] / way["workers"])


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["cube"], "'cube' names no function: write package.module:function or path/to/file.py:function"),
        (["no_such_module:f"], "there is no module 'no_such_module'"),
        (["os.no_such:f"], "there is no module 'os.no_such'"),
        (["no_such_file.py:f"], "there is no file 'no_such_file.py'"),
        (["os.py:loads"], "there is another module of the name 'os'"),
        (["broken.py:f"], "cannot import broken: ZeroDivisionError: division by zero"),
        (["os:no_such"], "there is no 'no_such' in os"),
        (["fine.py:no_such"], "there is no 'no_such' in fine.py; it has f"),
        (["os:sep"], "os:sep is a str, which cannot be called"),
        (["fine.py:f"], "what is fine.py:f to be called with? Give --items, --args or --scale"),
        (["fine.py:f", "--items", "range(n)"], "NameError: name 'n' is not defined; --scale gives n a value"),
        (["fine.py:f", "--items", "1 +"], "cannot evaluate '1 +': SyntaxError"),
        (["fine.py:f", "--items", "5"], "cannot take items from '5': TypeError: 'int' object is not iterable"),
        (["fine.py:f", "--items", "(1 / x for x in [0])"], "ZeroDivisionError: division by zero"),
        (["fine.py:f", "--items", "exit(3)"], "cannot evaluate 'exit(3)': SystemExit: 3"),
        (["leaves.py:f"], "cannot import leaves: SystemExit: 3"),
        (["fine.py:f", "--args", "1", "--workers", "1_000_000_000_000"], "workers has to be at most 1,000, not 1,000,"),
        (["fine.py:f", "--items", "[]"], "there is nothing to compare: items is empty"),
        (["fine.py:f", "--items", "[1]", "--args", "1"], "give --items or --args, not both"),
        (["--items", "[1]"], "--items and --args are for a TARGET"),
        (["--plot", "chart.gif"], "cannot draw 'chart.gif': its ending has to be one of .svg, .html, .png"),
    ],
)
def test_bad_targets_are_one_sentence(tmp_path: Path, args: list[str], sentence: str) -> None:
    (tmp_path / "fine.py").write_text("def f(x): return x\n")
    (tmp_path / "os.py").write_text("def loads(x): return x\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    done = compare(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("compare: ")
    assert sentence in line


def test_a_file_that_cannot_be_written_is_one_sentence() -> None:
    done = compare("-n", "1", "--repeat", "1", "--json", "/proc/figures.json")
    assert done.returncode != 0
    assert "/proc/figures.json" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_function_that_raises_is_shown_and_named() -> None:
    done = compare(task("fail"), "--items", "[1]")
    assert done.returncode == 1
    first, place, *_, last = done.stderr.splitlines()
    assert first == "Traceback (most recent call last):"
    assert place.endswith(", in fail")  # no frame of ours above it
    assert last == "compare: fail raised ValueError: on purpose"


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("power", "compare: power raised TypeError: power() missing 1 required positional argument: 'y'"),
        ("leave", "compare: leave raised SystemExit: 3"),
    ],
)
def test_a_function_that_cannot_be_called_or_leaves_is_one_sentence(target: str, sentence: str) -> None:
    done = compare(task(target), "--items", "[1]")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == sentence
    assert "comparison" not in done.stderr


def test_a_function_that_raises_in_a_worker_shows_the_workers_traceback() -> None:
    done = compare(task("fail_later_elsewhere"), "--items", "[1]", "--workers", "1", "--backends", "processes")
    assert done.returncode == 1
    assert ", in fail_later_elsewhere" in done.stderr
    assert done.stderr.splitlines()[-1] == "compare: fail_later_elsewhere raised ValueError: on purpose"


@pytest.mark.parametrize(
    ("name", "words"),
    [("cube", "all results agree"), ("lock", "results cannot be compared"), ("pid", "NOT all results agree")],
)
def test_the_table_says_whether_results_agree(name: str, words: str) -> None:
    backend = "threads" if name == "lock" else "processes"
    done = compare(task(name), "--items", "[1]", "--repeat", "1", "--backends", backend)
    assert f"its pool; {words}\n" in done.stdout
    assert done.returncode == (name == "pid")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("lock", "! processes left out: MaybeEncodingError: "),
        ("die_elsewhere", "! processes left out: WorkerDied: "),
        ("pid", "! processes x 2: result 0 is "),
    ],
)
def test_what_a_way_cannot_do_is_told_and_fails(name: str, sentence: str) -> None:
    done = compare(task(name), "--items", "[1, 2, 3]", "--repeat", "1", "--workers", "2")
    assert done.returncode == 1
    assert sentence in done.stdout
    assert [row[0] for row in rows(done.stdout)][:2] == ["serial", "threads"]


@pytest.mark.parametrize("method", mp.get_all_start_methods())
def test_every_start_method(tmp_path: Path, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import lightwork as mp\n"
        "def cube(x): return x**3\n"
        'if __name__ == "__main__":\n'
        f"    mp.set_start_method({method!r})\n"
        "    print(mp.compare(cube, range(10), repeat=1))\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in rows(done.stdout)] == ["serial", "threads", "processes"]
    assert "all results agree" in done.stdout


# From code -----------------------------------------------------------------------------------------------------------


def test_compare_from_code() -> None:
    comparison = mp.compare(compare_tasks.power, [(2, 3), (3, 2)], star=True, workers=[1, 2], repeat=2)
    assert comparison.agree
    assert comparison.name == "power"
    assert comparison.items == 2
    assert [timing.way for timing in comparison.timings] == [
        *("serial", "threads x 1", "threads x 2"),
        *("processes x 1", "processes x 2"),
    ]
    assert comparison.best in comparison.timings
    assert all(timing.start > 0 for timing in comparison.timings[1:])
    assert json.loads(json.dumps(comparison.to_dict()))["rounds"] == 2
    assert comparison.verdict in " ".join(str(comparison).split())


def test_waiting_is_seen_and_threads_share_it() -> None:
    comparison = mp.compare(compare_tasks.pause, range(20), workers=4, repeat=3)
    assert comparison.serial.demand < 0.5
    assert comparison.best.backend == "threads"
    assert "more workers than processors pay: try --workers 16." in comparison.verdict


def test_an_item_that_takes_most_of_the_time_is_found() -> None:
    comparison = mp.compare(compare_tasks.sleep, [0.27, 0.03, 0.03, 0.03], workers=4, repeat=1)
    assert comparison.longest == pytest.approx(0.75, abs=0.05)
    assert "One of the 4 items takes" in comparison.verdict
    assert comparison.to_dict()["longest_call"] == comparison.longest


def test_even_work_is_not_looked_at_call_by_call() -> None:
    assert mp.compare(compare_tasks.sleep, [0.1] * 4, workers=2, repeat=1).longest is None


def test_processor_time_of_workers_is_counted() -> None:
    comparison = mp.compare(compare_tasks.total, [200_000] * 4, workers=2, repeat=2)
    serial, threads, processes = (min(timing.cpu) for timing in comparison.timings)
    assert processes > serial / 2
    assert threads > serial / 2


def test_an_unfit_lambda_is_no_trouble() -> None:
    assert mp.compare(lambda x: x + 1, [1, 2, 3], repeat=1, workers=1).agree


def test_an_exhausted_iterator_and_an_array_are_items() -> None:
    assert mp.compare(compare_tasks.cube, iter([1, 2, 3]), repeat=2).items == 3
    numpy = pytest.importorskip("numpy")
    assert mp.compare(numpy.sum, numpy.ones((4, 3)), repeat=1).agree


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"workers": 0}, ValueError, "workers has to be at least 1, not 0"),
        ({"workers": 1001}, ValueError, "workers has to be at most 1,000, not 1,001"),
        ({"workers": []}, ValueError, "workers has to be at least 1"),
        ({"repeat": 0}, ValueError, "repeat has to be at least 1, not 0"),
        ({"backends": ["fibres"]}, ValueError, "cannot find backend 'fibres'"),
        ({"items": []}, ValueError, "items is empty"),
        ({"items": 3}, TypeError, "not iterable"),
        ({"func": "cube"}, TypeError, "func has to be callable, not 'cube'"),
    ],
)
def test_bad_arguments_raise(options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        mp.compare(**{"func": compare_tasks.cube, "items": [1], **options})


def test_what_the_function_raises_comes_out() -> None:
    with pytest.raises(ValueError, match="on purpose"):
        mp.compare(compare_tasks.fail, [1])


def test_importing_lightwork_imports_neither_rich_nor_this() -> None:
    names = "'rich', 'lightwork.comparison', 'lightwork.pool'"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, lightwork; print([n for n in ({names}) if n in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "[]\n"


# How it looks --------------------------------------------------------------------------------------------------------


def test_terminal_view_fits_and_marks_the_best_way() -> None:
    comparison = mp.compare(compare_tasks.cube, range(10), repeat=1)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=80)
    with console.capture() as shown:
        console.print(comparison)
    marked = [line for line in shown.get().splitlines() if "\x1b[1;32m" in line]
    assert [f"{comparison.best.backend} *" in line for line in marked] == [True]
    with console.capture() as table:
        console.print(comparison.table)
    assert all(way in table.get() for way in ("serial", "threads", "processes"))


def test_a_png_needs_matplotlib_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError\n")
    args = ["-n", "10", "--repeat", "1", "--plot", str(tmp_path / "chart.png")]
    done = compare(*args, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == (
        "compare: a .png chart needs matplotlib (pip install matplotlib); .svg and .html do without\n"
    )


def test_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "chart.png"
    done = compare("-n", "10,20", "--repeat", "1", "--plot", str(path))
    assert done.returncode == 0, done.stderr
    assert path.read_bytes().startswith(b"\x89PNG")


# Ctrl-C --------------------------------------------------------------------------------------------------------------

# Calls that block for ever in some ways, or from some round on; each says that it is there.
BLOCKED = """
import threading
from multiprocessing import parent_process

rounds = 0

def on_thread(x):
    if threading.current_thread() is not threading.main_thread():
        wait()

def on_process(x):
    if parent_process() is not None:
        wait()

def in_third_round(x):
    global rounds
    rounds += 1
    if rounds > 3:  # one is the warm-up
        wait()

def wait():
    print("there", flush=True)
    threading.Event().wait()
"""


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def interrupt(args: list[str], cwd: Path) -> tuple[int, str, str, float]:
    """Run the command until a call says that it is there, press Ctrl-C; return exit code, what was printed to stdout
    and stderr, and the seconds it took to end."""
    command = [sys.executable, "-m", "lightwork", "compare", *args]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=cwd
    ) as program:
        assert program.stdout is not None
        try:
            assert program.stdout.readline() == "there\n"
            start = time.monotonic()
            os.killpg(program.pid, signal.SIGINT)
            # Ends when the last holder of the pipes, child or parent, has ended.
            stdout, stderr = program.communicate(timeout=30)
            took = time.monotonic() - start
        except BaseException:
            os.killpg(program.pid, signal.SIGKILL)
            raise
    assert wait_until(lambda: not is_there(program.pid))  # a forkserver ends when nobody has it any more
    return program.returncode, stdout, stderr, took


@pytest.mark.parametrize("target", ["on_thread", "on_process"])
def test_interrupt_ends_workers_promptly_and_without_a_word(tmp_path: Path, target: str) -> None:
    (tmp_path / "blocked.py").write_text(BLOCKED)
    code, _, stderr, took = interrupt([f"blocked.py:{target}", "--items", "[1]", "--workers", "1"], tmp_path)
    assert code == 130
    assert stderr == "compare: interrupted, nothing to show\n"
    assert took < 5


def test_interrupt_leaves_the_table_of_full_rounds(tmp_path: Path) -> None:
    (tmp_path / "blocked.py").write_text(BLOCKED)
    args = ["blocked.py:in_third_round", "--items", "[1]", "--backends", "serial", "--json", "figures.json"]
    code, stdout, stderr, _ = interrupt(args, tmp_path)
    assert code == 130
    assert stdout.startswith("blocked.py:in_third_round, once in each way, 2 rounds of 5\n")
    assert stderr == "compare: interrupted, 2 full rounds to show\n"
    assert len(json.loads((tmp_path / "figures.json").read_text())[0]["ways"][0]["seconds"]) == 2
