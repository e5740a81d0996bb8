"""What the tests of large buffers send, and how what arrives is compared with what pickle gives.

A case is a name. Each process builds the object anew from it, so a receiver compares what it got with an object that
never travelled.
"""

from __future__ import annotations

import array
import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Any

import pytest

np: Any = pytest.importorskip("numpy")

#: From here on a buffer may travel outside its message.
LARGE = 32 * 1024
MIB = 1024 * 1024

#: A case: the name of a builder, and its arguments.
Key = tuple[Any, ...]
#: By the id of an object, the one that stands for it on the other side.
Pairs = dict[int, Any]


def again(obj: Any) -> Any:
    """What pickle alone makes of `obj`."""
    return pickle.loads(pickle.dumps(obj, 5))


# -- comparing


def differences(got: Any, want: Any) -> list[str]:
    """How `got` differs from `want`: values, types, an array's flags, and which parts are one and the same object."""
    return list(_differences(got, want, "x", {}, {}))


def wrong(key: Key, got: Any) -> list[str]:
    """How what arrived differs from what pickle gives for this case."""
    return [f"{key}: {text}" for text in differences(got, again(build(key)))]


def _differences(got: Any, want: Any, at: str, there: Pairs, back: Pairs) -> Iterator[str]:
    if type(got) is not type(want):
        yield f"{at} is {_a(got)} instead of {_a(want)}"
        return
    if isinstance(want, np.ndarray | list | dict | bytearray | array.array) or is_dataclass(want):
        if there.get(id(got), want) is not want or back.get(id(want), got) is not got:
            yield f"{at} is not the same object where it should be, or is where it should not"
            return
        if id(got) in there:
            return
        there[id(got)], back[id(want)] = want, got  # which keeps them, and so their ids, to the end
    if isinstance(want, np.ndarray):
        yield from _of_arrays(got, want, at, there, back)
    elif isinstance(want, list | tuple | dict) or is_dataclass(want):
        parts, expected = dict(_parts(got)), dict(_parts(want))
        if list(parts) != list(expected):
            yield f"{at} has the parts {list(parts)} instead of {list(expected)}"
            return
        for name, part in parts.items():
            yield from _differences(part, expected[name], f"{at}[{name!r}]", there, back)
    elif isinstance(want, np.generic):
        if got.dtype != want.dtype or got.tobytes() != want.tobytes():
            yield f"{at} is {got!r} instead of {want!r}"
    elif got != want:
        yield f"{at} is {_a(got)} instead of {_a(want)}"


