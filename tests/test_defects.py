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

NEEDS_SUPERVISION = "needs the pool to supervise its workers; the plain pool does not yet"
LATER = {
    "pool_worker_killed": NEEDS_SUPERVISION,
    "pool_map_worker_killed": NEEDS_SUPERVISION,
    "pool_idle_worker_killed": NEEDS_SUPERVISION,
    "pool_initializer_raises": NEEDS_SUPERVISION,
    "pool_imap_looks_ahead": "needs a bounded look-ahead; the plain pool submits all items at once",
    "pool_nested": "needs workers that may have children; the plain pool's are daemonic",
    "shared_memory_attach": "shared_memory is the standard library's still",
    "shareable_list_text": "shared_memory is the standard library's still",
}
PROGRAMS = sorted(path.stem for path in DEFECTS.glob("[!_]*.py"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in LATER])
def test_defect(name: str, method: str) -> None:
    ended = launch([sys.executable, str(DEFECTS / f"{name}.py"), method], SECONDS)
    assert ended.code == 0, str(ended)


def test_later_names_programs() -> None:
    assert LATER.keys() <= set(PROGRAMS)
