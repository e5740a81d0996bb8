"""The runner itself, on a made-up suite: hangs, crashes, failing fixtures and processes left behind."""

import argparse
import asyncio
import sys
from pathlib import Path
from textwrap import dedent

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import expectations
from expectations import PYTHON, Entry
from rewrite import SUITE, build, rewrite
from run_suite import conclude
from watch import ClassReport, Outcome, Runner

MADE_UP = """
    import multiprocessing, os, signal, subprocess, time, unittest

    class Mixed(unittest.TestCase):
        def test_a_passes(self): self.assertEqual(multiprocessing.get_start_method(), METHOD)
        def test_b_fails(self): self.fail("on purpose")
        def test_c_hangs(self): time.sleep(600)  # what the runner has to end
        def test_d_passes(self): pass
        def test_e_crashes(self): os.kill(os.getpid(), signal.SIGKILL)
        def test_f_skips(self): self.skipTest("no reason")
        def test_g_fails_in_a_subtest(self):
            with self.subTest(1): self.fail("one")
            with self.subTest(2): pass
        @unittest.expectedFailure
        def test_h_passes_unexpectedly(self): pass

    class NoSetUp(unittest.TestCase):
        @classmethod
        def setUpClass(cls): raise OSError("no set-up")
        def test_a(self): pass
        def test_b(self): pass

    class HangsInSetUp(unittest.TestCase):
        @classmethod
        def setUpClass(cls): time.sleep(600)  # the same
        def test_a(self): pass
        def test_b(self): pass

    class HangsAtItsEnd(unittest.TestCase):
        @classmethod
        def tearDownClass(cls): time.sleep(600)  # the same
        def test_a(self): pass

    class LeavesAProcess(unittest.TestCase):
        def test_a(self): subprocess.Popen(["sleep", "600"])

    def install_tests_in_module_dict(names, method):
        global METHOD
        METHOD = method
        multiprocessing.set_start_method(method)
        for name, value in list(globals().items()):
            if isinstance(value, type):
                value.__module__ = names["__name__"]
                names[name] = value
"""


def run(tmp_path: Path, name: str) -> ClassReport:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "_test_multiprocessing.py").write_text(dedent(MADE_UP))
    work = tmp_path / "work"
    work.mkdir()
    build(tmp_path / "source", work, "multiprocessing", [str(work)])
    runner = Runner(work, f"{SUITE}.test_multiprocessing_spawn", timeout=2.0)

    async def both() -> ClassReport:
        return await runner.run_class(name, (await runner.classes())[name])

    return asyncio.run(both())


def whats(report: ClassReport) -> dict[str, str]:
    return {test: outcome.what for test, outcome in report.tests.items()}


def test_goes_on_after_a_hang_and_a_crash(tmp_path: Path) -> None:
    report = run(tmp_path, "Mixed")
    assert whats(report) == {
        "test_a_passes": "pass",
        "test_b_fails": "fail",
        "test_c_hangs": "HANG",
        "test_d_passes": "pass",
        "test_e_crashes": "CRASH",
        "test_f_skips": "skip",
        "test_g_fails_in_a_subtest": "fail",
        "test_h_passes_unexpectedly": "fail",
    }
    assert "on purpose" in report.tests["test_b_fails"].text
    assert "in test_c_hangs" in report.tests["test_c_hangs"].text, "the stacks of a hung test must be shown"
    assert report.left == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NoSetUp", {"test_a": "error", "test_b": "error"}),
        ("HangsInSetUp", {"test_a": "HANG", "test_b": "HANG"}),
        ("HangsAtItsEnd", {"test_a": "pass", "(after the last test)": "HANG"}),
    ],
)
def test_fixtures(tmp_path: Path, name: str, expected: dict[str, str]) -> None:
    assert whats(run(tmp_path, name)) == expected


def test_counts_and_ends_what_a_test_left_behind(tmp_path: Path) -> None:
    report = run(tmp_path, "LeavesAProcess")
    assert whats(report) == {"test_a": "pass"}
    assert report.left == 1


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import multiprocessing.pool as p", "import mine.pool as p"),
        ("x = multiprocessing.Lock()", "x = mine.Lock()"),
        ("x = _multiprocessing", "x = _multiprocessing"),
        ("x = 'multiprocessing.shared_memory'", "x = 'mine.shared_memory'"),
        ("x = '''from multiprocessing import Pool'''", "x = '''from mine import Pool'''"),
        ("x = '''assert \"multiprocessing\" in y'''", "x = '''assert \"mine\" in y'''"),
        ("x = 'unclosed running multiprocessing pool'", "x = 'unclosed running multiprocessing pool'"),
        ("x = f'{multiprocessing.Lock()} {{y}}'", "x = f'{mine.Lock()} {{y}}'"),
        ("x = 'test.mp_preload', 'test.support'", f"x = '{SUITE}.mp_preload', 'test.support'"),
        ("from concurrent import futures", f"from {SUITE} import futures"),
        ("from concurrent.futures.process import x", "from concurrent.futures.process import x"),
        (
            "x = '''from concurrent.futures import X'''",
            "x = " + repr(f"__import__('sys').path[:0] = []\nfrom {SUITE}.futures import X"),
        ),
    ],
)
def test_rewriting(source: str, expected: str) -> None:
    assert rewrite(source, "mine", []) == expected


@pytest.mark.parametrize(("what", "hangs", "code"), [("HANG", True, 0), ("HANG", False, 1), ("CRASH", True, 1)])
def test_a_hang_may_be_listed(monkeypatch: pytest.MonkeyPatch, what: str, hangs: bool, code: int) -> None:
    monkeypatch.setattr(expectations, "differences", lambda: [Entry(("A.test",), "a reason", hangs=hangs)])
    report = ClassReport("A", {"test": Outcome(what)})
    assert conclude([report], argparse.Namespace(method="fork", json=None)) == code


def test_entries_cover_by_pattern_method_and_version() -> None:
    entry = Entry(("With*TestQueue.test_x*",), "a reason", methods=("spawn",), pythons=(PYTHON, "4.0"))
    assert entry.covers("WithProcessesTestQueue.test_xyz", "spawn")
    assert not entry.covers("WithProcessesTestQueue.test_xyz", "fork")
    assert not entry.covers("WithProcessesTestQueue.test_y", "spawn")
    assert not Entry(("*",), "a reason", pythons=("4.0",)).covers("A.b", "fork")
