"""What `Process.result()` is told: by whom it is asked, how the process ended, and what there is room for."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import weakref
from contextlib import nullcontext
from typing import Any

import pytest

import lightwork as mp
from lightwork.errors import RemoteTraceback, TaskTimeout, Unshippable, WorkerDied

fork: Any = mp.get_context("fork")


def started(ctx: Any, target: Any, *args: Any) -> Any:
    p = ctx.Process(target=target, args=args)
    p.start()
    return p


def ends(kind: Any, *args: Any) -> None:
    raise kind(*args)


# -- asked by several threads


def test_another_thread_that_reaps_the_child_does_not_hide_its_end(ctx: Any) -> None:
    over = threading.Event()

    def reap() -> None:
        while not over.is_set():
            mp.active_children()

    t = mp.Thread(target=reap)
    t.start()
    try:
        for code in range(10):
            p = started(ctx, os._exit, code)
            with pytest.raises(WorkerDied) if code else nullcontext():
                p.result()
            assert p.exitcode == code
    finally:
        over.set()
        t.result(20)


being_read, was_read = threading.Event(), threading.Event()


class ReadSlowly:
    """Unpickles into 42, with time for others to look in between."""

    def __reduce__(self) -> Any:
        return read_slowly, ()


def read_slowly() -> int:
    being_read.set()
    was_read.wait(0.5)
    return 42


def test_two_threads_get_the_same_result(ctx: Any) -> None:
    being_read.clear(), was_read.clear()
    p = started(ctx, ReadSlowly)
    first = mp.Thread(target=p.result)
    first.start()
    assert being_read.wait(20)
    second = p.result(20)
    was_read.set()
    assert (first.result(20), second) == (42, 42)


class Fails:
    """Cannot be unpickled."""

    def __reduce__(self) -> Any:
        return ends, (LookupError, "not here")


def test_a_result_that_cannot_be_unpickled_is_not_none(ctx: Any) -> None:
    p = started(ctx, Fails)
    for _ in range(2):
        with pytest.raises(Unshippable, match="cannot be unpickled here: LookupError"):
            p.result(20)


def test_the_result_is_had_though_others_took_the_exit_code() -> None:
    p, q = started(fork, int, "42"), started(fork, signal.pause)
    q.kill()
    for x in (p, q):
        os.waitpid(x.pid, 0)
    assert p.result(20) == p.result() == 42 and p.exitcode is None
    with pytest.raises(WorkerDied, match="something else took its exit code"):
        q.result(20)
    multiprocessing.process._children.clear()  # type: ignore[attr-defined]  # where they would stay for ever


def test_any_number_is_a_timeout(ctx: Any) -> None:
    p = started(ctx, pow, 6, 2)
    assert p.result(float("inf")) == p.result(1e12) == 36
    go = ctx.Event()
    q = started(ctx, go.wait)
    for timeout in (float("nan"), 0, -1):
        with pytest.raises(TaskTimeout, match="has not ended within"):
            q.result(timeout)
    go.set()
    assert q.result(20) is True


def test_an_error_keeps_no_process() -> None:
    p = started(fork, ends, ValueError)
    with pytest.raises(ValueError):
        p.result(20)
    gone = weakref.ref(p)
    gc.disable()  # without the help of a collection
    try:
        del p
        assert gone() is None
    finally:
        gc.enable()


# -- how it ended

ENDS = [
    ((SystemExit, 3), 3, "SystemExit: 3"),
    ((SystemExit, "why"), 1, "SystemExit: why"),
    ((KeyboardInterrupt,), 1, "KeyboardInterrupt"),
    ((GeneratorExit, "gone"), 1, "GeneratorExit: gone"),
]


@pytest.mark.parametrize(("how", "code", "words"), ENDS, ids=lambda x: str(x)[:20])
@pytest.mark.usefixtures("capfd")
def test_an_exception_that_ends_a_process_is_named(ctx: Any, how: Any, code: int, words: str) -> None:
    p = started(ctx, ends, *how)
    with pytest.raises(WorkerDied, match=rf"exited with code {code} and gave no result: {words}$") as caught:
        p.result(20)
    assert isinstance(caught.value.__cause__, RemoteTraceback) and "in ends" in str(caught.value.__cause__)
    assert caught.value.exitcode == code


@pytest.mark.parametrize(("how", "code", "words"), ENDS, ids=lambda x: str(x)[:20])
def test_and_so_it_is_on_a_thread(monkeypatch: pytest.MonkeyPatch, how: Any, code: int, words: str) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    t = mp.Thread(target=ends, args=how, name="Tim")
    t.start()
    with pytest.raises(WorkerDied, match=rf"^thread 'Tim' gave no result: {words}$") as caught:
        t.result(20)
    assert type(caught.value.__cause__) is how[0]


@pytest.mark.parametrize("code", [None, 0])
@pytest.mark.parametrize("kind", [mp.Thread, fork.Process])
def test_a_successful_exit_gives_none(monkeypatch: pytest.MonkeyPatch, kind: Any, code: Any) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    worker = kind(target=sys.exit, args=(code,))
    worker.start()
    assert worker.result(20) is None


@pytest.mark.parametrize("kind", [mp.Thread, fork.Process])
@pytest.mark.parametrize("error", [TaskTimeout, TimeoutError, mp.TimeoutError, multiprocessing.TimeoutError])
def test_every_timeout_error_catches_that_it_takes_too_long(kind: Any, error: Any) -> None:
    go = mp.Event()
    worker = kind(target=go.wait)
    worker.start()
    with pytest.raises(error):
        worker.result(0)
    go.set()
    assert worker.result(20) is True


# -- what there is room for

FULL = """
from queue import Full
import os, sys
import lightwork as mp

