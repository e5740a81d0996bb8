"""Known defects of the standard library's multiprocessing, each a program under programs/defects/ that we must pass.

A program takes the start method as its argument and ends with 0 if it sees the good outcome, else with a sentence.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from programs.launch import launch

DEFECTS = Path(__file__).parent / "programs" / "defects"
METHODS = ("fork", "spawn", "forkserver")
SECONDS = 30.0

PROGRAMS = sorted(path.stem for path in DEFECTS.glob("[!_]*.py"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_defect(name: str, method: str) -> None:
    ended = launch([sys.executable, str(DEFECTS / f"{name}.py"), method], SECONDS)
    assert ended.code == 0, str(ended)
