"""A part of CPython's own suite that ends within minutes: primitives, pool and executor, under each start method.

All of it: `python tests/stdlib/run_suite.py`. Each class is a test here; a suite's classes for a start method run
together, once.
"""

import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from rewrite import METHODS, find_suite

RUN_SUITE = Path(__file__).with_name("run_suite.py")
PRIMITIVES = ("Lock", "Semaphore", "Condition", "Event", "Barrier", "Queue", "Value", "Array", "SharedCTypes")
POOL = ("Pool", "PoolWorkerErrors", "PoolWorkerLifetime")
EXECUTOR = ("ProcessPoolExecutor", "ProcessPoolShutdown", "ExecutorDeadlock", "AsCompleted", "Initializer")
MULTIPROCESSING = {
    "fork": (
        *(f"WithProcessesTest{name}" for name in (*PRIMITIVES, *POOL, "Process", "SubclassingProcess", "Connection")),
        *(f"WithThreadsTest{name}" for name in ("Lock", "Semaphore", "Condition", "Event", "Barrier", "Queue", "Pool")),
        "TestSimpleQueue",
        "TestStartMethod",
        "MiscTestCase",
    ),
    "spawn": (*(f"WithProcessesTest{name}" for name in (*PRIMITIVES, "Process")), "TestSimpleQueue", "TestNoForkBomb"),
    "forkserver": (
        *(f"WithProcessesTest{name}" for name in (*PRIMITIVES, *POOL, "Process")),
        "TestSimpleQueue",
        "TestStartMethod",
    ),
}
CLASSES = {("multiprocessing", method): names for method, names in MULTIPROCESSING.items()} | {
    ("executor", method): tuple(f"ProcessPool{method.capitalize()}{name}Test" for name in EXECUTOR)
    for method in METHODS
}
RUN_SECONDS = 240


@cache
def outcomes(suite: str, method: str) -> dict[str, Any]:
    """What became of a suite's classes for a start method: one run, as it reports it."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, str(RUN_SUITE), *CLASSES[suite, method], "--suite", suite, "--method", method]
        command += ["--quick", "--jobs", "2", "--timeout", "30", "--json", file.name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS)
        assert done.returncode in (0, 1), f"the suite did not run:\n{done.stdout}\n{done.stderr}"
        result: dict[str, Any] = json.load(file)
    return result


@pytest.mark.timeout(RUN_SECONDS + 30)
@pytest.mark.parametrize(
    ("suite", "method", "name"), [(*key, name) for key, names in CLASSES.items() for name in names]
)
def test_class(suite: str, method: str, name: str) -> None:
    if find_suite(suite) is None:
        pytest.skip("this interpreter's distribution or version is without these tests of CPython's")
    classes = outcomes(suite, method)["classes"]
    assert name in classes, f"CPython's suite has no class {name}"
    report = classes[name]
    assert report["tests"], "no test ran"
    assert not report["unlisted"], "\n".join(report["unlisted"])
    assert report["left"] == 0, f"{report['left']} processes outlived the class"
