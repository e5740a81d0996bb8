"""Pickling: the stdlib's `reduction`, and the two functions the core calls for what its fast format has no word for.

`ForkingPickler` is the stdlib's own class, so what libraries register there (torch its tensors) is honoured.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import threading
from collections import ChainMap
from multiprocessing import reduction as _stdlib
from multiprocessing.context import get_spawning_popen
from multiprocessing.reduction import *  # noqa: F403
from multiprocessing.reduction import (  # noqa: F401 - the stdlib's module has these outside its __all__
    AbstractReducer,
    DupFd,
    ForkingPickler,
    dump,
    recv_handle,
    recvfds,
    register,
    send_handle,
    sendfds,
)
from typing import Any

from . import _native

__all__ = [*_stdlib.__all__]


#: For our own picklers, which write protocol 5. ForkingPickler may be told an older one, or write its default.
REDUCERS: dict[type[Any], Any] = {}

#: What a ForkingPickler builds anew for each of its objects, at more cost than a small pickle's.
_TABLE: Any = ChainMap(REDUCERS, ForkingPickler._extra_reducers, copyreg.dispatch_table)  # type: ignore[attr-defined]


def dumps(obj: object, make: Any = pickle.Pickler, **options: Any) -> memoryview:
    """Pickle `obj`, honouring `ForkingPickler.register`, with a pickler of the class `make`. Raises what its pickling
    raises."""
    buffer = io.BytesIO()
    pickler = make(buffer, pickle.HIGHEST_PROTOCOL, **options)
    if make is pickle.Pickler:
        pickler.dispatch_table = _TABLE
    pickler.dump(obj)
    return buffer.getbuffer()


loads = pickle.loads


class _Packing(threading.local):
    """What this thread is pickling for a message of ours."""

    #: The shared blocks that the pickle names; None: nothing is being packed.
    blocks: list[Any] | None = None


_packing = _Packing()


class PickledBy:
    """An object for a message, and the class of the pickler to use for it."""

    def __init__(self, pickler: Any, obj: object) -> None:
        self.pickler = pickler
        self.obj = obj


def pack(obj: Any) -> Any:
    """Pickle `obj` for a message: the pickle, or (pickle, large buffers beside it, shared blocks that it names). Raises
    what its pickling raises."""
    make: Any = pickle.Pickler
    if type(obj) is PickledBy:
        make, obj = obj.pickler, obj.obj
    outer = _packing.blocks
    buffers: list[memoryview] = []
    blocks: list[Any] = []

    def keep(part: pickle.PickleBuffer) -> bool:
        view = part.raw()
        if view.nbytes < _native.LEAST_BUFFER or type(view.obj) in (bytes, bytearray):
            return True  # in the pickle; the two types come out of it as what they are
        buffers.append(view)
        return False

    _packing.blocks = blocks
    try:
        pickled = dumps(obj, make, buffer_callback=keep)
    finally:
        _packing.blocks = outer
    return (pickled, buffers, blocks) if buffers or blocks else pickled


def unpack(packed: Any) -> Any:
    """The object of a pickle out of a message: bytes, or (bytes, its buffers, the shared blocks that it names)."""
    if type(packed) is tuple:
        return pickle.loads(packed[0], buffers=packed[1])
    return pickle.loads(packed)


_native.set_pickler(pack, loads)


class SharedBlock(_native.Memory):
    """Shared bytes, pickled by handle. A message of ours holds the blocks that it names, and each process that reads it
    does so in turn; they are freed when nobody holds them any more."""

    def __reduce__(self) -> tuple[Any, ...]:
        travels = _packing.blocks is not None
        if travels:
            _packing.blocks.append(self)  # type: ignore[union-attr]
        return _attach_block, (self.nbytes, self._handle(not travels and get_spawning_popen() is None))


def _attach_block(nbytes: int, handle: tuple[int, int, int]) -> SharedBlock:
    return SharedBlock(nbytes, handle=handle)


class Copy:
    """A copy of a buffer in shared memory. Each pickle of it gives a private view: a page that a receiver writes to
    becomes its own. Raises ArenaFull if there is no room."""

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


def is_for_us() -> bool:
    """Is this thread pickling for a process of this family, and nobody else?"""
    return _packing.blocks is not None or get_spawning_popen() is not None


class SharedCell:
    """Pickling for the classes over a cell of the core: by handle, at any time."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle for a child that is being started reaches that child and nobody else; what becomes of any other is
        # unknown, so that cell is kept for the life of the family.
        handle = super()._handle(get_spawning_popen() is None)  # type: ignore[misc]
        return _attach, (type(self), handle), self.__getstate__()

    def __getstate__(self) -> object:
        return getattr(self, "__dict__", None) or None


def _attach(cls: Any, handle: tuple[int, int, int]) -> Any:
    return cls.__new__(cls, handle=handle)


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
