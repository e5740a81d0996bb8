"""Arrays and other large buffers arrive as pickle alone would give them: by a queue, as arguments, as results."""

from __future__ import annotations

import os
import pickle
import random
from typing import Any

import pytest
from buffer_cases import (
    DTYPES,
    KINDS,
    LARGE,
    MIB,
    OBJECTS,
    Key,
    again,
    array_keys,
    at_random,
    build,
    differences,
    filled,
    mixed_keys,
    np,
    object_keys,
    size_keys,
    wrong,
)
from pool_tasks import SOON
from queue_items import Evil

import lightwork as mp

#: Messages of at_random() that each test of them sends.
RANDOM = 25


def check(keys: list[Key], got: list[Any]) -> None:
    """`got` is what pickle makes of these cases."""
    assert len(got) == len(keys)
    assert not [text for key, value in zip(keys, got, strict=True) for text in wrong(key, value)]


def through(q: Any, keys: list[Key]) -> list[Any]:
    """What comes out of a queue after these cases were put into it, one at a time."""
    got = []
    for key in keys:
        q.put(build(key))
        got.append(q.get())
    return got


def new_seed() -> int:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    return seed


# -- the net itself


def test_the_comparison_sees_each_difference() -> None:
    a = filled((60, 70), "f8")
    read_only = a.copy()
    read_only.flags.writeable = False
    other = a.copy()
    other[5, 5] += 1
    twice = [a, a]
    for got in (a.astype("f4"), a.astype(">f8"), np.asfortranarray(a), read_only, other, a[:-1], a.tolist(), a.ravel(),
                a.view(np.matrix), np.ma.array(a)):  # fmt: skip
        assert differences(got, a) != []
        assert differences({"a": [got]}, {"a": [a]}) != []
    assert differences(a.copy(), a) == []
    assert differences([a, a.copy()], twice) != []
    assert differences(twice, [a, a.copy()]) != []
    assert differences([a.copy()] * 2, twice) == []
    assert differences(bytearray(b"a"), b"a") != []
    assert differences(OBJECTS["masked"](60), OBJECTS["masked nowhere"](60)) != []
    labelled = OBJECTS["labelled"](60)
    changed = labelled.copy()
    changed.label = "other"
    assert differences(changed, labelled) != []


# -- a queue, within one process


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_every_dtype_layout_and_shape(dtype: str) -> None:
    keys = array_keys(dtype)
    check(keys, through(mp.Queue(), keys))


@pytest.mark.parametrize("make", [mp.Queue, mp.SimpleQueue, mp.JoinableQueue])
def test_objects_and_sizes(make: Any) -> None:
    keys = object_keys() + size_keys()
    check(keys, through(make(), keys))


@pytest.mark.parametrize("kind", KINDS)
def test_every_size_about_the_limit(kind: str) -> None:
    keys = [("of bytes", kind, LARGE + d) for d in range(-150, 151)]
    check(keys, through(mp.Queue(), keys))


def test_several_megabytes() -> None:
    q = mp.Queue()
    for nbytes in (3 * MIB + 17, 8 * MIB, 40 * MIB + 1):
        a = np.random.default_rng(nbytes).integers(0, 256, nbytes, "u1")
        q.put(("before", a, a[:MIB:2], "after"))
        assert not differences(q.get(), again(("before", a, a[:MIB:2], "after")))


