"""A signal handler forks while its process waits, and the child returns from it into the wait."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest
from conftest import wait_until
from processes import asleep

import lightwork as mp

SOON = 20
pytestmark = pytest.mark.filterwarnings("ignore::lightwork.errors.OwnerDiedWarning", "ignore::DeprecationWarning")
ctx: Any = mp.get_context("fork")


class Forking:
    """A process that calls `wait`, and forks in a signal handler meanwhile. The child leaves the handler by `leave`,
    calls `afterwards` with what became of the wait, and ends; only then does its parent leave the handler."""

    def __init__(
        self, wait: Callable[..., Any], afterwards: Callable[[Any], Any], leave: Any = None, prepare: Any = tuple
    ) -> None:
        self._wait, self._afterwards, self._leave, self._prepare = wait, afterwards, leave, prepare
        begins, self._has_forked = ctx.Event(), ctx.Event()
        self._process = ctx.Process(target=self._run, args=(begins,))
        self._process.start()
        assert begins.wait(SOON)
        assert wait_until(lambda: asleep(self._process.pid))
        os.kill(self._process.pid, signal.SIGUSR1)
        assert self._has_forked.wait(SOON)

    def _run(self, begins: Any) -> Any:
        parent = os.getpid()

        def handler(*_: Any) -> None:
            if child := os.fork():
                self._has_forked.set()
                os.waitpid(child, 0)
            elif self._leave:
                self._leave()

        prepared = self._prepare()
        signal.signal(signal.SIGUSR1, handler)
        begins.set()
        outcome = self._outcome(*prepared)
        if os.getpid() != parent:
            self._afterwards(outcome)
            os._exit(0)
        return outcome

    def _outcome(self, *prepared: Any) -> Any:
        try:
            return self._wait(*prepared)
        except BaseException as e:
            return type(e)

    def result(self) -> Any:
        return self._process.result(SOON)


def die(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_the_child_has_the_lock_in_its_own_name(kind: str) -> None:
    lock = getattr(ctx, kind)()
    lock.acquire()
    forking = Forking(lambda: lock.acquire(timeout=SOON), die)
    lock.release()
    assert forking.result() is True  # from the child, which died with it
    assert lock.acquire(timeout=SOON)  # from the parent, which ended with it


def test_both_get_their_share_of_a_semaphore() -> None:
    semaphore, got = ctx.Semaphore(0), ctx.Queue()
    forking = Forking(lambda: semaphore.acquire(timeout=SOON), got.put)
    semaphore.release()
    semaphore.release()
    assert forking.result() is True
    assert got.get(timeout=SOON) is True


def test_each_gets_a_message() -> None:
    q, got = ctx.Queue(), ctx.Queue()
    forking = Forking(lambda: q.get(timeout=SOON), got.put)
    q.put(1)
    q.put(2)
    assert {forking.result(), got.get(timeout=SOON)} == {1, 2}


def test_a_message_is_put_once() -> None:
    q, errors = ctx.Queue(1), ctx.Queue()
    q.put("first")
    forking = Forking(lambda: q.put("second"), errors.put)
    assert errors.get(timeout=SOON) is RuntimeError
    assert q.get(timeout=SOON) == "first"
    forking.result()
    assert q.get(timeout=SOON) == "second"
    assert q.empty()


@pytest.mark.parametrize("leave", [None, sys.exit])
def test_a_condition_s_waiter_stays_where_it_is(leave: Any) -> None:
    condition, notified = ctx.Condition(), ctx.Value("i", 0)

    def wait() -> tuple[bool, int]:
        with condition:
            return condition.wait(SOON), notified.value

    ended = ctx.Queue()
    forking = Forking(wait, ended.put, leave)
    assert ended.get(timeout=SOON) is (SystemExit if leave else RuntimeError)
    with condition:
        notified.value = 1
        condition.notify()
    assert forking.result() == (True, 1)


@pytest.mark.parametrize("leave", [None, sys.exit])
def test_a_barrier_s_party_stays_where_it_is(leave: Any) -> None:
    barrier, ended = ctx.Barrier(2), ctx.Queue()
    forking = Forking(lambda: barrier.wait(SOON), ended.put, leave)
    assert ended.get(timeout=SOON) is (SystemExit if leave else RuntimeError)
    assert {barrier.wait(SOON), forking.result()} == {0, 1}


def test_a_barrier_s_action_that_forks_lets_the_others_go_once() -> None:
    children = ctx.Queue()

    def action() -> None:
        if os.fork():
            os.wait()

    barrier = ctx.Barrier(2, action)

    def party() -> int:
        parent = os.getpid()
        try:
            return barrier.wait(SOON)
        except RuntimeError as e:
            if os.getpid() == parent:
                raise
            children.put(type(e))
            os._exit(0)

    parties = [ctx.Process(target=party) for _ in range(2)]
    for p in parties:
        p.start()
    assert sorted(p.result(SOON) for p in parties) == [0, 1]
    assert children.get(timeout=SOON) is RuntimeError
    assert not barrier.broken


def test_a_pool_s_results_are_its_owner_s() -> None:
    go, ended = ctx.Event(), ctx.Queue()

    def prepare() -> tuple[Any, list[Any]]:
        pool = ctx.Pool(1)
        return pool, [pool.apply_async(go.wait, (SOON,)), *(pool.apply_async(abs, (n,)) for n in range(-5, 0))]

    def wait(pool: Any, results: list[Any]) -> list[Any]:
        values = [result.get(SOON) for result in results]
        pool.terminate()
        return values

    forking = Forking(wait, ended.put, prepare=prepare)
    assert ended.get(timeout=SOON) is RuntimeError
    go.set()
    assert forking.result() == [True, 5, 4, 3, 2, 1]
