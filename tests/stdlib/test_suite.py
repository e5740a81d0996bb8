"""A part of CPython's own suite that ends within minutes: the primitives and the pool, under each start method.

All of it: `python tests/stdlib/run_suite.py`. Each class is a test here; a start method's classes run together, once.
"""

import json
import subprocess
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

RUN_SUITE = Path(__file__).with_name("run_suite.py")
PRIMITIVES = ("Lock", "Semaphore", "Condition", "Event", "Barrier", "Queue", "Value", "Array", "SharedCTypes")
POOL = ("Pool", "PoolWorkerErrors", "PoolWorkerLifetime")
CLASSES = {
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
RUN_SECONDS = 240


@cache
def outcomes(method: str) -> dict[str, Any]:
    """What became of a start method's classes: one run of the suite, as it reports it."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, str(RUN_SUITE), *CLASSES[method], "--method", method]
        command += ["--quick", "--jobs", "2", "--timeout", "30", "--json", file.name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS)
        assert done.returncode in (0, 1), f"the suite did not run:\n{done.stdout}\n{done.stderr}"
        result: dict[str, Any] = json.load(file)
    return result


def comes_with_tests() -> bool:
    return find_spec("test") is not None and find_spec("test._test_multiprocessing") is not None


@pytest.mark.skipif(not comes_with_tests(), reason="this interpreter's distribution leaves CPython's own tests out")
@pytest.mark.timeout(RUN_SECONDS + 30)
@pytest.mark.parametrize(("method", "name"), [(method, name) for method, names in CLASSES.items() for name in names])
def test_class(method: str, name: str) -> None:
    classes = outcomes(method)["classes"]
    assert name in classes, f"CPython's suite has no class {name}"
    report = classes[name]
    assert report["tests"], "no test ran"
    assert not report["unlisted"], "\n".join(report["unlisted"])
    assert report["left"] == 0, f"{report['left']} processes outlived the class"