def _parts(obj: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(obj, dict):
        yield from obj.items()
    elif isinstance(obj, list | tuple):
        yield from enumerate(obj)
    else:
        yield from ((f.name, getattr(obj, f.name)) for f in fields(obj))


def _of_arrays(got: Any, want: Any, at: str, there: Pairs, back: Pairs) -> Iterator[str]:
    for what in ("dtype", "dtype.metadata", "shape"):
        name, _, more = what.partition(".")
        have, expected = getattr(got, name), getattr(want, name)
        if more:
            have, expected = getattr(have, more), getattr(expected, more)
        if have != expected:
            yield f"{at}.{what} is {have} instead of {expected}"
            return
    for flag in ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE", "ALIGNED"):
        if got.flags[flag] != want.flags[flag]:
            yield f"{at}.flags.{flag} is {got.flags[flag]}"
    if isinstance(want, np.ma.MaskedArray):
        yield from _differences(np.ma.getmaskarray(got), np.ma.getmaskarray(want), f"{at}.mask", there, back)
        yield from _differences(got.fill_value, want.fill_value, f"{at}.fill_value", there, back)
        got, want = got.data, want.data
    yield from _of_values(got, want, at, there, back)
    if getattr(got, "label", None) != getattr(want, "label", None):
        yield f"{at}.label is {got.label!r}"


def _of_values(got: Any, want: Any, at: str, there: Pairs, back: Pairs) -> Iterator[str]:
    if want.dtype.names:  # between the fields there may be anything
        for name in want.dtype.names:
            yield from _of_values(got[name], want[name], f"{at}[{name!r}]", there, back)
    elif want.dtype.hasobject:
        yield from _of_items(got.ravel("K").tolist(), want.ravel("K").tolist(), at, there, back)
    elif want.dtype.char in "gG":  # has bytes that mean nothing
        if not np.array_equal(got, want, equal_nan=True) or (np.signbit(got) != np.signbit(want)).any():
            yield f"{at} has other values"
    elif got.tobytes("A") != want.tobytes("A"):
        yield f"{at} has other bytes"


def _of_items(got: list[Any], want: list[Any], at: str, there: Pairs, back: Pairs) -> Iterator[str]:
    types = list(map(type, want))
    if not {str, int, tuple, type(None)}.issuperset(types):
        yield from _differences(got, want, f"{at}.tolist()", there, back)
    elif got != want or list(map(type, got)) != types:  # as above for what filled() makes, and faster
        yield f"{at} has other objects"


def _a(obj: Any) -> str:
    size = f" of length {len(obj)}" if hasattr(obj, "__len__") else ""
    return f"{type(obj).__name__}{size} {repr(obj)[:40]}"


# -- arrays

DTYPES: dict[str, Any] = {
    name: np.dtype(name)
    for name in ("?", "i1", "u1", "<i2", ">i4", "i8", "u8", "f2", "f4", "f8", ">f8", "g", "c8", "c16", ">c16",
                 "S5", "U5", ">U5", "M8[us]", "m8[D]", "V7", "O")
} | {
    "packed": np.dtype([("a", "i1"), ("b", ">f8"), ("c", "S3")]),
    "aligned": np.dtype([("a", "i1"), ("b", "f8")], align=True),
    "nested": np.dtype([("point", [("x", "f4"), ("y", "f4")]), ("row", "u2", (3,))]),
    "with object": np.dtype([("a", "i8"), ("o", "O")]),
    "metadata": np.dtype("f8", metadata={"unit": "mm"}),
    "V0": np.dtype("V0"),
}  # fmt: skip


def _misaligned(a: Any) -> Any:
    if a.dtype.hasobject:
        return a
    room = np.zeros(a.nbytes + 1, "u1")
    b = np.ndarray(a.shape, a.dtype, room.data, offset=1)
    b[...] = a
    return b


def _read_only(a: Any) -> Any:
    a = a.copy("K")
    a.flags.writeable = False
    return a


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "C": lambda a: a,
    "F": np.asfortranarray,
    "transposed": lambda a: a.T,
    # The Ellipsis keeps an array without axes an array.
    "every second": lambda a: a[(..., *[slice(None, None, 2)] * a.ndim)],
    "from the second": lambda a: a[1:] if a.ndim else a,
    "a column": lambda a: a[..., -1:] if a.ndim else a,
    "reversed": lambda a: a[(..., *[slice(None, None, -1)] * a.ndim)],
    "broadcast": lambda a: np.broadcast_to(a, (3, *a.shape)),
    "axes moved": lambda a: np.moveaxis(a, 0, -1) if a.ndim else a,
    "a new axis": lambda a: a[..., np.newaxis],
    "misaligned": _misaligned,
    "read-only": _read_only,
    "read-only F": lambda a: _read_only(np.asfortranarray(a)),
}

SMALL_SHAPES = [(), (0,), (3, 0, 2), (1,), (7,), (1, 1), (5, 3), (2, 3, 4), (1, 2, 1, 3)]


