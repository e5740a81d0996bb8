"""The pool under random kills, for a few seconds; the scripts in `chaos` by hand for longer."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent / "chaos"


@pytest.mark.parametrize(("method", "items"), [("fork", 10_000), ("spawn", 2_000), ("forkserver", 10_000)])
def test_no_item_is_lost_wrong_or_doubled(
    method: str, items: int, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run(CHAOS / "chaos.py", "--method", method, "--seconds", 4, "--items", items, seconds=100)
    print(done.stdout)  # the seed, if pytest is asked to show it
    assert "all is well" in done.stdout


def test_storms(run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = run(CHAOS / "storms.py", "--seconds", 12, seconds=100)
    print(done.stdout)  # the seed, and what was skipped, if pytest is asked to show it
    assert "all is well" in done.stdout


@pytest.mark.parametrize(("method", "arrays"), [("fork", 5_000), ("spawn", 500), ("forkserver", 5_000)])
def test_no_array_is_left_behind(
    method: str, arrays: int, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    pytest.importorskip("numpy")
    done = run(CHAOS / "arrays.py", "--method", method, "--arrays", arrays, seconds=100)
    print(done.stdout)  # the seed, if pytest is asked to show it
    assert "all is well" in done.stdout
