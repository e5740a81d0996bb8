"""Value, Array, RawValue, RawArray: every type code, the atomic operations, what is refused."""

from __future__ import annotations

import copy
import ctypes
import math
import pickle
from collections.abc import Iterable
from typing import Any

import cloudpickle
import pytest
from conftest import wait_until

import lightwork as mp
from lightwork import sharedctypes

fork: Any = mp.get_context("fork")


def bounds(ctype: Any, signed: bool) -> tuple[int, int]:
    bits = 8 * ctypes.sizeof(ctype)
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


#: The tutorial's table: type code, least and greatest number.
INTEGERS = [(code, *bounds(sharedctypes.typecode_to_type[code], code.islower())) for code in "bBhHiIlLqQ"]
VALUES: list[tuple[Any, list[Any]]] = [
    *[(code, [low, 0, 1, high]) for code, low, high in INTEGERS],
    ("f", [0.0, -1.5, math.inf]),
    ("d", [0.0, 0.1, -1e300]),
    ("c", [b"a", b"\0"]),
    ("u", ["a", "漢"]),
    (ctypes.c_bool, [True, False]),
    (ctypes.c_longlong, [-5, 5]),
    (ctypes.c_longdouble, [0.5, 2.0]),
    (ctypes.c_size_t, [0, 2**40]),
    (ctypes.c_int32.__ctype_be__, [1, -(2**31)]),
]


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_double))


class Either(ctypes.Union):
    _fields_ = (("whole", ctypes.c_uint32), ("parts", ctypes.c_uint8 * 4))


@pytest.mark.parametrize(("code", "values"), VALUES, ids=lambda x: str(x)[:20])
def test_every_type_holds_its_values(code: Any, values: list[Any]) -> None:
    for make in (fork.Value, fork.RawValue, lambda *a: fork.Value(*a, lock=False)):
        assert not make(code).value or values[0] in (b"a", "a")  # zeros to begin with
        for value in values:
            x = make(code, value)
            assert x.value == value
            x.value = values[0]
            assert x.value == values[0]
    for make in (fork.Array, fork.RawArray, lambda *a: fork.Array(*a, lock=False)):
        a = make(code, len(values))
        for i, value in enumerate(values):
            a[i] = value
        assert list(a) == list(make(code, values)) == values
        assert len(a) == len(values) and a[-1] == values[-1]


@pytest.mark.parametrize("raw", [False, True])
def test_children_write_what_the_parent_reads(ctx: Any, raw: bool) -> None:
    make_value, make_array = (ctx.RawValue, ctx.RawArray) if raw else (ctx.Value, ctx.Array)
    numbers = [make_value(code) for code, _, _ in INTEGERS]
    array, point, points = make_array("d", 4), make_value(Point, 1, 2.5), make_array(Point, [(1, 1.5), (2, 2.5)])
    p = ctx.Process(target=fill, args=(numbers, array, point, points))
    p.start()
    p.join()
    assert p.exitcode == 0
    assert [n.value for n in numbers] == [high for _, _, high in INTEGERS]
    assert array[:] == [0.0, 0.5, 1.0, 1.5]
    assert (point.x, point.y) == (7, 2.5) and [(q.x, q.y) for q in points] == [(1, 1.5), (9, 2.5)]


def fill(numbers: list[Any], array: Any, point: Any, points: Any) -> None:
    for number, (_, _, high) in zip(numbers, INTEGERS, strict=True):
        number.value = high
    array[:] = [i / 2 for i in range(4)]
    point.x += 6
    points[1].x = 9


def test_pickled_it_is_the_same_memory() -> None:
    q = fork.Queue()
    for x, one, two in (
        (fork.Value("i", 1), 1, 2),
        (fork.Array("i", [1]), 1, 2),
        (fork.Array(Point, [(1, 2)]), None, None),
    ):
        q.put(x)
        for again in (pickle.loads(pickle.dumps(x)), q.get()):
            assert type(again) is type(x) and again.get_lock().acquire()
            assert x.get_lock().locked()
            again.get_lock().release()
            if isinstance(x, sharedctypes.Synchronized):
                x.value, seen = two, again.value
                assert (seen, again.value) == (one, two)
                again.value = one
            elif one is not None:
                x[0] = two
                assert again[0] == two
                again[0] = one
            else:
                x[0].x = 5
                assert again[0].x == 5
    for raw in (fork.RawValue("i", 3), fork.RawArray("i", [3, 4])):
        q.put(raw)
        again = q.get()
        ctypes.memset(ctypes.addressof(again), 0, ctypes.sizeof(again))
        assert not any(bytes(raw))


RAW: list[tuple[tuple[Any, ...], type[Any]]] = [
    (("RawValue", "i", 3), int),
    (("RawArray", "i", [3, 4]), int),
    (("RawValue", Point, 1, 2.5), Point),
    (("RawArray", Point, [(1, 2.5)]), Point),
]