def large_shapes(dtype: Any) -> list[tuple[int, ...]]:
    """Of one to three axes, past LARGE also when every second item of each axis is left out."""
    if dtype.hasobject:  # there is no buffer, and many objects take long
        return [(LARGE // 8 + 1,), (60, 70), (16, 20, 17)]
    items = LARGE // max(dtype.itemsize, 1) + 1
    return [(2 * items + 1,), (4 * items // 70 + 2, 70), (8 * items // (16 * 17) + 2, 16, 17)]


def filled(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array of different values."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=int))
    numbers = np.arange(count) % 1009
    a = np.zeros(count, dtype)
    if dtype.names:
        for name in dtype.names:
            inner = dtype[name]
            rows = count * int(np.prod(inner.shape, dtype=int))
            a[name] = filled((rows,), inner.base).reshape(count, *inner.shape)
    elif dtype.kind == "O":
        a[:] = [[None, "text", int(n), (1.5, b"bytes")][n % 4] for n in numbers]
    elif dtype.kind == "V":
        if dtype.itemsize:
            a.view("u1")[:] = (np.arange(a.nbytes) % 251).astype("u1")
    elif dtype.kind == "c":
        a[:] = numbers * (1 - 2j)
    elif dtype.kind == "M" or dtype.kind == "m":
        a[:] = numbers.astype("i8").view(dtype.newbyteorder("="))
        a[3::5] = np.array("NaT", dtype)
    else:
        a[:] = (numbers % 101).astype(dtype)
    if dtype.kind == "f":
        a[1::7], a[2::7] = float("nan"), -0.0
    return a.reshape(shape)


def an_array(dtype: str, layout: str, shape: tuple[int, ...]) -> Any:
    return LAYOUTS[layout](_filled_once(dtype, shape).copy())


@lru_cache(4)
def _filled_once(dtype: str, shape: tuple[int, ...]) -> Any:
    return filled(shape, DTYPES[dtype])


# -- other objects


def of_bytes(kind: str, nbytes: int) -> Any:
    """An object with a buffer of exactly so many bytes."""
    raw = random.Random(nbytes).randbytes(nbytes)
    if kind == "array.array":
        return array.array("B", raw)
    if kind == "ndarray":
        return np.frombuffer(bytearray(raw), "u1")
    if kind == "read-only ndarray":
        return np.frombuffer(raw, "u1")
    if kind == "PickleBuffer":
        return pickle.PickleBuffer(bytearray(raw))
    if kind == "read-only PickleBuffer":
        return pickle.PickleBuffer(raw)
    if kind == "Frozen":
        return Frozen(raw)
    return {"bytes": bytes, "bytearray": bytearray, "Thawed": Thawed}[kind](raw)


#: A PickleBuffer arrives as bytes or bytearray.
KINDS = ["bytes", "bytearray", "array.array", "ndarray", "read-only ndarray", "PickleBuffer", "read-only PickleBuffer",
         "Frozen", "Thawed"]  # fmt: skip


class Thawed(bytearray):
    """Pickles its bytes as a buffer, as the pickle module's documentation shows it."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self)._rebuilt, (pickle.PickleBuffer(self),)

    @classmethod
    def _rebuilt(cls, buffer: Any) -> Any:
        with memoryview(buffer) as view:
            return view.obj if type(view.obj) is cls else cls(view)


class Frozen:
    """Pickles read-only bytes as a buffer and wants something hashable back, as bytes are."""

    def __init__(self, raw: bytes) -> None:
        hash(raw)
        self.raw = raw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frozen) and type(self.raw) is type(other.raw) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Frozen, (pickle.PickleBuffer(self.raw),)


class Labelled(np.ndarray):  # type: ignore[misc]
    """A subclass whose pickle carries more than the array."""

    def __array_finalize__(self, obj: Any) -> None:
        self.label = getattr(obj, "label", None)

    def __reduce__(self) -> Any:
        rebuild, args, state = super().__reduce__()
        return rebuild, args, (*state, self.label)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state[:-1])
        self.label = state[-1]


class Plain(np.ndarray):  # type: ignore[misc]
    """A subclass that adds nothing."""


@dataclass
class Sample:
    name: str
    values: Any
    more: Any = None


def _labelled(n: int) -> Any:
    a = filled((n, 3), "f8").view(Labelled)
    a.label = ("weights", n)
    return a


def _masked(n: int) -> Any:
    return np.ma.array(filled((n, 2), "i8"), mask=filled((n, 2), "?"), fill_value=-7)


def _twice(n: int) -> Any:
    a = filled((n,), "f8")
    return [a, a, {"again": a}, filled((n,), "f8")]


def _of_one_base(n: int) -> Any:
    a = filled((n // 8, 4), "i8")
    return (a, a[: n // 2], a[n // 2 :], a[:, 1], a.T, a.ravel(), a[::-1])


def _nested(n: int) -> Any:
    a, raw = filled((n,), "f4"), bytearray(b"raw" * n)
    sample = Sample("one", a, Sample("two", a[::2], [a, raw]))
    return {"samples": [sample, sample], ("a", 1): (a.copy(), None, raw, {"deep": [{"er": sample}]}), 3: set("abc")}


def _around_itself(n: int) -> Any:
    around: list[Any] = [filled((n,), "u1")]
    around.append(around)
    return around


def _in_an_object_array(n: int) -> Any:
    a = np.empty(3, object)
    a[:] = [filled((n,), "f8"), bytearray(n), None]
    return a


def _of_a_shared_bytearray(n: int) -> Any:
    raw = bytearray(n)
    return [raw, np.frombuffer(raw, "u1"), raw, pickle.PickleBuffer(raw)]


OBJECTS: dict[str, Callable[[int], Any]] = {
    "labelled": _labelled,
    "plain subclass": lambda n: filled((n, 3), "f8").view(Plain),
    "matrix": lambda n: filled((n, 3), "f8").view(np.matrix),
    "recarray": lambda n: np.rec.array(filled((n,), DTYPES["packed"])),
    "masked": _masked,
    "masked nowhere": lambda n: np.ma.array(filled((n, 2), "i8")),
    "masked records": lambda n: np.ma.array(filled((n,), DTYPES["packed"]), mask=filled((n,), "?")),
    "twice": _twice,
    "of one base": _of_one_base,
    "nested": _nested,
    "around itself": _around_itself,
    "in an object array": _in_an_object_array,
    "of a shared bytearray": _of_a_shared_bytearray,
    "many": lambda n: [filled((n // 8 + i,), "f8") for i in range(40)],
    "with small ones": lambda n: [1, "a", filled((n,), "f8"), filled((3,), "f8"), b"b", filled((n + 1,), "f8"), 2.5],
    "scalars": lambda n: (
        np.float64(1.5),
        np.datetime64(n, "s"),
        filled((1,), DTYPES["packed"])[0],
        filled((n,), "f8"),
    ),
    "a dtype and its array": lambda n: (DTYPES["packed"], filled((n,), DTYPES["packed"])),
    "text": lambda n: "é漢" * n,
    "doubles": lambda n: array.array("d", range(n)),
    "a long int": lambda n: 3**n,
}
#: The first keeps their buffers below LARGE, the second brings them past it.
COUNTS = (60, 33_000)


def build(key: Key) -> Any:
    name, *args = key
    if name == "an array":
        return an_array(*args)
    if name == "of bytes":
        return of_bytes(*args)
    if name == "at random":
        return at_random(*args)
    return OBJECTS[name](*args)


def array_keys(dtype: str) -> list[Key]:
    """All layouts and shapes of a dtype."""
    shapes = SMALL_SHAPES + large_shapes(DTYPES[dtype])
    return [("an array", dtype, layout, shape) for shape in shapes for layout in LAYOUTS]


def object_keys() -> list[Key]:
    return [(name, n) for name in OBJECTS for n in COUNTS]


def size_keys() -> list[Key]:
    """Sizes at every edge, for each kind of buffer."""
    sizes = [0, 1, 47, 48, 49, 4095, 4096, LARGE - 200, LARGE - 1, LARGE, LARGE + 1, LARGE + 200, MIB - 1, MIB, MIB + 1]
    return [("of bytes", kind, nbytes) for kind in KINDS for nbytes in sizes]


def mixed_keys() -> list[Key]:
    """Some of everything, for the ways that cost more than a call."""
    some: list[Key] = []
    for i, (name, dtype) in enumerate(DTYPES.items()):
        some.append(("an array", name, "CF"[i % 2], large_shapes(dtype)[2]))
    some += [("an array", "f8", layout, shape) for shape in [(), (5, 3), (300, 70)] for layout in LAYOUTS]
    some += [("of bytes", kind, nbytes) for kind in KINDS for nbytes in (0, 48, LARGE - 1, LARGE, 3 * LARGE)]
    return some + object_keys()


# -- at random


def at_random(seed: int) -> Any:
    """A message of a few arrays and buffers, of any kind and of any size up to some hundred KiB."""
    rng = random.Random(seed)
    made: list[Any] = [_random_part(rng) for _ in range(rng.randint(1, 4))]
    if rng.random() < 0.5:
        made.append(rng.choice(made))
    shape = rng.randrange(4)
    if shape == 0:
        return tuple(made)
    if shape == 1:
        return {f"key {i}": part for i, part in enumerate(made)}
    if shape == 2:
        return Sample(f"sample {seed}", made[0], made[1:])
    return made


def _random_part(rng: random.Random) -> Any:
    if rng.random() < 0.2:
        return of_bytes(rng.choice(KINDS[:5]), int(2 ** rng.uniform(0, 18)))
    dtype = rng.choice([name for name in DTYPES if name != "V0"])
    items = max(1, int(2 ** rng.uniform(0, 18)) // DTYPES[dtype].itemsize)
    if DTYPES[dtype].hasobject:
        items = min(items, 3000)
    ndim = rng.randint(0, 3)
    shape = tuple(rng.randint(0 if rng.random() < 0.05 else 1, 6) for _ in range(ndim - 1)) + (items,) * (ndim > 0)
    a = LAYOUTS[rng.choice(list(LAYOUTS))](filled(shape, DTYPES[dtype]))
    for _ in range(rng.randint(0, 2)):  # a view of a view
        a = LAYOUTS[rng.choice(["transposed", "every second", "reversed", "from the second"])](a)
    return a
