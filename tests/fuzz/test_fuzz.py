"""A few seconds of damaged messages, handles and arguments; `run.py` by hand for longer."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")


def test_damage_is_refused(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run(RUN, "--seconds", 8, "--seed", random.randrange(1 << 32))
    print(done.stdout)


@pytest.mark.parametrize(
    ("target", "wrong"),
    [
        ("os.abort()", "died with exit code -6"),
        ("1 / 0", "raised what is above"),
        ("time.sleep(100)", "hangs"),
    ],
)
def test_what_is_wrong_is_found(
    target: str, wrong: str, program: Callable[[str], Path], run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    text = f"""
import os, sys, time
sys.path.insert(0, {str(RUN.parent)!r})
import run
run.PATIENCE = 0.5
run.TARGETS["made up"] = lambda dice: {target} if dice.random() < 0.1 else None
sys.exit(run.main(["made up", "--seed", "1", "--seconds", "20"]))
"""
    done = run(program(text), code=1)
    assert f"{wrong}, seed 1" in done.stdout