def returns(n):
    return b"x" * n

def raises(n):
    sys.stderr = open(os.devnull, "w")
    raise ValueError("x" * n)

def exits(n):
    sys.stderr = open(os.devnull, "w")
    raise SystemExit("x" * n)

def fills(n):
    q = mp.Queue()
    size = 1 << 20
    while size > 48:
        try:
            q.put_nowait(bytes(size))
        except Full:
            size //= 2
    raises(10)

if __name__ == "__main__":
    mp.set_start_method({method!r})
    mp.arena.set_budget(4 << 20)
    for target in (returns, raises, exits, fills):
        p = mp.Process(target=target, args=(8 << 20,))
        p.start()
        try:
            p.result(30)
        except Exception as e:
            print(type(e).__name__, len(str(e)) < 3000, str(e), sep="|")
"""


def test_what_does_not_fit_into_shared_memory_is_said(method: str, program: Any, run: Any) -> None:
    returned, raised, exited, filled = run(program(FULL.format(method=method))).stdout.splitlines()
    full = "shared memory is full"
    assert returned.startswith("Unshippable|True|the result of Process-1 cannot be sent: ") and full in returned
    assert raised.startswith("Unshippable|True|ValueError: xxx") and full in raised
    assert exited.startswith("WorkerDied|True|process 'Process-3'") and "SystemExit: xxx" in exited
    assert filled.startswith(("ValueError|", "Unshippable|")) and ("xxx" in filled or "no room to say" in filled)


# -- names


@pytest.mark.parametrize(("ours", "theirs"), [(mp.Process, multiprocessing.Process), (mp.Thread, threading.Thread)])
def test_no_private_name_is_taken_from_subclasses(ours: Any, theirs: Any) -> None:
    a, b = ours(target=int), theirs(target=int)
    a.start()
    a.join()
    b.start()
    b.join()
    taken = (set(dir(ours)) | set(vars(a))) - set(dir(theirs)) - set(vars(b))
    assert {n for n in taken if not n.startswith(("_lightwork_", "__"))} == {"result"}


class Busy(mp.Process):
    """Has names of its own."""

    def __init__(self, ctx: Any) -> None:
        super().__init__()
        self._outcome = self._settled = self._recorded = self._by_main_thread = self._death = self._settle = "mine"
        self._Popen = ctx.Process._Popen  # type: ignore[method-assign]

    def run(self) -> Any:  # type: ignore[override]
        return [self._outcome, self._settled, self._recorded, self._by_main_thread, self._death, self._settle]


def test_a_subclass_keeps_its_names(ctx: Any) -> None:
    p = Busy(ctx)
    p.start()
    assert p.result(20) == ["mine"] * 6 == Busy.run(p)
