"""How functions that have no name, and what only cloudpickle can pickle, get to workers."""

from __future__ import annotations

import pickle
from collections import ChainMap
from collections.abc import Callable
from functools import cache
from importlib import import_module
from multiprocessing.reduction import ForkingPickler
from typing import Any

from ..reduction import REDUCERS, Copy, PickledBy, pack

UNPICKLABLE = (pickle.PicklingError, AttributeError, TypeError)
"""What pickle raises for lambdas, closures and the like, which cloudpickle may know how to pickle."""


class Bound:
    """A function with what is bound to it, pickled once for all tasks of a job: large buffers lie in shared memory, and
    each task maps them privately. So every task has a copy of its own, as of all arguments, and they cross once."""

    def __init__(self, func: Callable[..., Any]) -> None:
        pickled, buffers, blocks = parts(func)
        self._parts = pickled, [Copy(buffer) for buffer in buffers], blocks

    def __reduce__(self) -> tuple[Any, ...]:
        return _unbind, self._parts


def _unbind(pickled: bytes, buffers: list[Any], blocks: list[Any]) -> Any:
    return pickle.loads(pickled, buffers=buffers)


class Errand:
    """A worker's initializer and its arguments. Pickled apart, so that what cannot be unpickled is reported by the
    worker's loop and not only printed by a process that could not start."""

    def __init__(self, func: Callable[..., Any], args: Any) -> None:
        self._work = func, args

    def __call__(self) -> None:
        func, args = self._work
        func(*args)

    def __reduce__(self) -> tuple[object, ...]:
        pickled, buffers, blocks = parts(self._work)
        return _SealedErrand, (pickled, list(map(pickle.PickleBuffer, buffers)), blocks)


class _SealedErrand:
    def __init__(self, pickled: bytes, buffers: list[Any], blocks: list[Any]) -> None:
        self._packed = pickled, buffers
        self._blocks = blocks

    def __call__(self) -> None:
        pickled, buffers = self._packed
        func, args = pickle.loads(pickled, buffers=buffers)
        func(*args)


def parts(obj: object) -> tuple[bytes, list[memoryview], list[Any]]:
    """What `pack` or cloudpickle makes of it, always in three parts; raises pickle's own error if neither can."""
    try:
        packed = pack(obj)
    except UNPICKLABLE:
        try:
            packed = pack(PickledBy(cloud_pickler(), obj))
        except Exception:
            packed = None
        if packed is None:
            raise
    pickled, buffers, blocks = packed if type(packed) is tuple else (packed, [], [])
    return bytes(pickled), buffers, blocks


@cache
def cloud_pickler() -> Any:
    """The class; imported only where pickle fails: it costs 20 ms."""
    cloudpickle: Any = import_module("cloudpickle")
    forking: Any = ForkingPickler
    table = ChainMap(REDUCERS, forking._extra_reducers, cloudpickle.Pickler.dispatch_table)
    return type("CloudPickler", (cloudpickle.Pickler,), {"dispatch_table": table})
