"""`lightwork.map` and `Pool(backend="auto")`: every item is computed once, and the way is the one that fits."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import auto_tasks
import pytest
from auto_tasks import add, calculate, fail_at_three, lock_after, note, wait, wait_if_late

import lightwork as mp
from lightwork.pool import AutoPool, _choice


@pytest.fixture
def pool() -> Iterator[AutoPool]:
    with AutoPool(2, context=mp.get_context("fork")) as pool:
        yield pool
    pool.join()


# -- which way


def test_quick_calls_are_made_here_and_start_nothing(pool: AutoPool) -> None:
    assert pool.map(add, range(1000)) == list(range(1, 1001))
    assert pool.explanation.startswith("serial: 1,000 calls took ")
    assert not pool.has_processes()
    assert pool.map(add, []) == []
    assert pool.explanation == "serial: there are no items"
    assert pool.map(add, [5]) == [6]
    assert not pool.has_processes()


@pytest.mark.parametrize(("seconds", "count"), [(0.1, 4), (0.003, 200)])
def test_long_calls_go_to_processes(pool: AutoPool, seconds: float, count: int) -> None:
    here = pool.map(calculate, [seconds] * count)
    assert len(here) == count
    assert pool.explanation.startswith("processes x 2: ")
    assert 0 < here.count(False) < count


@pytest.mark.parametrize(("seconds", "count"), [(0.02, 8), (0.001, 300)])
def test_calls_that_wait_go_to_threads(pool: AutoPool, seconds: float, count: int) -> None:
    assert pool.map(wait, [seconds] * count) == [seconds] * count
    assert pool.explanation.startswith("threads x 2: the calls wait for ")


def test_more_threads_than_processors_wait_if_no_number_was_named() -> None:
    with AutoPool() as pool:
        pool.map(wait, [0.005] * 100)
    pool.join()
    number = re.match(r"threads x (\d+): ", pool.explanation)
    assert number is not None
    assert int(number[1]) > min(31, mp.usable_cpus())


def test_items_that_take_longer_than_those_before_are_noticed(pool: AutoPool) -> None:
    assert pool.map(wait_if_late, range(140)) == list(range(140))
    assert not pool.explanation.startswith("serial")


def test_few_items_start_processes_unless_the_function_is_known_to_be_quick(
    pool: AutoPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quick(x: int) -> int:
        return x

    monkeypatch.setitem(_choice._known, quick, 1e-6)
    assert pool.map(quick, [1, 2, 3]) == [1, 2, 3]
    assert pool.explanation.startswith("serial: 3 calls took ")
    assert not pool.has_processes()
    del _choice._known[quick]
    assert pool.map(quick, [1, 2, 3]) == [1, 2, 3]
    assert pool.has_processes()
    assert quick in _choice._known


@pytest.mark.parametrize("count", [4, 100])
def test_what_cannot_be_sent_stays_in_this_process(pool: AutoPool, count: int) -> None:
    locks = [threading.Lock() for _ in range(count)]
    assert pool.map(lambda lock: calculate(0.001) and lock, locks) == locks
    assert not pool.has_processes()


def test_results_that_cannot_be_sent_are_made_here(pool: AutoPool) -> None:
    assert len({id(lock) for lock in pool.map(lock_after, [0.02] * 4)}) == 4
    assert len({id(lock) for lock in pool.map(lock_after, [0.002] * 50)}) == 50
    assert "it cannot be sent" in pool.explanation


@pytest.mark.parametrize("count", [5, 400])
def test_every_item_is_computed_once(pool: AutoPool, tmp_path: Path, count: int) -> None:
    path = tmp_path / "calls"
    assert pool.map(note, [(str(path), i) for i in range(count)]) == list(range(count))
    assert path.stat().st_size == count


def test_what_only_processes_have_is_had_there(pool: AutoPool) -> None:
    assert pool.map(add, [1, 2], timeout=30) == [2, 3]
    assert pool.explanation.startswith("processes x 2: ")
    assert pool.starmap(add, [(1, 2)], retries=1) == [3]
    with AutoPool(1, calculate, (0,)) as bound:
        assert not any(bound.map(calculate, [0, 0]))
        assert bound.explanation.startswith("processes x 1: ")
    bound.join()


# -- errors and ends


@pytest.mark.parametrize("count", [5, 5000])
def test_what_a_call_raises_comes_out_and_the_pool_goes_on(pool: AutoPool, count: int) -> None:
    with pytest.raises(KeyError, match="three"):
        pool.map(fail_at_three, range(count))
    assert pool.starmap(add, [(1, 2), (3, 4)]) == [3, 7]
    assert pool.apply(add, (1,)) == 2


def test_an_iterable_that_raises(pool: AutoPool) -> None:
    with pytest.raises(ZeroDivisionError):
        pool.map(add, (1 // x for x in (1, 0)))


def test_ends_of_a_pool_that_never_started() -> None:
    pool = AutoPool(2)
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    pool.close()
    pool.join()
    with pytest.raises(ValueError, match="not running"):
        pool.map(add, [1])
    with pytest.raises(ValueError, match="not running"):
        pool.apply(add, (1,))
    assert not pool.has_processes()


def test_several_threads_start_the_processes_once(pool: AutoPool) -> None:
    meeting = threading.Barrier(4)
    found: list[Any] = []

    def use() -> None:
        meeting.wait(10)
        found.append(pool.apply(add, (1,)))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 4
    assert len(mp.active_children()) == 2


# -- lightwork.map


def test_map_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert mp.map(add, range(100)) == list(range(1, 101))
    assert capsys.readouterr() == ("", "")
    assert mp.map(auto_tasks.add, range(100), workers=1, chunksize=3, explain=True) == list(range(1, 101))
    assert capsys.readouterr().err.startswith("lightwork.map: serial: 100 calls took ")
    assert mp.map(calculate, [0.1] * 6, workers=2).count(True) < 6


def test_map_is_not_among_the_names_that_a_star_imports() -> None:
    assert "map" not in mp.__all__


@pytest.mark.parametrize("options", [{"workers": 0}, {"chunksize": 0}])
def test_bad_counts_raise(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        mp.map(add, [1, 2], **options)
