"""Runs tests of one class in a fresh interpreter and appends what happens, one JSON object a line, to a file.

    python -X faulthandler worker.py '{"work": ..., "module": ..., "class": ..., "tests": [...], "events": ...}'

Without "class" it only lists the classes. Events: `classes`, `start` (a test), `test` with `outcome`, `text` and
`seconds`, `fixture` with `outcome` and `text`, `end`. Only the interpreter's own process writes, never a child that a
test started.
"""

import faulthandler
import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
import unittest
from types import ModuleType, TracebackType
from typing import Any

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
TEXT_LIMIT = 4000


class Events:
    """The file; each write is one line, so that a death between two of them leaves only whole ones."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._pid = os.getpid()

    def write(self, **event: object) -> None:
        if os.getpid() == self._pid:
            os.write(self._fd, json.dumps(event).encode() + b"\n")


class Recorder(unittest.TestResult):
    """Writes one outcome per test: the first that is not a pass (a test may have several through subtests)."""

    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events
        self._outcome = ("pass", "")
        self._began = 0.0

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._outcome = ("pass", "")
        self._began = time.monotonic()
        self._events.write(start=name_of(test))

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        what, text = self._outcome
        if what in ("fail", "error"):
            gc.collect()  # a pool in a cycle with the traceback would live on, and module fixtures wait for processes
        seconds = round(time.monotonic() - self._began, 3)
        self._events.write(test=name_of(test), outcome=what, text=text, seconds=seconds)

    def _settle(self, test: Any, outcome: str, text: str) -> None:
        if not isinstance(test, unittest.TestCase):  # setUpClass, tearDownModule, ...
            self._events.write(fixture=str(test.id()), outcome=outcome, text=text)
        elif self._outcome[0] == "pass":
            self._outcome = (outcome, text)

    def addFailure(self, test: unittest.TestCase, err: ExcInfo) -> None:
        self._settle(test, "fail", as_text(err))

    def addError(self, test: unittest.TestCase, err: ExcInfo) -> None:
        self._settle(test, "error", as_text(err))

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._settle(test, "skip", reason)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._settle(test, "fail", "unexpected success")

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: ExcInfo | None) -> None:
        if err is not None:
            self._settle(test, "fail", f"{subtest}\n{as_text(err)}")


def name_of(test: unittest.TestCase) -> str:
    return test.id().rpartition(".")[2]


def as_text(err: ExcInfo) -> str:
    return "".join(traceback.format_exception(*err))[-TEXT_LIMIT:]


def list_classes(module: ModuleType) -> dict[str, list[str]]:
    loader = unittest.TestLoader()
    classes = {
        name: list(loader.getTestCaseNames(value))
        for name, value in sorted(vars(module).items())
        if isinstance(value, type) and issubclass(value, unittest.TestCase)
    }
    return {name: tests for name, tests in classes.items() if tests}


def main() -> None:
    job = json.loads(sys.argv[1])
    sys.path.insert(0, job["work"])
    # SIGUSR2: every stack to the log, then die of it. The tests use SIGUSR1 and SIGINT themselves.
    faulthandler.register(signal.SIGUSR2, all_threads=True, chain=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored if we were started in the background
    events = Events(job["events"])
    module = importlib.import_module(job["module"])
    if job.get("class"):
        case = getattr(module, job["class"])
        unittest.TestSuite([case(name) for name in job["tests"]]).run(Recorder(events))
    else:
        events.write(classes=list_classes(module))
    events.write(end=True)


if __name__ == "__main__":
    main()
