"""The primitives under threads of one process, and the import into a free-threaded interpreter."""

from __future__ import annotations

import gc
import sysconfig
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from itertools import chain
from threading import Event
from typing import Any

import pytest
from threads import THREADS, each, together

import lightwork as mp

ROUNDS = 1000


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has an interpreter lock")
@pytest.mark.parametrize("modules", ["lightwork", "lightwork, numpy", "lightwork.futures, lightwork.comparison"])
def test_an_import_does_not_switch_the_interpreter_lock_on(run: Callable[..., Any], modules: str) -> None:
    if "numpy" in modules:
        pytest.importorskip("numpy")
    run("-W", "error", "-c", f"import {modules}, sys; assert not sys._is_gil_enabled()")


# -- queues


def message(writer: int, number: int) -> Any:
    """In one of the shapes that travel in different ways."""
    match number % 4:
        case 0:
            return writer, number
        case 1:
            return [writer, number, *range(number % 40)]
        case 2:
            return [writer, number, "text", None, 1.5]
        case _:
            return [writer, number, {"more": "x" * (number % 3000)}]


@pytest.mark.parametrize("maxsize", [0, 3])
def test_each_message_comes_once_and_in_its_writers_order(maxsize: int) -> None:
    queue = mp.Queue(maxsize)

    def write(writer: int) -> None:
        for number in range(ROUNDS):
            queue.put(message(writer, number))

    def read() -> list[Any]:
        return [tuple(queue.get()[:2]) for _ in range(ROUNDS)]

    *_, one, other = together(lambda: write(0), lambda: write(1), read, read)
    assert Counter(one + other) == Counter((writer, number) for writer in range(2) for number in range(ROUNDS))
    for taken in (one, other):
        for writer in range(2):
            numbers = [number for who, number in taken if who == writer]
            assert numbers == sorted(numbers)
    assert queue.empty()


def test_readers_of_many_and_of_one_share_a_queue() -> None:
    queue = mp.JoinableQueue()

    def write() -> None:
        queue.put_many(range(ROUNDS))
        queue.put_many([None] * 3)
        queue.join()

    def read(most: int) -> list[int]:
        taken: list[int] = []
        while True:
            some = queue.get_many(most)
            numbers = [item for item in some if item is not None]
            taken += numbers
            ends = len(some) - len(numbers)
            queue.put_many([None] * (ends - 1))  # the others'
            for _ in some:
                queue.task_done()
            if ends:
                return taken

    _, *taken = together(write, lambda: read(1), lambda: read(7), lambda: read(7))
    assert sorted(chain(*taken)) == list(range(ROUNDS))


@pytest.mark.parametrize("one, other", [([1] * 50, [2] * 80), ([0.5] * 50, [1] * 80), (["a", None] * 20, [True] * 70)])
def test_a_list_that_another_thread_changes_is_sent_as_it_was_at_one_moment(one: list[Any], other: list[Any]) -> None:
    queue, items, done = mp.SimpleQueue(), list(one), Event()

    def send() -> list[Any]:
        try:
            sent = []
            for _ in range(ROUNDS):
                queue.put(items)
                sent.append(queue.get())
            return sent
        finally:
            done.set()

    def change() -> None:
        while not done.is_set():
            items[:] = other
            items.clear()
            items[:] = one

    sent, _ = together(send, change)
    assert all(found in (one, other, []) for found in sent)


def test_threads_read_a_queue_that_has_a_descriptor() -> None:
    queue = mp.Queue()
    queue.fileno()
    count = ROUNDS // 10

    def work(number: int) -> list[int]:
        for i in range(count):
            queue.put(number * count + i)
        return [queue.get() for _ in range(count)]

    assert sorted(chain(*each(work))) == list(range(THREADS * count))
    queue.close()


