"""How functions that have no name, and what only cloudpickle can pickle, get to workers."""

from __future__ import annotations

import pickle
from collections import ChainMap
from collections.abc import Callable
from functools import cache
from importlib import import_module
from multiprocessing.reduction import ForkingPickler
from typing import Any

from .. import _native
from ..reduction import REDUCERS, PickledBy, SharedBlock, dumps, pack

UNPICKLABLE = (pickle.PicklingError, AttributeError, TypeError)
"""What pickle raises for lambdas, closures and the like, which cloudpickle may know how to pickle."""


class Bound:
    """A function with what is bound to it, pickled once for all tasks of a job: large buffers lie in shared memory, and
    each task maps them privately. So every task has a copy of its own, as of all arguments, and they cross once."""

    def __init__(self, func: Callable[..., Any]) -> None:
        packed = pack_portably(func)
        pickled, buffers, blocks = packed if type(packed) is tuple else (packed, [], [])
        self._parts = bytes(pickled), [_Copy(buffer) for buffer in buffers], blocks

    def __reduce__(self) -> tuple[Any, ...]:
        return _unbind, self._parts


def _unbind(pickled: bytes, buffers: list[Any], blocks: list[Any]) -> Any:
    return pickle.loads(pickled, buffers=buffers)


class _Copy:
    """A copy of a buffer in shared memory, which comes out of a pickle as a private view of it."""

    def __init__(self, buffer: memoryview) -> None:
        self._readonly = buffer.readonly
        block: Any = SharedBlock(buffer.nbytes)
        memoryview(block)[:] = buffer
        self._block = block

    def __reduce__(self) -> tuple[Any, ...]:
        return _private_view, (self._block, self._readonly)


def _private_view(block: SharedBlock, readonly: bool) -> memoryview:
    private: Any = _native.Private(block)
    view = memoryview(private)
    return view.toreadonly() if readonly else view


class Errand:
    """A worker's initializer and its arguments. Pickled apart, so that what cannot be unpickled is reported by the
    worker's loop and not only printed by a process that could not start."""

    def __init__(self, func: Callable[..., Any], args: Any) -> None:
        self._work = func, args

    def __call__(self) -> None:
        func, args = self._work
        func(*args)

    def __reduce__(self) -> tuple[object, ...]:
        return _SealedErrand, (_dumps_portably(self._work),)


class _SealedErrand:
    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def __call__(self) -> None:
        func, args = pickle.loads(self._packed)
        func(*args)


def _portably(obj: object, plain: Callable[[], Any], cloud: Callable[[], Any]) -> Any:
    """What one of the two makes; pickle's own error if neither can."""
    try:
        return plain()
    except UNPICKLABLE:
        try:
            return cloud()
        except Exception:
            pass
        raise


def pack_portably(obj: object) -> Any:
    return _portably(obj, lambda: pack(obj), lambda: pack(PickledBy(cloud_pickler(), obj)))


def _dumps_portably(obj: object) -> bytes:
    return bytes(_portably(obj, lambda: dumps(obj), lambda: dumps(obj, cloud_pickler())))


@cache
def cloud_pickler() -> Any:
    """The class; imported only where pickle fails: it costs 20 ms."""
    cloudpickle: Any = import_module("cloudpickle")
    forking: Any = ForkingPickler
    table = ChainMap(REDUCERS, forking._extra_reducers, cloudpickle.Pickler.dispatch_table)
    return type("CloudPickler", (cloudpickle.Pickler,), {"dispatch_table": table})
