"""Pickling: the stdlib's `reduction`, and the two functions the core calls for what its fast format has no word for.

`ForkingPickler` is the stdlib's own class, so what libraries register there (torch its tensors) is honoured.
"""

from __future__ import annotations

import copyreg
import io
import pickle
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


#: What a ForkingPickler builds anew for each of its objects, at more cost than a small pickle's.
_TABLE: Any = ChainMap(ForkingPickler._extra_reducers, copyreg.dispatch_table)  # type: ignore[attr-defined]


def dumps(obj: object) -> memoryview:
    """Pickle `obj`, honouring `ForkingPickler.register`. Raises what its pickling raises."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _TABLE
    pickler.dump(obj)
    return buffer.getbuffer()


loads = pickle.loads
_native.set_pickler(dumps, loads)


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