def test_a_buffer_that_comes_during_a_fork_is_the_childs_own(run: Callable[..., Any], program: Any) -> None:
    pytest.importorskip("numpy")
    path = program(
        """
import os, sys
received = []
# Called after Lightwork's own hook, as what another thread does would be.
os.register_at_fork(before=lambda: received.append(queue.get()))
import numpy, lightwork

queue = lightwork.Queue()
queue.put(numpy.zeros(100_000))
told, tell = os.pipe()
if not (pid := os.fork()):
    os.read(told, 1)
    os._exit(int(received[0].any()))
received[0][:] = 1
os.write(tell, b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    )
    run(path)


# -- locks and the like


@pytest.mark.parametrize("kind", ["Lock", "RLock", "BoundedSemaphore"])
def test_one_at_a_time_has_a_lock(kind: str) -> None:
    lock, counts = getattr(mp, kind)(), [0, 0]

    def work(number: int) -> None:
        for i in range(ROUNDS):
            with ExitStack() as levels:
                for _ in range(2 if kind == "RLock" else 1):
                    levels.enter_context(lock)
                before = counts[0]
                counts[1] += 1
                counts[0] = before + 1
            if i % 5 == 0 and lock.acquire(timeout=0.001):
                counts[0] += 1
                counts[1] += 1
                lock.release()

    each(work)
    assert counts[0] == counts[1] >= THREADS * ROUNDS
    assert lock.acquire(False)
    lock.release()


def test_threads_hand_each_other_work_by_a_condition() -> None:
    condition, there, taken = mp.Condition(), [], []

    def give() -> None:
        for i in range(ROUNDS):
            with condition:
                there.append(i)
                condition.notify()
                condition.wait_for(lambda: len(there) < 3)

    def take() -> None:
        for _ in range(ROUNDS):
            with condition:
                condition.wait_for(lambda: there)
                taken.append(there.pop(0))
                condition.notify()

    together(give, take)
    assert taken == list(range(ROUNDS))
    assert condition._sleeping_count.get_value() == 0


def test_no_thread_passes_a_barrier_or_an_event_before_its_time() -> None:
    barrier, event, numbers, rounds = mp.Barrier(THREADS), mp.Event(), [], ROUNDS // 4

    def work(number: int) -> None:
        for _ in range(rounds):
            numbers.append(barrier.wait(30))
            if number == 0:
                event.set()
            assert event.wait(30)
            if barrier.wait(30) == 0:
                event.clear()
            barrier.wait(30)

    each(work)
    assert Counter(numbers) == dict.fromkeys(range(THREADS), rounds)


# -- numbers


@pytest.mark.parametrize("code", ["i", "Q", "d"])
def test_atomic_operations_lose_nothing(code: str) -> None:
    value, taken = mp.Value(code, 0), mp.Value(code, 0)

    def work(number: int) -> int:
        nonlocal value
        won = 0
        for _ in range(ROUNDS):
            value += 2
            value.add(-1 if code != "Q" else 2**64 - 1)
            with taken.get_lock():
                taken.value += 1
            now = taken.value
            won += value.compare_exchange(-7, now)
        return won

    assert sum(each(work)) == 0
    assert value.value == taken.value == THREADS * ROUNDS


def test_items_of_an_array_under_its_lock() -> None:
    array = mp.Array("i", THREADS)

    def work(number: int) -> None:
        for i in range(ROUNDS):
            with array.get_lock():
                array[(number + i) % THREADS] += 1

    each(work)
    assert sum(array) == THREADS * ROUNDS


# -- shared memory


def test_what_threads_make_and_drop_at_the_same_time_is_freed() -> None:
    numpy = pytest.importorskip("numpy")
    queue = mp.Queue()

    def work(number: int) -> None:
        for i in range(ROUNDS // 5):
            made = [mp.Lock(), mp.Value("i", i), mp.Queue(), mp.Condition(), mp.ndarray(10_000), mp.Array("d", 100)]
            made[2].put(made[4])
            shared = made[2].get()
            shared[:] = number
            assert made[4].sum() == number * 10_000
            queue.put(numpy.full(5_000, i))
            received = queue.get()
            received += 1
            assert (received == received[0]).all()
            del made, shared, received

    each(work)
    gc.collect()
    before = mp.arena.stats().used
    each(work)
    gc.collect()
    assert mp.arena.stats().used <= before + (1 << 20)  # what the threads' spans keep for later
