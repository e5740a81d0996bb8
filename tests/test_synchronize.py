"""What all primitives have in common: their reprs, how they travel, and what a signal does to a wait."""

from __future__ import annotations

import pickle
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import in_thread

import lightwork as mp

fork: Any = mp.get_context("fork")

#: Each primitive: how to make it, a change to it, and what the change can be seen by.
PRIMITIVES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "Lock": (lambda c: c.Lock(), lambda x: x.acquire(), lambda x: x.locked()),
    "RLock": (lambda c: c.RLock(), lambda x: x.acquire(), lambda x: x.locked()),
    "Semaphore": (lambda c: c.Semaphore(3), lambda x: x.acquire(), lambda x: x.get_value()),
    "BoundedSemaphore": (lambda c: c.BoundedSemaphore(3), lambda x: x.acquire(), lambda x: x.get_value()),
    "Condition": (lambda c: c.Condition(), lambda x: x.acquire(), lambda x: "None" not in repr(x)),
    "Event": (lambda c: c.Event(), lambda x: x.set(), lambda x: x.is_set()),
    "Barrier": (lambda c: c.Barrier(2), lambda x: x.abort(), lambda x: x.broken),
}


@pytest.mark.parametrize("name", ["Semaphore", "BoundedSemaphore"])
def test_a_semaphore_is_locked_at_zero(name: str) -> None:
    semaphore = getattr(mp, name)(1)
    assert not semaphore.locked()
    with semaphore:
        assert semaphore.locked()


def test_reprs() -> None:
    lock, rlock = fork.Lock(), fork.RLock()
    assert (repr(lock), repr(rlock)) == ("<Lock(owner=None)>", "<RLock(None, 0)>")
    with lock, rlock, rlock:
        assert (repr(lock), repr(rlock)) == ("<Lock(owner=MainProcess)>", "<RLock(MainProcess, 2)>")
        assert in_thread(lambda: repr(lock)) == "<Lock(owner=SomeOtherThread)>"
        assert in_thread(lambda: repr(rlock)) == "<RLock(SomeOtherThread, nonzero)>"
    assert repr(fork.Semaphore(3)) == "<Semaphore(value=3)>"
    assert repr(fork.BoundedSemaphore(3)) == "<BoundedSemaphore(value=3, maxvalue=3)>"
    assert repr(fork.Condition()) == "<Condition(<RLock(None, 0)>, 0)>"
    assert "unset>" in repr(fork.Event()) and "waiters=0/2>" in repr(fork.Barrier(2))


# -- pickled


@pytest.mark.parametrize("name", PRIMITIVES)
def test_pickled_in_the_same_process_it_is_the_same(name: str) -> None:
    make, change, look = PRIMITIVES[name]
    original = make(fork)
    before = look(original)
    copy = pickle.loads(pickle.dumps(original))
    change(copy)
    assert look(original) == look(copy) != before
    again = pickle.loads(pickle.dumps(copy))  # also while it is held
    del original, copy
    assert look(again) != before


def looks(name: str, by_argument: Any, queue: Any, pipe: Any) -> None:
    look = PRIMITIVES[name][2]
    queue.put([look(by_argument), look(queue.get()), look(pipe.recv())])


def test_it_travels_as_argument_through_a_queue_and_a_pipe(ctx: Any) -> None:
    for name, (make, change, look) in PRIMITIVES.items():
        x, queue, (here, there) = make(ctx), ctx.Queue(), ctx.Pipe()
        before = look(x)
        change(x)
        queue.put(x)
        here.send(x)
        p = ctx.Process(target=looks, args=(name, x, queue, there))
        p.start()
        p.join()
        assert queue.get(timeout=5) == [look(x)] * 3 != [before] * 3
        here.close()
        there.close()


# -- signals


@pytest.mark.parametrize("name", ["Lock", "RLock", "Semaphore", "Event", "Condition", "Barrier"])
def test_an_interrupt_ends_the_wait_and_leaves_it_usable(name: str) -> None:
    x: Any = fork.Semaphore(0) if name == "Semaphore" else PRIMITIVES[name][0](fork)
    if name in ("Lock", "RLock"):
        in_thread(x.acquire)

    def wait() -> None:
        if name == "Condition":
            with x:
                x.wait()
        else:
            (getattr(x, "wait", None) or x.acquire)()

    timer = threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        wait()
    timer.join()
    if name == "Barrier":
        assert x.broken and x.n_waiting == 0
    elif name == "Condition":
        assert repr(x) == "<Condition(<RLock(None, 0)>, 0)>"
    elif name == "Event":
        x.set()
        assert x.wait(0)
    elif name != "RLock":
        x.release()
        assert x.acquire(False)


def test_a_signal_handler_may_use_what_is_waited_for() -> None:
    event, lock, c = fork.Event(), fork.Lock(), fork.Condition()

    def handler(*_: Any) -> None:
        with lock, c:
            c.notify_all()
        event.set()

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert event.wait(10)
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with c:
            assert c.wait(10)
    finally:
        signal.signal(signal.SIGALRM, before)


FORKS_WHILE_A_THREAD_WAITS = """
import os, signal, threading
import lightwork as mp

event = mp.get_context("fork").Event()

def first_waits():
    t = threading.Thread(target=event.wait, args=(0.001,))
    t.start()
    child = os.fork()
    if not child:
        signal.alarm(10)
        event.wait(0.001)
        os._exit(0)
    t.join()
    os._exit(os.waitpid(child, 0)[1] != 0)

for _ in range(100):  # each with a first wait of its own
    middle = os.fork()
    if not middle:
        first_waits()
    assert os.waitpid(middle, 0)[1] == 0
print("ok")
"""


def test_a_fork_during_a_threads_first_wait_leaves_a_child_that_can_wait(program: Any, run: Any) -> None:
    assert run("-W", "ignore", program(FORKS_WHILE_A_THREAD_WAITS)).stdout == "ok\n"
