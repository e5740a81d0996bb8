"""What a forkserver imports before it serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]
Write = Callable[[str], Path]

ONCE = """
import os, sys
with open("imports", "a") as f:
    print(__name__, file=f)
import lightwork as mp

def where(_):
    return os.getpid()

if __name__ == "__main__":
    for _ in range(3):
        with mp.get_context({method!r}).Pool(2{options}) as pool:
            pool.map(where, range(4))
    with open("imports") as f:
        print(f.read().split())
"""


@pytest.mark.parametrize(
    ("method", "options", "times"),
    [("forkserver", "", 1), ("spawn", ", warm_start=True", 1), ("fork", ", warm_start=True", 1)],
)
def test_how_often_the_main_module_is_imported(
    run: Run, program: Write, method: str, options: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(ONCE.format(method=method, options=options))
    monkeypatch.chdir(path.parent)
    assert run(path).stdout == f"{['__main__', *['__mp_main__'] * times]}\n"


MISSING = """
import lightwork as mp

if __name__ == "__main__":
    mp.set_forkserver_preload(["no_such_module", "json"])
    with mp.get_context("forkserver").Pool(1) as pool:
        print(pool.apply(sorted, ("ba",)))
"""


def test_a_module_that_cannot_be_preloaded_is_reported(run: Run, program: Write) -> None:
    done = run(program(MISSING))
    assert done.stdout == "['a', 'b']\n"
    assert "the forkserver could not preload 'no_such_module'" in done.stderr
    assert "ModuleNotFoundError" in done.stderr
    assert "json" not in done.stderr


THREADED = """
import threading
import lightwork as mp

begun = threading.Event()
threading.Thread(target=lambda: (begun.set(), threading.Event().wait()), daemon=True).start()

def threads():
    return begun.wait(20) and threading.active_count() > 1

if __name__ == "__main__":
    with mp.get_context("forkserver").Pool(1) as pool:
        print(pool.apply(threads))
"""


def test_a_main_module_that_starts_threads_is_imported_by_each_child(run: Run, program: Write) -> None:
    assert run(program(THREADED)).stdout == "True\n"


FAILING = """
import lightwork as mp

if __name__ == "__mp_main__":
    raise KeyError("only in children")

if __name__ == "__main__":
    try:
        with mp.get_context("forkserver").Pool(1) as pool:
            pool.apply(print)
    except mp.errors.PoolBroken as e:
        print(e)
"""


def test_a_main_module_that_fails_is_told_by_the_children(run: Run, program: Write) -> None:
    done = run(program(FAILING))
    assert "the pool's workers cannot start" in done.stdout
    assert "only in children" in done.stderr
