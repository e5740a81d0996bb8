"""Every program of the tutorial prints what the tutorial shows, in its Python 3 form.

`original/` holds the programs as the tutorial has them, run by `python -m lightwork run`; `lightwork/` the same with
`import lightwork as mp` and the start method as their argument, run under each.
"""

import multiprocessing
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from programs.launch import Ended, launch

HERE = Path(__file__).parent
SECONDS = 60.0
WAYS = ("fork", "spawn", "forkserver", "run")

SQUARES = "[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]\n"
MILLION = 499999666667166666000000  # the tutorial's sum, twice, for range(1000000)
TYPE_CODES = """\
b 8 [8, 9] True True
B 8 [8, 9] True True
u '8' ['8', '9'] True True
h 8 [8, 9] True True
H 8 [8, 9] True True
i 8 [8, 9] True True
I 8 [8, 9] True True
l 8 [8, 9] True True
L 8 [8, 9] True True
q 8 [8, 9] True True
Q 8 [8, 9] True True
f 8.0 [8.0, 9.0] True True
d 8.0 [8.0, 9.0] True True
"""
OUTPUT = {
    "s2_thread_and_process": "aaaaa\naaaaa\n",
    "s2_process": "aaaaa\n",
    "s3_queue": "499667166000\n",
    "s5_pool_map": SQUARES,
    "s5_pool_processes": SQUARES,
    "s5_apply_async": SQUARES + "4\n",
    "s5_pool": SQUARES + "4\n" + SQUARES,
    "s6_value_and_array": "0 3.14\n[1, 2, 3, 4]\n",
    "s6_type_codes": TYPE_CODES,
}
TYPE_ERRORS = {  # what is printed before it, and how the last line begins
    "s5_apply_async_three_values": (
        "apply_async() returned\n",
        "TypeError: job() takes 1 positional argument but 3 were given",
    ),
    "s6_array_two_dimensional": ("", "TypeError: 'list' object cannot be interpreted as an integer"),
}
LOCKED = ("1 2 3 4 5 8 11 14 17 20", "3 6 9 12 15 16 17 18 19 20")  # either process may come first
UNGUARDED = "s2_thread_and_process"  # the tutorial has it without; only the copy under lightwork/ has the guard
DEFAULT_METHOD = multiprocessing.get_all_start_methods()[0]

Run = Callable[..., Ended]


@pytest.fixture(params=WAYS)
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a program of the tutorial by name, in one of the four ways."""
    way: str = request.param

    def run_program(name: str, **environment: str) -> Ended:
        if way == "run":
            if name == UNGUARDED and DEFAULT_METHOD != "fork":
                pytest.skip(f"written without `if __name__ == '__main__'`, which {DEFAULT_METHOD} needs")
            command = ["-m", "lightwork", "run", str(HERE / "original" / f"{name}.py")]
        else:
            command = [str(HERE / "lightwork" / f"{name}.py"), way]
        return launch([sys.executable, *command], SECONDS, **environment)

    return run_program


@pytest.mark.parametrize("name", OUTPUT)
def test_prints_what_the_tutorial_shows(run: Run, name: str) -> None:
    ended = run(name)
    shown = {OUTPUT[name]}
    if name == "s2_thread_and_process":
        # A fork copies what the thread has printed into a buffer since the last flush: then both write it.
        shown.add(OUTPUT[name] + "aaaaa\n")
    assert (ended.code, ended.err) == (0, "") and ended.out in shown, str(ended)


def test_the_three_sums_agree(run: Run) -> None:
    ended = run("s4_compare")
    assert ended.code == 0, str(ended)
    times = r" time: \d+\.\d+(e-\d+)?\n"
    expected = "".join(rf"{way}: {MILLION}\n{way}{times}" for way in ("normal", "multithread", "multicore"))
    assert re.fullmatch(expected, ended.out), str(ended)


@pytest.mark.parametrize("name", TYPE_ERRORS)
def test_type_errors(run: Run, name: str) -> None:
    printed, last_line = TYPE_ERRORS[name]
    ended = run(name)
    assert (ended.code, ended.out) == (1, printed), str(ended)
    assert ended.err.rstrip().rpartition("\n")[2].startswith(last_line), str(ended)


def test_with_the_lock_one_process_comes_after_the_other(run: Run) -> None:
    ended = run("s7_lock", PYTHONUNBUFFERED="1")  # or each process would print only at its end
    assert ended.code == 0, str(ended)
    assert " ".join(ended.out.split()) in LOCKED, str(ended)


def test_without_the_lock_additions_may_be_lost(run: Run) -> None:
    """`v.value += num` reads, adds and writes. Another process may write in between; that addition is then lost.

    So the ten additions come to 20 if none is lost, else to less; what each process prints is as uncertain.
    """
    ended = run("s7_without_lock")
    assert ended.code == 0, str(ended)
    match = re.fullmatch(r"(\d{10,20})\nfinal: (\d+)\n", ended.out)
    assert match, str(ended)
    assert 0 < int(match[2]) <= 20, str(ended)


def test_both_sets_hold_the_same_programs() -> None:
    original, ours = ({path.stem for path in (HERE / way).glob("*.py")} for way in ("original", "lightwork"))
    checked = {*OUTPUT, *TYPE_ERRORS, "s4_compare", "s7_lock", "s7_without_lock"}
    assert original == ours == checked
