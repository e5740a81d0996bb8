"""The pool under random kills, for a few seconds; `chaos/chaos.py` by hand for longer."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent / "chaos" / "chaos.py"


@pytest.mark.parametrize(("method", "items"), [("fork", 10_000), ("spawn", 2_000), ("forkserver", 10_000)])
def test_no_item_is_lost_wrong_or_doubled(
    method: str, items: int, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run(CHAOS, "--method", method, "--seconds", 4, "--items", items, seconds=100)
    print(done.stdout)  # the seed, if pytest is asked to show it
    assert "all is well" in done.stdout
