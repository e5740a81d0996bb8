"""What follows from the figures of a comparison: the best way, the verdict, Amdahl's law, the likeness of results."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from lightwork.comparison.figures import Figures, Timing, is_faster
from lightwork.comparison.fit import amdahl
from lightwork.comparison.sameness import Likeness, difference
from lightwork.comparison.verdict import explanation, verdict, warnings
from lightwork.pool._costs import Sending


def timing(way: str, seconds: float, demand: float, start: float = 0.01, workers: int = 2) -> Timing:
    """Five rounds around so many seconds, without noise to speak of, on a quiet machine."""
    rounds = tuple(seconds * factor for factor in (1.0, 1.01, 0.99, 1.02, 0.98))
    cpu = tuple(taken * demand for taken in rounds)
    return Timing(way, 1 if way == "serial" else workers, rounds, cpu, (0.0,) * 5, 0.0 if way == "serial" else start)


SMALL = Sending(10, 1e-6)


def figures(
    serial: Timing, threads: Timing, processes: Timing, *, sending: Sending = SMALL, items: int = 100
) -> Figures:
    return Figures((serial, threads, processes), items, cpus=2, sending=sending, lock=True)


LOCKED = figures(timing("serial", 1, 1), timing("threads", 1, 1), timing("processes", 0.51, 2))
RELEASED = figures(timing("serial", 1, 1), timing("threads", 0.52, 2), timing("processes", 0.51, 2))
WAITING = figures(timing("serial", 1, 0.01), timing("threads", 0.5, 0.02), timing("processes", 0.5, 0.03))
SENT = figures(
    timing("serial", 0.1, 1), timing("threads", 0.1, 1), timing("processes", 0.3, 1.5), sending=Sending(8e6, 0.004)
)
TINY = figures(timing("serial", 1e-4, 1), timing("threads", 1e-3, 1), timing("processes", 1e-3, 1.2), items=1000)
BRIEF = figures(timing("serial", 0.01, 1), timing("threads", 0.01, 1), timing("processes", 0.006, 2), items=10)
NATIVE = figures(timing("serial", 1, 1.9), timing("threads", 1, 1.9), timing("processes", 1, 2))


@pytest.mark.parametrize(
    ("given", "best", "words"),
    [
        (LOCKED, "processes", "Threads take turns at the interpreter lock"),
        (RELEASED, "threads", "The calls release the interpreter lock"),
        (WAITING, "threads", "The calls wait for 99% of their time, so more workers than processors pay: try"),
        (SENT, "serial", "share large arrays (lightwork.share)"),
        (TINY, "serial", "Sending costs"),
        (BRIEF, "serial", "since a pool takes 10 ms to start: in one that is there processes x 2 would be 1.67 times"),
        (NATIVE, "serial", "A single call uses 1.9 processors already"),
    ],
    ids=["locked", "released", "waiting", "sent", "tiny", "brief", "native"],
)
def test_verdict(given: Figures, best: str, words: str) -> None:
    assert given.best.backend == best
    assert words in verdict(given)
    assert warnings(given) == []
    assert all(line.isascii() for line in explanation(given))


@pytest.mark.parametrize(
    ("longest", "items", "told"),
    [(0.7, 8, True), (0.5, 8, False), (0.5, 2, False), (0.999, 2, True), (None, 8, False)],
)
def test_an_item_that_keeps_the_other_workers_waiting_is_told(longest: float | None, items: int, told: bool) -> None:
    given = dataclasses.replace(LOCKED, longest=longest, items=items)
    assert ("no number of workers can be faster" in verdict(given)) is told
    if longest == 0.7:
        assert "One of the 8 items takes 70% of the time" in verdict(given)
        assert "(1.4 times as fast as serial). Split it." in verdict(given)


def test_a_new_pool_pays_from_its_start_over_the_gain_of_a_call() -> None:
    assert BRIEF.pays_from(BRIEF.timings[2]) == 25  # 10 ms, and 0.4 ms gained by each of 10 calls
    assert LOCKED.pays_from(LOCKED.timings[2]) == 3
    assert LOCKED.pays_from(LOCKED.timings[1]) is None


def test_faster_is_beyond_the_noise() -> None:
    slow = Timing("serial", 1, (1.0, 1.0, 1.0, 1.0), (1.0,) * 4, (0.0,) * 4)
    for seconds, faster in [
        ((0.8, 0.8, 0.8, 2.0), True),
        ((0.8, 0.8, 2.0, 2.0), False),
        ((0.95, 0.95, 0.95, 0.95), False),
    ]:
        assert is_faster(dataclasses.replace(slow, seconds=seconds), slow) is faster


def test_a_way_whose_workers_took_turns_is_not_the_best_whatever_the_clock_says() -> None:
    lucky = figures(timing("serial", 1, 1), timing("threads", 0.7, 1), timing("processes", 0.8, 1))
    assert lucky.best.backend == "serial"


def test_what_is_doubtful_is_said() -> None:
    noisy = timing("serial", 1, 1)
    noisy = dataclasses.replace(noisy, seconds=(1.0, 1.0, 1.0, 1.0, 2.0))
    crowded = dataclasses.replace(timing("processes", 0.9, 1), queued=(0.9,) * 5)
    many = timing("threads", 1, 1, workers=8)
    found = warnings(figures(noisy, many, crowded))
    assert [line.split()[0] for line in found] == ["noisy:", "busy:", "8"]


def test_a_python_without_a_lock_is_known() -> None:
    free = dataclasses.replace(RELEASED, lock=False)
    assert "This Python has no interpreter lock" in verdict(free)
    assert explanation(free)[0] == "interpreter lock: this Python has none"


# -- Amdahl's law


def test_the_law_is_found_again() -> None:
    points = [(p, 10 * (0.2 + 0.8 / p) + 0.5) for p in (1, 2, 4, 8)]
    fit = amdahl(10, points)
    assert fit is not None
    assert fit.serial_part == pytest.approx(0.2)
    assert fit.overhead == pytest.approx(0.5)
    assert fit.limit == pytest.approx(5)


def test_one_number_of_workers_gives_the_serial_part_alone() -> None:
    fit = amdahl(10, [(2, 6.0), (2, 6.0)])
    assert fit is not None
    assert fit.serial_part == pytest.approx(0.2)
    assert fit.overhead is None
    assert amdahl(10, [(1, 10.0)]) is None
    perfect = amdahl(10, [(2, 4.9)])
    assert perfect is not None
    assert (perfect.serial_part, perfect.limit) == (0, math.inf)


# -- results


class Plain:
    pass


class Refuses:
    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError("on purpose")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("one", "other", "likeness"),
    [
        (3, 3, None),
        (3, 4, Likeness.DIFFERENT),
        (math.nan, math.nan, None),
        (math.nan, 1.0, Likeness.DIFFERENT),
        (0.1 + 0.2, 0.3, Likeness.CLOSE),
        ({"a": [0.1 + 0.2, math.nan]}, {"a": [0.3, math.nan]}, Likeness.CLOSE),
        ([1, 2], [1, 2, 3], Likeness.DIFFERENT),
        ({"a": 1}, {"b": 1}, Likeness.DIFFERENT),
        (1, "1", Likeness.DIFFERENT),
        (Plain(), Plain(), Likeness.UNKNOWN),
        (Refuses(), Refuses(), Likeness.UNKNOWN),
    ],
)
def test_likeness(one: Any, other: Any, likeness: Likeness | None) -> None:
    found = difference([0, one], [0, other])
    assert (found and found.likeness) == likeness
    assert found is None or found.text.startswith("result 1 ")


def test_likeness_of_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    ones = numpy.array([1.0, math.nan])
    assert difference([ones], [ones.copy()]) is None
    for other, likeness in [
        (ones + 1e-12, Likeness.CLOSE),
        (ones + 1, Likeness.DIFFERENT),
        (ones[:1], Likeness.DIFFERENT),
        (numpy.array([1.0, 2.0]), Likeness.DIFFERENT),
    ]:
        found = difference([[ones]], [[other]])
        assert found is not None
        assert found.likeness is likeness
    words = difference([numpy.array(["a"])], [numpy.array(["b"])])
    assert words is not None
    assert words.text == "result 0 is an array with 1 other elements"


def test_the_worst_difference_is_told() -> None:
    found = difference([0.1 + 0.2, 1, Plain()], [0.3, 2, Plain()])
    assert found is not None
    assert found.text == "result 1 is 2 instead of 1"
