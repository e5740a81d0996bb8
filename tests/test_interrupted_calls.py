"""A signal handler that raises may come wherever a Python function begins, and after each call of something that is not
written in Python. Here it comes at every such point of a call, one after the other; what must hold afterwards is looked
at each time."""

from __future__ import annotations

import itertools
import select
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, wait
from contextlib import contextmanager
from fractions import Fraction
from types import FrameType
from typing import Any

import pytest
from conftest import in_thread
from pool_tasks import SOON, begin, square

import lightwork as mp
from lightwork.errors import TaskCancelled
from lightwork.futures import ProcessPoolExecutor
from lightwork.pool import Pool, ThreadPool

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # what hits a destructor is only printed
)

#: Whose code is interrupted: ours, and what calls it back.
CODE = ("/lightwork/", "/multiprocessing/", "/concurrent/")

fork = mp.get_context("fork")

Case = Callable[["Interrupt"], None]


class Alarm(Exception):
    """What the signal handler raises."""


class Interrupt:
    """Calls something, and raises in it at one point."""

    def __init__(self, point: int) -> None:
        self._point = point
        self.where = ""

    def __call__(self, call: Callable[[], object]) -> bool:
        """Was it interrupted?"""
        points = itertools.count(1)

        def look(frame: FrameType, event: str, arg: Any) -> None:
            code = frame.f_code
            here = event in ("call", "c_return") and any(part in code.co_filename for part in CODE)
            if here and next(points) == self._point:
                self.where = f"{code.co_filename}:{frame.f_lineno}, {event} in {code.co_name}"
                raise Alarm

        try:
            sys.setprofile(look)
            try:
                call()
            finally:
                sys.setprofile(None)
        except (Alarm, TypeError):  # Python 3.11 may make a TypeError of what a profiler raises
            if not self.where:
                raise
            return True
        return False


def at_every_point(case: Case) -> None:
    for point in itertools.count(1):
        interrupt = Interrupt(point)
        try:
            case(interrupt)
        except BaseException as e:
            e.add_note(f"interrupted at {interrupt.where}")
            raise
        if not interrupt.where:
            assert point > 3
            return


@pytest.fixture(params=["processes", "threads"])
def make(request: pytest.FixtureRequest) -> Callable[[], Pool]:
    """The start method matters only to what is not interrupted here."""
    return (lambda: fork.Pool(1)) if request.param == "processes" else (lambda: ThreadPool(1))


@pytest.fixture
def pool(make: Callable[[], Pool]) -> Iterator[Pool]:
    """At the end all its jobs come to an end, and it does."""
    pool = make()
    yield pool
    pool.close()
    in_thread(pool.join)


def test_beginning_a_call(pool: Pool) -> None:
    def case(interrupt: Interrupt) -> None:
        interrupt(lambda: pool.apply_async(square, (3,)))

    at_every_point(case)


def test_beginning_a_call_that_cannot_be_sent() -> None:
    with fork.Pool(1) as pool:
        lock = threading.Lock()

        def case(interrupt: Interrupt) -> None:
            interrupt(lambda: pool.apply_async(square, (lock,)))
            assert not pool._cache

        at_every_point(case)


@pytest.mark.parametrize("chunksize", [1, 2])
@pytest.mark.parametrize("ordered", [True, False])
def test_asking_an_iterator(pool: Pool, chunksize: int, ordered: bool) -> None:
    imap = pool.imap if ordered else pool.imap_unordered

    def case(interrupt: Interrupt) -> None:
        results = imap(square, iter(range(9)), chunksize, buffersize=2 * chunksize)
        found = [next(results) for _ in range(2)]
        interrupt(lambda: found.append(next(results)))
        found += results
        assert (found if ordered else sorted(found)) == [x * x for x in range(9)]

    at_every_point(case)


@pytest.mark.parametrize("result", [5, Fraction(5, 3)])
def test_asking_for_what_a_process_returned(result: Any) -> None:
    def case(interrupt: Interrupt) -> None:
        process = fork.Process(target=abs, args=(result,))
        process.start()
        interrupt(process.result)
        assert process.result(SOON) == result

    at_every_point(case)


def test_taking_a_message_of_a_queue_that_is_watched() -> None:
    queue = mp.Queue()
    fd = queue.fileno()

    def is_readable() -> bool:
        return bool(select.select([fd], [], [], SOON)[0])

    def case(interrupt: Interrupt) -> None:
        queue.put(1)
        assert is_readable()
        taken: list[int] = []
        interrupt(lambda: taken.append(queue.get()))
        queue.put(2)
        while not queue.empty():
            assert is_readable()
            taken.append(queue.get())
        assert taken == [1, 2]

    at_every_point(case)
    queue.close()


# -- ends. Each may be called again


def test_closing(make: Callable[[], Pool]) -> None:
    def case(interrupt: Interrupt) -> None:
        pool = make()
        result = pool.apply_async(square, (3,))
        interrupt(pool.close)
        pool.close()
        assert in_thread(result.get) == 9
        in_thread(pool.join)

    at_every_point(case)


def test_terminating(make: Callable[[], Pool]) -> None:
    def case(interrupt: Interrupt) -> None:
        pool = make()
        interrupt(pool.terminate)
        pool.terminate()
        in_thread(pool.join)

    at_every_point(case)


def test_shutting_an_executor_down() -> None:
    def case(interrupt: Interrupt) -> None:
        executor = ProcessPoolExecutor(1, fork)
        futures = [executor.submit(square, x) for x in range(20)]
        interrupt(lambda: executor.shutdown(cancel_futures=True))
        in_thread(executor.shutdown)
        assert not wait(futures, SOON).not_done

    at_every_point(case)


# -- cancelling. What was interrupted is done, or was not begun


@contextmanager
def busy(pool: Pool) -> Iterator[None]:
    """Its worker is at work meanwhile."""
    begun, go = fork.Event(), fork.Event()
    result = pool.apply_async(begin, (begun, go))
    assert begun.wait(SOON)
    yield
    go.set()
    result.get(SOON)


def test_cancelling_a_call(pool: Pool) -> None:
    def case(interrupt: Interrupt) -> None:
        with busy(pool):
            cancelled, other = pool.apply_async(square, (2,)), pool.apply_async(square, (3,))
            interrupt(cancelled.cancel)
        try:
            assert in_thread(cancelled.get) == 4
        except TaskCancelled:
            pass
        assert in_thread(other.get) == 9

    at_every_point(case)


def test_cancelling_a_future(pool: Pool) -> None:
    def case(interrupt: Interrupt) -> None:
        with busy(pool):
            cancelled, other = pool.submit(square, 2), pool.submit(square, 3)
            interrupt(cancelled.cancel)
        try:
            assert cancelled.result(SOON) == 4
        except CancelledError:
            pass
        assert other.result(SOON) == 9

    at_every_point(case)