def test_one_message_of_many_arrays() -> None:
    q = mp.Queue()
    sent = [np.full(LARGE // 8 + i, i) for i in range(300)]
    q.put(sent)
    got = q.get()
    assert not differences(got, again(sent))
    got[7][:] = -1
    assert (got[6] == 6).all() and (got[8] == 8).all()


def test_messages_at_random() -> None:
    seed = new_seed()
    q = mp.Queue()
    keys = [("at random", seed + i) for i in range(3 * RANDOM)]
    for key in keys:
        q.put(build(key))  # all are in the queue at once
    check(keys, [q.get() for _ in keys])


def test_what_is_sent_twice_in_a_message_is_one_object() -> None:
    q = mp.Queue()
    for n in (10, LARGE):
        for a in (filled((n,), "f8"), bytearray(n), pickle.PickleBuffer(bytearray(n))):
            q.put((a, a))
            x = q.get()
            assert x[0] is x[1]
            q.put((a, again(a)))
            y = q.get()
            assert y[0] is not y[1]


def test_a_bytearray_and_an_array_array_can_grow() -> None:
    q = mp.Queue()
    q.put((bytearray(LARGE), OBJECTS["doubles"](LARGE)))
    raw, doubles = q.get()
    raw.extend(b"more")
    doubles.append(1.5)
    assert len(raw) == LARGE + 4 and raw.endswith(b"\0more") and doubles[-2:].tolist() == [LARGE - 1, 1.5]


def test_a_memory_map_arrives_as_an_array_of_its_own(tmp_path: Any) -> None:
    path = tmp_path / "map"
    path.write_bytes(bytes(range(256)) * 400)
    for mode in ("r", "r+", "c"):
        mapped = np.memmap(path, "u1", mode, shape=(400, 256))
        q = mp.Queue()
        q.put([mapped, mapped[:, 7]])
        got = q.get()
        assert not differences(got, again([mapped, mapped[:, 7]]))
        if got[0].flags.writeable:
            got[0][:] = 0
    assert path.read_bytes() == bytes(range(256)) * 400


def test_a_buffer_that_is_not_contiguous_is_refused_and_spoils_nothing() -> None:
    q = mp.Queue()
    scattered = memoryview(bytearray(4 * LARGE))[::2]
    for _ in range(20):
        with pytest.raises(pickle.PicklingError):
            q.put([filled((LARGE,), "f8"), pickle.PickleBuffer(scattered)])
        with pytest.raises(TypeError, match="memoryview"):
            q.put([filled((LARGE,), "f8"), scattered])
    assert q.empty()
    q.put(filled((LARGE,), "f8"))
    assert not differences(q.get(), filled((LARGE,), "f8"))


def test_an_array_beside_what_cannot_be_unpickled() -> None:
    q = mp.Queue()
    for i in range(20):
        q.put([np.full(LARGE, i), Evil(), np.full(LARGE, i)])
        q.put([np.full(LARGE, -i)])
        with pytest.raises(ValueError):
            q.get()
        assert (q.get()[0] == -i).all()


# -- a queue, between processes


def tell_what_is_wrong_then_put(source: Any, back: Any, sink: Any, keys: list[Key]) -> None:
    while (item := source.get()) is not None:
        key, got = item
        back.put(wrong(key, got))
    for key in keys:
        sink.put(build(key))


def random_keys() -> list[Key]:
    seed = new_seed()
    return [("at random", seed + i) for i in range(RANDOM)]


def test_a_queue_to_a_child_and_from_it(ctx: Any) -> None:
    keys = mixed_keys() + random_keys()
    there, back, sink = ctx.Queue(), ctx.Queue(), ctx.Queue()
    p = ctx.Process(target=tell_what_is_wrong_then_put, args=(there, back, sink, keys))
    p.start()
    for key in keys:
        there.put((key, build(key)))
    there.put(None)
    assert not [text for _ in keys for text in back.get(timeout=SOON)]
    check(keys, [sink.get(timeout=SOON) for _ in keys])
    p.join()
    assert p.exitcode == 0


def send_numbered(q: Any, who: int, count: int) -> None:
    for i in range(count):
        q.put((who, i, np.full(LARGE // 8 + 500 * (i % 7), who * count + i)))


def receive_numbered(q: Any, count: int) -> list[tuple[int, int]]:
    got = []
    for _ in range(count):
        who, i, a = q.get()
        assert a.shape == (LARGE // 8 + 500 * (i % 7),) and (a == who * count + i).all()
        got.append((who, i))
    return got


def test_several_writers_and_readers(ctx: Any) -> None:
    q, count = ctx.Queue(), 70
    writer = ctx.Process(target=send_numbered, args=(q, 0, count))
    readers = [ctx.Process(target=receive_numbered, args=(q, count)) for _ in range(2)]
    for p in (writer, *readers):
        p.start()
    send_numbered(q, 1, count)
    got = [pair for p in readers for pair in p.result(SOON)]
    assert sorted(got) == [(who, i) for who in range(2) for i in range(count)]
    for p in (writer, *readers):
        p.join()


# -- a process's arguments and outcome


def checked(keys: list[Key], wanted: bytes | None, *got: Any) -> tuple[list[str], list[Any]]:
    """How these arguments differ from what they should be, and these cases anew."""
    want = list(map(build, keys)) if wanted is None else pickle.loads(wanted)
    return differences(list(got), want), list(map(build, keys))


def test_a_processs_arguments_and_outcome(ctx: Any, method: str) -> None:
    keys = [key for key in object_keys() if "bytearray" not in key[0]]  # a PickleBuffer needs protocol 5
    # A forked child has the objects themselves. Another gets its Process by the default protocol, in one pickle.
    wanted = None if method == "fork" else pickle.dumps(list(map(build, keys)))
    p = ctx.Process(target=checked, args=(keys, wanted, *map(build, keys)))
    p.start()
    found, values = p.result(SOON)
    p.join()
    assert not found
    assert not differences(values, again(list(map(build, keys))))


# -- a pool


def wrong_named(key: Key, *, got: Any) -> list[str]:
    return wrong(key, got)


class Bad(Exception):
    pass


def fail_with(key: Key) -> None:
    raise Bad("what it met", build(key))


def test_arguments_of_a_pools_tasks(ctx: Any) -> None:
    keys = mixed_keys() + random_keys()
    with ctx.Pool(2) as pool:
        found = pool.starmap(wrong, ((key, build(key)) for key in keys))
        found += pool.starmap(wrong, [(key, build(key)) for key in keys[::10]], chunksize=7)
        results = [pool.apply_async(wrong, (key, build(key))) for key in keys[::10]]
        found += [result.get(SOON) for result in results]
        for key in keys[::11]:
            found += [
                pool.apply(wrong_named, (key,), {"got": build(key)}),
                pool.submit(wrong, key, build(key)).result(),
            ]
    assert len(found) > len(keys) and not [text for texts in found for text in texts]


def test_results_of_a_pools_tasks(ctx: Any) -> None:
    keys = mixed_keys() + random_keys()
    with ctx.Pool(2) as pool:
        check(keys, pool.map(build, keys))
        check(keys[::6], list(pool.imap(build, keys[::6])))
        for key in keys[::11]:
            check([key, key], [pool.apply(build, (key,)), pool.submit(build, key).result()])
        for key in keys[::29]:
            with pytest.raises(Bad) as caught:
                pool.apply(fail_with, (key,))
            assert caught.value.args[0] == "what it met"
            check([key], [caught.value.args[1]])


def same(x: Any) -> Any:
    return x


def pair_and_pid(x: Any, y: Any) -> Any:
    return os.getpid(), x is y, x.sum() + y.sum()


def test_rows_of_an_array_are_items_and_an_array_given_twice_is_one(ctx: Any) -> None:
    a, ones = filled((60, LARGE // 8 + 1), "f8"), np.ones(LARGE)
    with ctx.Pool(1) as pool:
        for chunksize in (None, 1, 7):
            assert not differences(pool.map(same, a, chunksize), [again(row) for row in a])
        assert not differences(pool.map(same, a.T[:60, :50]), [again(row) for row in a.T[:60, :50]])
        assert not differences(list(pool.imap(same, a, 3)), [again(row) for row in a])
        pid, one, total = pool.apply(pair_and_pid, (ones, ones))
        assert pid != os.getpid() and one and total == 2 * LARGE
        assert pool.starmap(pair_and_pid, [(ones, ones), (ones, again(ones))]) == [
            (pid, True, total),
            (pid, False, total),
        ]


def test_at_random_is_the_same_in_each_process() -> None:
    assert not differences(at_random(5), at_random(5))
    assert differences(at_random(5), at_random(6))
