"""numpy arrays in shared memory: sending one sends a handle, and every process reads and writes the same memory.

They are plain `numpy.ndarray` objects. What makes one shared is the memory it lies in, so slices, transposes and other
views of one are shared, too, and travel as views; what numpy computes from one is not.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from multiprocessing.reduction import ForkingPickler
from operator import index
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any

from . import _native
from .errors import ArenaFull
from .reduction import REDUCERS, Copy, SharedBlock, is_for_us

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = ["ndarray", "share"]


def ndarray(shape: Any, dtype: DTypeLike = float, fill: Any = None) -> NDArray[Any]:
    """A new array in shared memory, C-contiguous: zeros, or `fill` everywhere.

    Given to a process, put into a queue, passed to a pool's task or returned by one, it is not copied: all processes
    have the same memory. (A pickle made otherwise holds a copy.) It lives as long as anybody has it.

    `shape`: an int or a tuple of ints. Raises TypeError for a dtype that holds Python objects, ValueError for a
    negative dimension, MemoryError (ArenaFull) for an array that cannot be had, ImportError without numpy.
    """
    np = numpy_for("ndarray")
    kind = np.dtype(dtype)
    if kind.hasobject:
        raise TypeError(f"an array of {kind} cannot be shared: Python objects belong to one process")
    try:
        sizes = tuple(map(index, shape if isinstance(shape, Iterable) else (shape,)))
    except TypeError:
        raise TypeError(f"the shape of an array is an int or a tuple of ints, not {shape!r}") from None
    if any(size < 0 for size in sizes):
        raise ValueError(f"no dimension of an array can be negative: {shape!r}")
    nbytes = prod(sizes) * kind.itemsize
    if nbytes >= 1 << 63:
        raise ArenaFull(f"an array of shape {shape!r} has {nbytes} bytes: no machine can have that")
    array = on_block(SharedBlock(nbytes), sizes, kind)
    if fill is not None:
        array[...] = fill
    return array


def share(array: ArrayLike) -> NDArray[Any]:
    """A C-contiguous copy of an array (or of what numpy makes one of) in shared memory; see `ndarray`. One that is
    shared already comes back as it is. Raises what `ndarray` does, and TypeError for a masked array: it has two."""
    np = numpy_for("share")
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("a masked array would lose its mask: share its data and its mask, each as an array")
    given: NDArray[Any] = np.asarray(array)
    if _block_of(given) is not None:
        return given
    shared = ndarray(given.shape, given.dtype)
    shared[...] = given
    return shared


def numpy_for(name: str) -> Any:
    """The module; raises an ImportError that says what needs it, and what to do."""
    try:
        import numpy
    except ImportError:
        raise ImportError(f"lightwork.{name} needs numpy: pip install numpy") from None
    return numpy


def on_block(block: SharedBlock, shape: Any, dtype: Any, offset: int = 0, strides: Any = None) -> NDArray[Any]:
    """An array over (a part of) a shared block, which it holds."""
    import numpy as np

    _register(np.ndarray)
    return np.ndarray(shape, dtype, memoryview(block), offset, strides)  # type: ignore[arg-type]


def _register(kind: Any) -> None:
    if kind not in REDUCERS:
        REDUCERS[kind] = partial(_reduce, 5)
        ForkingPickler.register(kind, partial(_reduce, 4))


class _Sending(threading.local):
    #: What this thread sends in several messages: arrays by their id, and their copies once they came a second time.
    seen: dict[int, tuple[weakref.ref[Any], Copy | None]] | None = None


_sending = _Sending()


@contextmanager
def each_sent_once() -> Iterator[None]:
    """In here, where no array changes, a large one that this thread sends in many messages is copied twice at most: the
    first message has a buffer of its own, all others name one copy, which each receiver maps privately."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        _register(numpy.ndarray)
    outer, _sending.seen = _sending.seen, {}
    try:
        yield
    finally:
        _sending.seen = outer


def _block_of(array: NDArray[Any]) -> SharedBlock | None:
    """The shared block that an array lies in."""
    base: Any = array.base
    while base is not None and not isinstance(base, SharedBlock):
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return base


def _reduce(protocol: int, array: NDArray[Any]) -> Any:
    if array.base is None or not is_for_us() or (block := _block_of(array)) is None:
        reduced = array.__reduce_ex__(protocol)
        if _sending.seen is None or array.nbytes < _native.LEAST_BUFFER or not is_for_us():
            return reduced
        return _once(_sending.seen, array, reduced)
    start: int = array.__array_interface__["data"][0]
    offset = start - block.address if array.size else 0
    dtype: Any = array.dtype.str if array.dtype.isbuiltin == 1 else array.dtype  # a dtype's own pickle costs 6 us more
    return _view, (block, array.shape, dtype, offset, array.strides, array.flags.writeable)


def _once(seen: dict[int, tuple[weakref.ref[Any], Copy | None]], array: NDArray[Any], reduced: Any) -> Any:
    make, args, *_ = reduced
    if type(args[0]) is not PickleBuffer:
        return reduced  # it is not contiguous, or holds objects
    known, copy = seen.get(id(array), (None, None))
    if known is None or known() is not array:
        seen[id(array)] = weakref.ref(array), None
        return reduced
    copy = copy or Copy(args[0].raw())
    seen[id(array)] = known, copy
    return make, (copy, *args[1:])


def _view(block: SharedBlock, shape: Any, dtype: Any, offset: int, strides: Any, writeable: bool) -> NDArray[Any]:
    array = on_block(block, shape, dtype, offset, strides)
    array.flags.writeable = writeable
    return array
