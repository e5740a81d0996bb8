"""What the tests of shared arrays send, and have other processes do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pool_tasks import SOON, die

import lightwork as mp

N = (1 << 18) - 8
"""Items of an array of floats that takes a block of 2 MiB."""


VIEWS: dict[str, Callable[[Any], Any]] = {
    "whole": lambda a: a,
    "slice": lambda a: a[1:3, 2:],
    "one row": lambda a: a[2],
    "one item": lambda a: a[2, 3, ...],
    "steps": lambda a: a[::2, ::3],
    "backwards": lambda a: a[::-1, ::-2],
    "transposed": lambda a: a.T,
    "transposed steps": lambda a: a[::-2, 1::2].T,
    "nothing": lambda a: a[4:, 2:],
    "reshaped": lambda a: a.reshape(2, 2, 5),
    "new axis": lambda a: a[:, None, 1],
    "integers": lambda a: a.view("i8"),
    "bytes, backwards": lambda a: a.view("u1")[:, ::-1],
    "broadcast": lambda a: np.broadcast_to(a[1], (3, 5)),
    "diagonal": lambda a: a.diagonal(1),
    "windows": lambda a: sliding_window_view(a, 2, 1),
    "read-only": lambda a: readonly(a[1:]),
}


def readonly(array: Any) -> Any:
    view = array.view()
    view.flags.writeable = False
    return view


def fails_with(array: Any) -> None:
    raise ValueError(array)


def makes_one_and_fails_with(array: Any) -> None:
    mp.ndarray(1)
    raise ValueError(array)


def fill(array: Any, value: float) -> Any:
    array[...] = value
    return array


def made(value: float, n: int = N) -> Any:
    return mp.ndarray(n, fill=value)


def raises(array: Any) -> None:
    raise KeyError(float(array[0]))


def fails_to_send(array: Any) -> Any:
    return array, threading.Lock()


# -- through queues


def fills_what_comes(q: Any, value: float) -> None:
    fill(q.get(), value)


def reads(array: Any, asked: Any, told: Any) -> None:
    """Tell the item at each index that is asked for."""
    while (index := asked.get(timeout=SOON)) is not None:
        told.put(float(array[index]))


def passes_on(source: Any, to: Any) -> None:
    to.put(source.get(timeout=SOON))


def holds(q: Any, held: Any, go: Any) -> float:
    """Tell that the array is held; return its least item when told to go."""
    array = q.get(timeout=SOON)
    held.set()
    assert go.wait(SOON)
    return float(array.min())


def puts_and_dies(q: Any, value: float) -> None:
    q.put(made(value))
    die()


def makes_for_ever() -> None:
    while True:
        mp.ndarray(4 * N)


def drops(array: Any, told: Any, go: Any) -> None:
    del array
    told.put("dropped")
    assert go.wait(SOON)


def writes_to_its_arguments(array: Any, others: Any, name: bytes) -> tuple[Any, ...]:
    fixed, same = others
    array[0] = 7
    return array[-1], fixed[-1], array.flags.writeable, fixed.flags.writeable, same is array, name


class _WithItself:
    """Mixed into a process: it is part of its own state."""

    def __init__(self, array: Any) -> None:
        super().__init__()
        self.array, self.itself = array, self

    def run(self) -> Any:
        return self.itself is self, float(self.itself.array.sum())


class SpawnedWithItself(_WithItself, mp.get_context("spawn").Process):  # type: ignore[misc]
    pass


class ServedWithItself(_WithItself, mp.get_context("forkserver").Process):  # type: ignore[misc]
    pass


def sends_back(array: Any, q: Any, go: Any) -> None:
    assert go.wait(SOON)
    q.put(array)


# -- in a pool


def looks(view: Any, add: float) -> tuple[Any, ...]:
    """What the view is here; add to it if it may be written."""
    facts = (view.shape, view.strides, view.dtype, view.flags.writeable, view.tolist())
    if view.flags.writeable:
        view += add
    return *facts, view


def is_refused(array: Any) -> str:
    try:
        array[...] = 1
    except ValueError as error:
        return str(error)
    return "written"


def fills_the_first(parts: list[Any]) -> tuple[bool, list[float]]:
    """Fill one of several views of the same array: what do the others say?"""
    parts[0][...] = 4
    return parts[-1] is parts[0], [float(np.min(part)) for part in parts]


@dataclass
class Holder:
    name: str
    array: Any


def fill_nested(path: Callable[[Any], Any], nested: Any, value: float) -> None:
    fill(path(nested), value)


def inner_array(nested: Any) -> Any:
    return nested["inner"][0]


def held_array(nested: Holder) -> Any:
    return nested.array


def argument_of_partial(nested: Any) -> Any:
    return nested.args[0]


def pauses(array: Any, begun: Any) -> None:
    begun.set()
    while True:
        signal.pause()


def dies_once(array: Any, died: Any) -> float:
    if died.exchange(1) == 0:
        die()
    return float(array.sum())


def negated(array: Any) -> Any:
    """A new shared array."""
    return mp.share(-array)


class Call:
    """A function with an array in it."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __call__(self, value: float) -> None:
        fill(self.array, value)


def fill_beside(function: Any, array: Any, value: float) -> None:
    fill(array, function(value))


kept: Any = None
"""What an initializer, or the parent before a fork, left here."""


def keep(array: Any) -> None:
    global kept
    kept = array


def sum_of_kept(_: Any) -> float:
    return float(sum(array.sum() for array in kept))


def fill_kept(value: float) -> None:
    fill(kept, value)


# -- programs

FORKSERVER = """
import gc
import lightwork as mp

def nothing():
    pass

if __name__ == "__main__":
    array = mp.ndarray(1 << 20)
    p = mp.get_context("forkserver").Process(target=nothing)
    p.start()
    p.join()
    del array, p
    gc.collect()
    print(mp.arena.stats().used < 4 << 20)
"""

WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
import lightwork as mp

def double(x):
    assert sys.modules["numpy"] is None
    return 2 * x

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        ctx = mp.get_context(method)
        q = ctx.Queue()
        q.put({"large": bytearray(100_000)})
        assert len(q.get()["large"]) == 100_000
        with ctx.Pool(1) as pool:
            assert pool.map(double, range(3)) == [0, 2, 4]
    for call in (lambda: mp.ndarray(3), lambda: mp.share([1])):
        try:
            call()
        except ImportError as error:
            print(error)
"""