def overwrite(pickled: bytes) -> None:
    x = pickle.loads(pickled)
    ctypes.memset(ctypes.addressof(x), 7, ctypes.sizeof(x))


@pytest.mark.parametrize(("make", "kind"), RAW, ids=lambda x: str(x)[:25])
@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps, lambda x: pickle.dumps(x, 0)])
def test_any_pickle_of_a_bare_object_is_the_same_memory(ctx: Any, make: Any, kind: Any, dumps: Any) -> None:
    name, *args = make
    x = getattr(ctx, name)(*args)
    p = ctx.Process(target=overwrite, args=(dumps(x),))
    p.start()
    p.join()
    assert bytes(x) == b"\7" * ctypes.sizeof(x)
    overwrite(dumps(pickle.loads(dumps(x))))  # also of one that came in a pickle


@pytest.mark.parametrize(("make", "kind"), RAW, ids=lambda x: str(x)[:25])
def test_copy_copies_the_content(make: Any, kind: Any) -> None:
    name, *args = make
    x = getattr(fork, name)(*args)
    before, private = bytes(x), copy.copy(x)
    overwrite(pickle.dumps(x))
    assert type(private) is type(x) and bytes(private) == before != bytes(x)


def test_structures_and_unions() -> None:
    p = fork.Value(Point, 3, 4.5)
    assert (p.x, p.y, type(p).__name__) == (3, 4.5, "SynchronizedPoint")
    p.x = 5
    assert p.get_obj().x == 5
    u = fork.Value(Either)
    u.whole = 0x01020304
    assert sorted(u.parts) == [1, 2, 3, 4]
    with pytest.raises(TypeError, match="need a value that is one number"):
        fork.Value(ctypes.c_bool).add(1)
    assert sharedctypes.copy(fork.RawArray("i", [1, 2]))[:] == [1, 2]


def test_arrays_slice_as_lists_do() -> None:
    a = fork.Array("i", range(6))
    assert a[1:3] == [1, 2] and a[::-1] == [5, 4, 3, 2, 1, 0] and list(a) == a[:] == list(range(6))
    a[1:3] = [7, 8]
    assert a[:] == [0, 7, 8, 3, 4, 5] == a.get_obj()[:]
    for index in (6, -7):
        with pytest.raises(IndexError):
            a[index]
    with pytest.raises(ValueError, match="same size"):
        a[0:2] = [1]
    with pytest.raises(TypeError):
        a[0] = "one"
    assert fork.Array("i", (i * i for i in range(3)))[:] == [0, 1, 4]


def test_strings() -> None:
    s = fork.Array("c", b"hello")
    assert isinstance(s, sharedctypes.SynchronizedString)
    assert (s.value, s.raw, s[0], s[1:3], len(s)) == (b"hello", b"hello", b"h", b"el", 5)
    s.value = b"hi"
    assert (s.value, s.raw) == (b"hi", b"hi\0lo")
    with pytest.raises(ValueError, match="too long"):
        s.value = b"too long"
    assert fork.Array("u", "漢字")[:] == "漢字"


def test_locks() -> None:
    lock = fork.Lock()
    v = fork.Value("i", 1, lock=lock)
    assert v.get_lock() is lock
    with v:
        assert lock.locked() and not v.acquire(False)
    assert isinstance(fork.Value("i").get_lock(), mp.synchronize.RLock)
    assert not hasattr(fork.Value("i", lock=False), "get_lock")
    a = fork.Array("i", 2)
    with a.get_lock(), a:
        a[0] += 1
    for bad in (5, "lock"):
        with pytest.raises(AttributeError, match="acquire"):
            fork.Value("i", lock=bad)
    with pytest.raises(AssertionError, match="already"):
        sharedctypes.synchronized(v)


