"""Each program in examples/ runs as it stands and prints what its reader expects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SQUARES = [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]

PRINTED = {
    "choose_a_way.py": "True\nTrue True\n",
    "process_result.py": "0.25 0.125\nthe process raised: division by zero\n",
    "shared_counter.py": "40000\n",
    "tutorial_pool.py": f"{SQUARES}\n4\n{SQUARES}\n",
    "tutorial_queue.py": "499667166000\n",
}


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_example(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout == PRINTED[name], done.stderr
    assert done.returncode == 0
