"""ctypes objects in shared memory: RawValue and RawArray bare, Value and Array with a lock and atomic operations."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from functools import partial
from multiprocessing.context import BaseContext, assert_spawning
from operator import getitem, setitem
from typing import Any

from . import _native
from .arrays import numpy_for, on_block
from .reduction import ForkingPickler, SharedBlock

__all__ = ["Array", "RawArray", "RawValue", "Value", "copy", "synchronized"]

#: The tutorial's table, and 'c' and 'u' for characters.
typecode_to_type: dict[str, type[Any]] = {
    "c": ctypes.c_char,
    "u": ctypes.c_wchar,
    "b": ctypes.c_byte,
    "B": ctypes.c_ubyte,
    "h": ctypes.c_short,
    "H": ctypes.c_ushort,
    "i": ctypes.c_int,
    "I": ctypes.c_uint,
    "l": ctypes.c_long,
    "L": ctypes.c_ulong,
    "q": ctypes.c_longlong,
    "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}

_SIGNED, _UNSIGNED, _FLOAT = "bhilq", "BHILQ", "fd"


def _type_of(typecode_or_type: Any) -> type[Any]:
    type_ = typecode_to_type.get(typecode_or_type) if isinstance(typecode_or_type, str) else typecode_or_type
    if type_ is None:
        known = ", ".join(typecode_to_type)
        raise TypeError(f"bad type code {typecode_or_type!r}: must be one of {known}, or a ctypes type")
    try:
        ctypes.sizeof(type_)
    except TypeError:
        type_ = None
    if not isinstance(type_, type):  # ctypes knows the size of an object, too
        raise TypeError(f"{typecode_or_type!r} is neither a type code nor a ctypes type")
    return type_


def _new_value(type_: type[Any]) -> Any:
    return rebuild_ctype(type_, SharedBlock(ctypes.sizeof(type_)), None)


def RawValue(typecode_or_type: Any, *args: Any) -> Any:
    """A ctypes object in shared memory, without a lock, initialised with `args` (zeros without).

    Raises TypeError for an unknown type code or arguments that the type does not take.
    """
    type_ = _type_of(typecode_or_type)
    obj = _new_value(type_)
    obj.__init__(*args)
    return obj


def RawArray(typecode_or_type: Any, size_or_initializer: Any) -> Any:
    """A one-dimensional ctypes array in shared memory, without a lock: so many zeros, or the items of a sequence.

    Raises TypeError for an unknown type code or items that the type does not take (a list of lists: use an array
    library for more dimensions), ValueError for a negative size, MemoryError (ArenaFull) for one that cannot be had.
    """
    type_ = _type_of(typecode_or_type)
    if isinstance(size_or_initializer, int):
        if size_or_initializer < 0:
            raise ValueError(f"an array cannot have {size_or_initializer} items")
        return _new_value(type_ * size_or_initializer)
    items = size_or_initializer
    if not hasattr(items, "__len__"):
        try:
            items = iter(items)
        except TypeError:
            kind = type(items).__name__
            raise TypeError(
                f"an array is made of an int (how many items) or a sequence, not of a {kind}: {items!r}"
            ) from None
        items = tuple(items)
    obj = _new_value(type_ * len(items))
    try:
        obj.__init__(*items)
    except TypeError as e:
        bad = next((x for x in items if isinstance(x, (list, tuple)) and not issubclass(type_, ctypes.Structure)), None)
        if bad is None:
            raise
        raise TypeError(f"{e}: an Array has one dimension, and its items cannot be {type(bad).__name__}s") from None
    return obj


def Value(typecode_or_type: Any, *args: Any, lock: Any = True, ctx: BaseContext | None = None) -> Any:
    """A ctypes object in shared memory with a lock: `.value`, `get_lock()`, `get_obj()`.

    A number also has `add`, `exchange`, `compare_exchange` and `+=`: each one atomic step, without the lock.
    `lock`: True for a new RLock, False for a bare object (as RawValue), or a lock to use.
    Raises TypeError for an unknown type code, and AttributeError if `lock` is no lock.
    """
    return _with_lock(RawValue(typecode_or_type, *args), lock, ctx)


def Array(typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True, ctx: BaseContext | None = None) -> Any:
    """A ctypes array in shared memory with a lock; errors as RawArray, `lock` as Value."""
    return _with_lock(RawArray(typecode_or_type, size_or_initializer), lock, ctx)


def _with_lock(obj: Any, lock: Any, ctx: BaseContext | None) -> Any:
    if lock is False:
        return obj
    if lock in (True, None):
        lock = _context(ctx).RLock()
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    return synchronized(obj, lock, ctx=ctx)


def _context(ctx: BaseContext | None) -> BaseContext:
    if ctx is not None:
        return ctx
    from .context import get_context

    return get_context()


def copy(obj: Any) -> Any:
    """A new bare object in shared memory with the content of the ctypes object `obj`."""
    new = _new_value(type(obj))
    ctypes.pointer(new)[0] = obj
    return new


def synchronized(obj: Any, lock: Any = None, ctx: BaseContext | None = None) -> SynchronizedBase:
    """The wrapper of a shared ctypes object that takes `lock` (default: a new RLock) for each access."""
    assert not isinstance(obj, SynchronizedBase), "object already synchronized"
    if isinstance(obj, ctypes._SimpleCData):
        return Synchronized(obj, lock, ctx)
    if isinstance(obj, ctypes.Array):
        return (SynchronizedString if obj._type_ is ctypes.c_char else SynchronizedArray)(obj, lock, ctx)
    return _class_for(type(obj))(obj, lock, ctx)


_classes: dict[type[Any], type[SynchronizedBase]] = {}


def _class_for(type_: type[Any]) -> type[SynchronizedBase]:
    """The wrapper class of a Structure or Union: a locked property for each field."""
    cls = _classes.get(type_)
    if cls is None:
        if not issubclass(type_, (ctypes.Structure, ctypes.Union)):
            raise TypeError(
                f"a Value cannot be a {type_.__name__}: it is a number, a character, an array, a Structure or a Union "
                "(an address means nothing in another process)"
            )
        fields = {field[0]: make_property(field[0]) for field in getattr(type_, "_fields_", ())}
        cls = _classes[type_] = type("Synchronized" + type_.__name__, (SynchronizedBase,), fields)
    return cls


def make_property(name: str) -> property:
    """A property that reads and writes an attribute of the wrapped object under the lock."""

    def get(self: SynchronizedBase) -> Any:
        return _native.holding(self._lock, getattr, self._obj, name)

    def put(self: SynchronizedBase, value: Any) -> None:
        _native.holding(self._lock, setattr, self._obj, name, value)

    return property(get, put)


def reduce_ctype(obj: Any) -> tuple[Any, ...]:
    """How ForkingPickler sends a shared ctypes object: by handle. Raises RuntimeError for one that is not shared."""
    wrapper = getattr(obj, "_wrapper", None)
    if not isinstance(wrapper, SharedBlock):
        assert_spawning(obj)
    if isinstance(obj, ctypes.Array):
        return rebuild_ctype, (obj._type_, wrapper, obj._length_)
    return rebuild_ctype, (type(obj), wrapper, None)


def rebuild_ctype(type_: type[Any], wrapper: Any, length: int | None) -> Any:
    """The ctypes object (or array of `length`) that lies in a block."""
    if length is not None:
        type_ = type_ * length
    ForkingPickler.register(type_, reduce_ctype)
    # A zero-length array has no byte to lie in.
    obj = type_.from_buffer(wrapper) if ctypes.sizeof(type_) else type_()
    obj._wrapper = wrapper
    obj.ndarray = partial(_ndarray, type_, wrapper)
    # Asked by every other pickler; what ctypes has there sends a copy of the content.
    obj.__reduce_ex__ = partial(_reduce_shared, type_, wrapper)
    return obj


def _ndarray(type_: Any, block: SharedBlock) -> Any:
    """A numpy array over the object's memory: nothing is copied, and sending it sends a handle. It has one dimension
    for an array, none for a single value. Raises TypeError for a type that numpy has no word for, ImportError without
    numpy."""
    np = numpy_for("Array.ndarray")
    shape: Any = ()
    if issubclass(type_, ctypes.Array):
        type_, shape = type_._type_, (type_._length_,)
    try:
        dtype = np.dtype(type_)
    except (TypeError, NotImplementedError) as e:  # the latter is numpy's, for ctypes types that it does not know
        raise TypeError(f"numpy has no dtype for {type_.__name__}: {e}") from None
    return on_block(block, shape, dtype)


class _Parcel:
    """A block on its way into a pickle, out of which it comes as a `SharedBlock`."""

    def __init__(self, block: Any) -> None:
        self.block = block

    def __reduce__(self) -> Any:
        return self.block.__reduce__()


def _reduce_shared(type_: type[Any], block: Any, protocol: int) -> tuple[Any, ...]:
    if issubclass(type_, ctypes.Array):
        return _unpack, (type_._type_, _Parcel(block), type_._length_)
    return _unpack, (type_, _Parcel(block), None)


def _unpack(type_: type[Any], block: Any, length: int | None) -> Any:
    """The ctypes object in a block that came out of a pickle. For `copy.copy`, which makes no pickle, it is a copy of
    the content, as of any ctypes object.
    """
    if not isinstance(block, _Parcel):
        return rebuild_ctype(type_, block, length)
    if length is not None:
        type_ = type_ * length
    return type_.from_buffer_copy(block.block) if ctypes.sizeof(type_) else type_()


def _rebuild(reduced: tuple[Any, ...], lock: Any) -> SynchronizedBase:
    return synchronized(rebuild_ctype(*reduced), lock)


class SynchronizedBase:
    """A shared ctypes object and the lock that guards it."""

    def __init__(self, obj: Any, lock: Any = None, ctx: BaseContext | None = None) -> None:
        self._obj = obj
        self._lock: Any = _context(ctx).RLock() if lock is None else lock
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self) -> Any:
        return self._lock.__enter__()

    def __exit__(self, *args: object) -> Any:
        return self._lock.__exit__(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (reduce_ctype(self._obj)[1], self._lock)

    def get_obj(self) -> Any:
        """The bare ctypes object."""
        return self._obj

    def get_lock(self) -> Any:
        """The lock."""
        return self._lock

    def ndarray(self) -> Any:
        """A numpy array over the same memory: nothing is copied, and sending it sends a handle. It does not take the
        lock: hold `get_lock()` where others write. Raises TypeError for a type that numpy has no word for, ImportError
        without numpy."""
        return self._obj.ndarray()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} wrapper for {self._obj}>"


class Synchronized(SynchronizedBase, _native.Atomic):
    """One simple value. `value` is read and written under the lock; the atomic operations need none.

    `v += n` and `v -= n` are `add`. They are atomic with each other, not with `v.value += n` under `get_lock()`: use
    one or the other for the same object.
    """

    def __init__(self, obj: Any, lock: Any = None, ctx: BaseContext | None = None) -> None:
        super().__init__(obj, lock, ctx)
        form = _form(obj)
        if form and isinstance(getattr(obj, "_wrapper", None), SharedBlock):
            self._bind(obj._wrapper, form, self._lock)

    # What the core's `value` calls where the lock is not free at once, is no RLock, or the value is no number.
    _get_value, _set_value = make_property("value").fget, make_property("value").fset

    def __iadd__(self, n: Any) -> Synchronized:
        self.add(n)
        return self

    def __isub__(self, n: Any) -> Synchronized:
        self.add(-n)
        return self


def _form(obj: Any) -> str | None:
    """What the core calls this number ("i4", "f8"); None if it is none."""
    if getattr(obj, "__ctype_le__", type(obj)) is not type(obj):
        return None  # its bytes are swapped
    code = getattr(obj, "_type_", "")
    for codes, letter in ((_SIGNED, "i"), (_UNSIGNED, "u"), (_FLOAT, "f")):
        if code in codes and code:
            return f"{letter}{ctypes.sizeof(obj)}"
    return None


class SynchronizedArray(SynchronizedBase):
    """An array; each access to items takes the lock."""

    def __len__(self) -> int:
        return len(self._obj)

    def __getitem__(self, i: Any) -> Any:
        return _native.holding(self._lock, getitem, self._obj, i)

    def __setitem__(self, i: Any, value: Any) -> None:
        _native.holding(self._lock, setitem, self._obj, i, value)

    def __getslice__(self, start: int, stop: int) -> Any:
        return self[start:stop]

    def __setslice__(self, start: int, stop: int, values: Iterable[Any]) -> None:
        self[start:stop] = values

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))


class SynchronizedString(SynchronizedArray):
    """An array of characters: also `value` (to the first null byte) and `raw`."""

    value = make_property("value")
    raw = make_property("raw")
