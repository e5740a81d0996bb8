"""Pools that several threads of one process use at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from threading import Event
from typing import Any

import pytest
from pool_tasks import square
from threads import THREADS, each, together

import lightwork as mp
from lightwork.errors import TaskCancelled
from lightwork.futures import ProcessPoolExecutor
from lightwork.pool._imap import Stream
from lightwork.pool._jobs import ApplyResult, MapResult

ROUNDS = 200


@pytest.fixture(params=["processes", "threads", "serial", "auto"])
def pool(request: pytest.FixtureRequest) -> Iterator[Any]:
    with mp.Pool(2, backend=request.param) as pool:
        yield pool
    pool.join()


def test_threads_share_a_pool(pool: Any) -> None:
    squares = list(map(square, range(ROUNDS)))

    def work(number: int) -> None:
        for i in range(5):
            assert pool.map(square, range(ROUNDS)) == squares
            assert pool.starmap(pow, [(x, 2) for x in range(ROUNDS)], chunksize=7) == squares
            assert pool.apply(square, (number,)) == number * number
            jobs = [pool.apply_async(square, (x,)) for x in range(10)]
            futures = [pool.submit(square, x) for x in range(10)]
            assert [job.get(30) for job in jobs] == [future.result(30) for future in futures] == squares[:10]
            assert list(pool.imap(square, range(50), 1 + i)) == squares[:50]
            assert sorted(pool.imap_unordered(square, range(50), 1 + i)) == squares[:50]

    each(work)


@pytest.mark.parametrize(("count", "chunksize"), [(2000, 1), (40_000, 2000)])
@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
@pytest.mark.parametrize("backend", ["processes", "threads"])
def test_threads_share_an_iterator(backend: str, method: str, count: int, chunksize: int) -> None:
    with mp.Pool(2, backend=backend) as pool:
        results = getattr(pool, method)(square, range(count), chunksize)
        taken = each(lambda number: list(results))
    pool.join()
    assert sorted(chain(*taken)) == list(map(square, range(count)))


def test_callbacks_are_called_once_each() -> None:
    called: list[int] = []
    with mp.Pool(2, backend="threads") as pool:

        def work(number: int) -> None:
            for job in [pool.apply_async(square, (i,), callback=called.append) for i in range(ROUNDS)]:
                job.get(30)

        each(work)
    pool.join()
    assert sorted(called) == sorted([*map(square, range(ROUNDS))] * THREADS)


def test_threads_cancel_jobs_at_the_same_time() -> None:
    go = mp.Event()
    with mp.Pool(1) as pool:
        first = pool.apply_async(go.wait, (60,))
        jobs = [[pool.apply_async(square, (i,)) for i in range(ROUNDS)] for _ in range(THREADS)]
        assert all(each(lambda number: all(job.cancel() for job in jobs[number])))
        go.set()
        assert first.get(30)
        for job in chain(*jobs):
            with pytest.raises(TaskCancelled):
                job.get(30)
        assert pool.apply(square, (3,)) == 9
    pool.join()


def test_an_executor_takes_calls_of_several_threads() -> None:
    with ProcessPoolExecutor(2) as executor:

        def work(number: int) -> list[int]:
            return [future.result(30) for future in [executor.submit(square, i) for i in range(ROUNDS)]]

        assert each(work) == [list(map(square, range(ROUNDS)))] * THREADS


# -- outcomes that come twice, from two threads: of a worker, and of whoever gives a job up


class NoPool:
    """The parts of an engine, and of its pool, that a job asks for."""

    @property
    def _engine(self) -> NoPool:
        return self

    def bind(self, func: Any) -> Any:
        return func

    def send(self, *piece: Any) -> None:
        """Nobody runs it."""

    def finish(self, job: Any) -> None:
        job.conclude()

    def learn(self, *figures: Any) -> None:
        """Nobody asks."""


@pytest.mark.parametrize("make", [lambda: ApplyResult(NoPool()), lambda: MapResult(NoPool(), square, [0, 1])])
def test_the_first_outcome_of_a_job_stays(make: Callable[[], Any]) -> None:
    jobs = [make() for _ in range(ROUNDS * 5)]

    def work(number: int) -> list[Any]:
        seen = []
        for job in jobs:
            job.settle(0, number > 0, [number] if number else ZeroDivisionError(), 0)
            seen.append(job._outcomes[0])
            job.conclude()
        return seen

    one, other = each(work, 2)
    assert one == other == [job._outcomes[0] for job in jobs]


@pytest.mark.parametrize("ordered", [True, False])
def test_an_item_of_an_iterator_is_returned_once(ordered: bool) -> None:
    count, done = ROUNDS * 20, Event()
    stream = Stream(NoPool(), square, range(count), 1, count, ordered)
    stream.top_up()
    found = []

    def settle() -> None:
        for index in range(count):
            stream.settle(index, True, index, 0)

    def take() -> None:
        while not done.is_set() or stream.has_news():
            if (outcome := stream.pop()) is not None:
                found.append(outcome[1])
            elif stream.is_over():
                return

    def settle_and_tell() -> None:
        settle()
        done.set()

    together(settle, settle_and_tell, take)
    assert sorted(found) == list(range(count))
    assert not stream._results
