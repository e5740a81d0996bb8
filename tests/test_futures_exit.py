"""lightwork.futures: a program may end without shutting its executors down."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Program = Callable[[str], Path]

SLOW = """
import atexit, os, sys, time
late = lambda: None
atexit.register(lambda: late())  # before the package is imported: so it is called last
import lightwork as mp
from lightwork.futures import ProcessPoolExecutor

def slow(x):
    time.sleep(0.2)  # the main module has come to its end before the calls have
    print("did", x, flush=True)
    return x

if __name__ == "__main__":
    unused = ProcessPoolExecutor(1)
    executor = ProcessPoolExecutor(1, mp_context=mp.get_context(sys.argv[1]))
    for x in range(3):
        executor.submit(slow, x)
"""


@pytest.mark.parametrize("end", ["", "del executor", "sys.exit(0)", "executor.shutdown(wait=False)"])
def test_the_work_is_done_and_the_program_ends(run: Run, program: Program, method: str, end: str) -> None:
    begun = time.monotonic()
    done = run(program(f"{SLOW}    {end}\n"), method)
    assert (done.stdout, done.stderr) == ("did 0\ndid 1\ndid 2\n", "")
    assert time.monotonic() - begun < 30


def test_at_the_very_end_nothing_is_taken(run: Run, program: Program, method: str) -> None:
    text = """
    def late():
        for e in (executor, unused):
            try:
                e.submit(slow, 9)
            except RuntimeError as error:
                print(error)
"""
    done = run(program(SLOW + text), method)
    refusal = "cannot schedule new futures after interpreter shutdown\n"
    assert (done.stdout, done.stderr) == ("did 0\ndid 1\ndid 2\n" + refusal * 2, "")


def test_a_forked_child_leaves_the_executor_to_its_parent(run: Run, program: Program) -> None:
    text = """
    import multiprocessing.util
    executor.shutdown(wait=False)
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    else:
        multiprocessing.util._exiting = True  # the stdlib's own end is not made for a child that was merely forked
"""
    done = run("-W", "ignore", program(SLOW + text), "fork")
    assert sorted(done.stdout.splitlines()) == ["0", "did 0", "did 1", "did 2"]
    assert done.stderr == ""
