"""A pool's queues in the core: what belongs to a claim, and to whom."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
from conftest import wait_until
from processes import used

from lightwork import _native

NUMBERS = list(range(2000))


def received(queue: Any) -> list[Any]:
    """(job, object) of all that is in the queue."""
    found: list[Any] = []
    queue.receive(found.append, 0.0)
    return [(job, obj) for job, _, _, _, _, obj in found]


def test_a_forked_child_drops_its_copy_of_numbers_that_its_parent_has() -> None:
    queue, other = _native.TaskQueue(), _native.TaskQueue()
    queue.put(1, 0, 0, b"", NUMBERS)
    [(_, packed)] = received(queue)
    if not (pid := os.fork()):
        del packed
        os._exit(0)
    os.waitpid(pid, 0)
    for job in range(60):
        other.put(job + 1, 0, 0, b"", [9] * 2000)  # they would lie in what the child had freed
    assert packed.unpack() == NUMBERS
    del packed
    assert all(numbers.unpack() == [9] * 2000 for _, numbers in received(other))


def test_numbers_outlive_their_queue() -> None:
    queue = _native.TaskQueue()
    queue.put(1, 0, 0, b"", NUMBERS)
    [(_, packed)] = received(queue)
    del queue
    others = [_native.Memory(700) for _ in range(4)]
    for memory in others:
        memoryview(memory)[:] = b"\xff" * 700
    assert packed.unpack() == NUMBERS
    del packed
    assert [bytes(memory) for memory in others] == [b"\xff" * 700] * 4


def test_withdrawing_without_room_loses_nothing(run: Callable[..., Any]) -> None:
    text = """if True:
        from lightwork import _native

        queue = _native.TaskQueue()
        for job in range(1, 9):  # the ring's first segment is full: to put one back it would have to grow
            queue.put(job, 0, 0, b"", job)
        _native.set_arena_budget(0)
        assert queue.withdraw({8}) == []
        _native.set_arena_budget(1 << 30)
        found = []
        queue.receive(found.append, 0.0)
        assert sorted(outcome[0] for outcome in found) == list(range(1, 9)), found
    """
    run("-c", text)  # in a process that has no span with room for it yet


def test_withdrawing_leaves_the_others() -> None:
    queue = _native.TaskQueue()
    for job in (1, 2, 1, 3):
        queue.put(job, 0, 0, b"", job)
    assert queue.withdraw({1}) == [1, 1]
    assert received(queue) == [(2, 2), (3, 3)]


def test_what_a_dead_worker_had_claimed_is_nobody_elses() -> None:
    queue, rows = _native.TaskQueue(recalled=True), _native.Rows(2)
    queue.put(1, 0, 0, b"", "x" * 200_000_000)  # it takes a while to take that out
    queue.put(2, 0, 0, b"", None)
    if not (pid := os.fork()):
        rows.begin(0)
        queue.take(rows, 0)
        signal.pause()
    assert wait_until(lambda: rows.read(0)[0] == 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    rows.begin(1)
    assert queue.take(rows, 1)[0] == 2  # and not 1, though its reader is dead
    queue.recall(rows)
    assert not queue.is_in_use()
    assert used() < 100_000_000


def test_withdrawn_tasks_take_their_buffers_along() -> None:
    queue = _native.TaskQueue()
    before = used()
    for job in (1, 2):
        queue.put(job, 0, 0, b"", np.zeros(1 << 20))
    assert queue.withdraw({1, 2}) == [1, 2]
    assert used() < before + (8 << 20)