def test_no_items() -> None:
    for a in (fork.Array("i", 0), fork.Array("d", []), fork.RawArray("i", 0)):
        assert len(a) == 0 and list(a) == []
        assert len(pickle.loads(pickle.dumps(a))) == 0
    assert len(copy.copy(fork.RawArray("i", 0))) == 0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fork.Value("z"), TypeError, "bad type code 'z': must be one of c, u, b"),
        (lambda: fork.Array(int, 3), TypeError, "neither a type code nor a ctypes type"),
        (lambda: fork.RawValue(None), TypeError, "bad type code None"),
        (lambda: fork.Array("i", -1), ValueError, "cannot have -1 items"),
        (lambda: fork.RawArray("i", -1), ValueError, "cannot have -1 items"),
        (lambda: fork.Array("i", [[1, 2], [3, 4]]), TypeError, "an Array has one dimension"),
        (lambda: fork.Array("i", ["a"]), TypeError, "str"),
        (lambda: fork.Array("i", 1.5), TypeError, "float"),
        (
            lambda: fork.Array("i", 2.5),
            TypeError,
            "an array is made of an int .* or a sequence, not of a float: 2.5",
        ),
        (lambda: fork.Value("i", 1.5), TypeError, "float"),
        (lambda: fork.Value(ctypes.c_int(5)), TypeError, r"c_int\(5\) is neither a type code nor a ctypes type"),
        (lambda: fork.Value(ctypes.POINTER(ctypes.c_int)), TypeError, "a Value cannot be a LP_c_int: .*an address"),
        (lambda: fork.Array("d", 2**58), MemoryError, "shared memory is full"),
        (lambda: fork.Array("d", 10**30), OverflowError, "int"),
    ],
)
def test_what_is_refused_and_how(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


# -- atomic operations


@pytest.mark.parametrize(("code", "low", "high"), INTEGERS)
def test_integers_wrap_around(code: str, low: int, high: int) -> None:
    v: Any = fork.Value(code, high)
    assert v.add(1) == low == v.value
    assert v.add(-1) == high and v.add(0) == high and v.add(True) == low
    same = v
    v += 5
    v -= 2
    assert v is same and v.value == low + 3
    assert v.exchange(high) == low + 3 and v.value == high
    assert not v.compare_exchange(low, 1) and v.value == high
    assert v.compare_exchange(high, 1) and v.value == 1
    for n in (high, low, 2**64, 3 - 2**70):  # as C wraps them
        before = v.value
        v -= n
        assert v.value == low + (before - n - low) % (high - low + 1)
    for bad in (1.5, "1", None):
        for call, args in ((v.add, [bad]), (v.exchange, [bad]), (v.compare_exchange, [1, bad])):
            with pytest.raises(TypeError):
                call(*args)
        with pytest.raises(TypeError):
            v += bad


@pytest.mark.parametrize("code", ["f", "d"])
def test_floats(code: str) -> None:
    v = fork.Value(code, 1.5)
    assert v.add(2) == 3.5 and v.add(-0.5) == 3.0
    v -= 1.0
    assert v.exchange(0.25) == 2.0 and v.compare_exchange(0.25, math.inf) and v.value == math.inf
    assert math.isnan(v.add(-math.inf))
    for bad in ("1", None):
        with pytest.raises(TypeError):
            v.add(bad)


@pytest.mark.parametrize(("code", "low", "high"), INTEGERS)
def test_a_value_is_never_what_its_type_cannot_hold(code: str, low: int, high: int) -> None:
    v, size = fork.Value(code), high - low + 1
    for now in (low, 0, 1, high):
        v.value = now
        for turns in (-(2**70), -2, -1, 1, 2, 2**32, 2**64, 2**70):
            assert not v.compare_exchange(now + turns * size, 5) and v.value == now
        assert v.compare_exchange(now, now + size) and v.value == now  # the new value wraps around
    with pytest.raises(TypeError):
        v.compare_exchange(1.0, 1)
    f = fork.Value("f", math.inf)
    assert not f.compare_exchange(1e300, 0) and f.compare_exchange(math.inf, 0.1)
    assert f.compare_exchange(0.1, 2) and f.value == 2


@pytest.mark.parametrize("code", ["c", "u", ctypes.c_bool, ctypes.c_longdouble])
def test_what_is_no_number_has_no_atomic_operations(code: Any) -> None:
    v: Any = fork.Value(code)
    for call, args in ((v.add, [1]), (v.exchange, [1]), (v.compare_exchange, [0, 1])):
        with pytest.raises(TypeError, match="need a value that is one number"):
            call(*args)


def adds(vs: Iterable[Any], n: int) -> None:
    for v in vs:
        for _ in range(n):
            v += 3
            v.add(-1)
            while not v.compare_exchange(old := v.value, old - 1):
                pass


def test_no_update_is_lost_between_processes(ctx: Any) -> None:
    vs = [ctx.Value(code, 0) for code in "bHiQfd"]
    ps = [ctx.Process(target=adds, args=(vs, 1000)) for _ in range(4)]
    for p in ps:
        p.start()
    for p in ps:
        p.join()
    assert [v.value for v in vs] == [4000 - 4096, 4000, 4000, 4000, 4000, 4000]  # 4000 wraps around in 8 bits


def exchanges(v: Any, first: int, n: int, back: Any) -> None:
    back.put([v.exchange(i) for i in range(first, first + n)])


def test_each_number_comes_back_once() -> None:
    v, back = fork.Value("q", -1), fork.Queue()
    ps = [fork.Process(target=exchanges, args=(v, 1000 * i, 1000, back)) for i in range(4)]
    for p in ps:
        p.start()
    seen = [x for _ in ps for x in back.get(timeout=20)]
    assert wait_until(lambda: not any(p.is_alive() for p in ps))
    assert sorted([*seen, v.value]) == list(range(-1, 4000))


def raises_under_lock(v: Any) -> None:
    with v.get_lock():
        for _ in range(1000):
            v.value += 1


def test_value_plus_one_under_the_lock() -> None:
    v = fork.Value("i", 0)
    ps = [fork.Process(target=raises_under_lock, args=(v,)) for _ in range(4)]
    for p in ps:
        p.start()
    for p in ps:
        p.join()
    assert v.value == 4000
