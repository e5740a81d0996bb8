"""What every test shares: the start methods, and the promise that a test leaves nothing behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lightwork as mp

METHODS = ("fork", "spawn", "forkserver")
#: The primitives with acquire and release.
LOCKS = ["Lock", "RLock", "Semaphore", "BoundedSemaphore"]

#: What the resource tracker and the forkserver, which live as long as the program, hold open after their first use.
_LASTING_FDS = 4


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ctx(method: str) -> mp.context.BaseContext:
    return mp.get_context(method)


def _open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """For what has no event to wait for, such as the kernel's view of another process."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)  # the kernel tells nobody of what it changes
    return True


def in_thread(f: Callable[[], Any]) -> Any:
    """What `f` returns or raises in another thread."""
    t = mp.Thread(target=f)
    hook, threading.excepthook = threading.excepthook, lambda args: None  # what it raises is for the caller to report
    try:
        t.start()
        return t.result(10)
    finally:
        threading.excepthook = hook


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fail on a leaked child, thread or descriptor. (/dev/shm belongs to every program of the machine.)"""
    threads, fds = threading.active_count(), _open_fds()
    yield
    gc.collect()
    assert wait_until(lambda: not mp.active_children(), 5), f"left running: {mp.active_children()}"
    assert wait_until(lambda: threading.active_count() <= threads, 5), f"threads left: {threading.enumerate()}"
    assert wait_until(lambda: _open_fds() <= fds + _LASTING_FDS, 5), f"descriptors: {fds} before, {_open_fds()} after"


@pytest.fixture
def budget() -> Iterator[Callable[[int], None]]:
    """Leave only so many bytes of shared memory free."""
    stats = mp.arena.stats()
    yield lambda nbytes: mp.arena.set_budget(mp.arena.stats().used + nbytes)
    mp.arena.set_budget(stats.budget)


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """Write a program to a file of its own; returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "program.py"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a Python program to its end, within a time limit; fails with its output if it does not exit with `code`."""

    def run(*args: object, code: int = 0, seconds: float = 60, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, args)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=os.environ | env, stdin=subprocess.DEVNULL
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run
