"""A sample of the deaths at kill points, and those that once did harm; `run.py` by hand for all of them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lightwork import _native as native

HERE = Path(__file__).parent
SOURCES = HERE.parent.parent / "src"
RUN = HERE / "run.py"

needs_kill_points = pytest.mark.skipif(
    not hasattr(native, "kill_points"), reason="the core was built without the feature kill_points (tests/kill/run.py)"
)

Run = Callable[..., subprocess.CompletedProcess[str]]


def names() -> list[str]:
    """Of all kill points."""
    table = (SOURCES / "kill_point.rs").read_text().split("NAMES: &[&str] = &[")[1].split("];")[0]
    return re.findall(r'"([^"]+)"', table)


@pytest.mark.parametrize("folder", sorted({name.partition(".")[0] for name in names()}))
def test_every_point_is_a_step_that_the_readme_of_its_folder_has(folder: str) -> None:
    steps = [name.partition(".")[2] for name in names() if name.startswith(f"{folder}.")]
    protocols = (SOURCES / folder / "README.md").read_text()
    assert [step for step in steps if not re.search(rf"\b{re.escape(step)}\b", protocols)] == []


def test_every_point_stands_in_the_sources() -> None:
    sources = "".join(path.read_text() for path in SOURCES.glob("*/*.rs"))
    assert sorted(set(re.findall(r'kill_point!\("([^"]+)"', sources))) == sorted(names())


@needs_kill_points
def test_a_sample_of_all_cases(run: Run) -> None:
    done = run(RUN, "--quick", seconds=110)
    print(done.stdout)


@needs_kill_points
@pytest.mark.parametrize(
    "case",
    [
        # The recoverer had freed the dead one's place in the barrier, and died before it had told those who wait.
        ("Barrier, deserted", "cells.enter.commit", "1", "cells.bury.1", "1"),
        # The recoverer had freed the dead writer's slot, and died before it had freed the message's block.
        ("put, block", "queue.put.3", "1", "queue.unput.1", "1"),
        ("put, buffer", "queue.put.3", "1", "cells.discard.2", "1"),
        # Dropped with nobody having come after the death.
        ("queue dropped after a death, block", "queue.put.3", "1"),
        ("queue dropped after a death, buffer", "queue.get.commit", "1"),
    ],
    ids=" ".join,
)
def test_deaths_that_did_harm_once(run: Run, case: tuple[str, ...]) -> None:
    assert ": reached" in run(RUN, "--case", *case).stdout


@needs_kill_points
def test_a_barrier_half_broken_twice(run: Run) -> None:
    # The one who waits may find the first death before the recoverer does: then the second is not reached, and all is
    # judged nevertheless.
    run(RUN, "--case", "Barrier, action fails", "cells.break.1", "1", "cells.break.1", "1")
