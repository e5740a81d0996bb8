"""Large buffers after their arrival: they are the receiver's own, for as long as it keeps them, whoever else ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from buffer_cases import LARGE, MIB, differences, np
from conftest import wait_until
from pool_tasks import SOON, die, meet_all
from processes import used
from queue_items import KillsItsReader

import lightwork as mp

fork: Any = mp.get_context("fork")

#: Items of 8 bytes: in the message, just past it, of many pages.
SIZES = [100, LARGE // 8 + 1, MIB // 8 + 3]
BIG = 3 * LARGE // 8


def numbered(number: int, size: int = BIG) -> Any:
    """An array whose contents follow from its number."""
    return np.arange(number, number + size)


def churn(q: Any, count: int = 60) -> None:
    """Pass many messages of many sizes, so that freed memory is used again."""
    for i in range(count):
        q.put([np.full(LARGE // 8 + 1000 * (i % 5), -1), np.full(SIZES[i % 3], -1)])
        assert (q.get()[0] == -1).all()


# -- copies


@pytest.mark.parametrize("size", SIZES)
def test_what_is_changed_after_put_is_not_what_was_sent(size: int) -> None:
    q = mp.Queue()
    a = numbered(0, size)
    for i in range(5):
        a[:] = i
        q.put(a)
    a[:] = -1
    assert [(x == i).all() for i, x in enumerate(q.get() for _ in range(5))] == [True] * 5


@pytest.mark.parametrize("size", SIZES)
def test_messages_share_nothing(size: int) -> None:
    q = mp.Queue()
    a = numbered(0, size)
    for _ in range(3):
        q.put((a, a[1:], a[::-1]))
    (one, tail, backwards), (two, *_), (three, *_) = (q.get() for _ in range(3))
    one[:] = 7
    assert tail.tolist() == list(range(1, size)) and backwards.tolist() == list(range(size))[::-1]
    two[:] = 8
    assert not differences([a, three], [numbered(0, size), numbered(0, size)])
    assert (one == 7).all() and (two == 8).all()


def overwrite_and_return(source: Any, sink: Any, count: int) -> None:
    for _ in range(count):
        a = source.get()
        a += 1
        sink.put(a)
        a[:] = -1


def test_a_receiver_writes_into_its_own_copy(ctx: Any) -> None:
    there, back = ctx.Queue(), ctx.Queue()
    sent = [numbered(i, size) for i in range(3) for size in SIZES]
    p = ctx.Process(target=overwrite_and_return, args=(there, back, len(sent)))
    p.start()
    for a in sent:
        there.put(a)
    got = [back.get(timeout=SOON) for _ in sent]
    p.join()
    assert not differences(got, [a + 1 for a in sent])
    assert not differences(sent, [numbered(i, size) for i in range(3) for size in SIZES])


_kept: dict[str, Any] = {}


def overwrite(a: Any) -> int:
    a[:] = -1
    return int(a.sum())


def keep(name: str, value: Any) -> Any:
    _kept[name] = value
    return value


def kept(name: str) -> Any:
    return _kept[name]


def change_kept(name: str, value: int) -> None:
    _kept[name][:] = value


def test_a_tasks_arguments_and_results_are_not_its_callers(ctx: Any) -> None:
    with ctx.Pool(1) as pool:
        for size in SIZES:
            a = numbered(0, size)
            assert pool.map(overwrite, [a] * 6, chunksize=1) == [-size] * 6
            assert pool.apply(overwrite, (a,)) == -size
            assert not differences(a, numbered(0, size))
        a = numbered(5)
        result = pool.apply(keep, ("a", a))
        result[:] = 1
        a[:] = 2
        for i in range(40):
            pool.apply(overwrite, (numbered(i, SIZES[i % 3]),))
        assert not differences(pool.apply(kept, ("a",)), numbered(5))
        once_more = pool.apply(kept, ("a",))
        pool.apply(change_kept, ("a", 3))
        assert not differences(once_more, numbered(5))
        assert (result == 1).all() and (pool.apply(kept, ("a",)) == 3).all()


def test_what_calls_and_maps_are_given_is_what_it_was_when_they_began(ctx: Any) -> None:
    a = numbered(0)
    bound = partial(add_bound, a)
    begun, go = ctx.Event(), ctx.Event()
    with ctx.Pool(1) as pool:
        first = pool.apply_async(wait_for, (begun, go))  # what follows stays in the queue
        assert begun.wait(SOON)
        calls, maps = [], []
        for i in range(5):
            a[:] = 100 * i
            calls.append(pool.apply_async(first_and_last, (a,)))
            maps.append(pool.map_async(bound, range(20), 1 + i))  # several maps of one function at once
        a[:] = -1
        go.set()
        assert first.get(SOON)
        assert [call.get(SOON) for call in calls] == [(100 * i, 100 * i) for i in range(5)]
        assert [a_map.get(SOON) for a_map in maps] == [[200 * i + x for x in range(20)] for i in range(5)]


def wait_for(begun: Any, go: Any) -> bool:
    begun.set()
    return bool(go.wait(SOON))


def first_and_last(a: Any) -> tuple[int, int]:
    return int(a[0]), int(a[-1])


# -- kept


def test_received_arrays_and_their_views_keep_their_contents() -> None:
    q = mp.Queue()
    whole, slices, views = [], [], []
    for i in range(30):
        q.put([numbered(i), bytearray(bytes([i]) * LARGE), numbered(-i)])
        a, raw, b = q.get()
        whole.append(a)
        slices.append(b[100:200:3])  # of this message only a part is kept
        views.append(memoryview(raw)[5:10])
        churn(q, 3)
    churn(q)
    assert not differences(whole, [numbered(i) for i in range(30)])
    assert not differences([s.copy() for s in slices], [numbered(-i)[100:200:3].copy() for i in range(30)])
    assert [bytes(view) for view in views] == [bytes([i]) * 5 for i in range(30)]


def test_one_array_of_a_message_may_outlive_the_others() -> None:
    q = mp.Queue()
    for kept_one in range(3):
        q.put([numbered(i) for i in range(3)])
        a = q.get().pop(kept_one)
        churn(q, 10)
        assert not differences(a, numbered(kept_one))


def test_arrays_outlive_their_queue_and_their_pool(ctx: Any) -> None:
    q = ctx.Queue()
    q.put(numbered(1))
    received = q.get()
    q.put(numbered(2))
    q.close()
    del q
    pool = ctx.Pool(1)
    results = pool.map(numbered, range(6))
    pool.close()
    pool.join()
    with ctx.Pool(1) as pool:  # ended by terminate()
        results += pool.map(keep_nothing, map(numbered, range(6, 12)), 1)
    del pool
    other = ctx.Queue()
    churn(other)
    assert not differences([received, *results], [numbered(1), *map(numbered, range(12))])
    received += 1
    for a in results:
        a += 1
    assert not differences([received, *results], [numbered(2), *map(numbered, range(1, 13))])


def pass_on(source: Any, sink: Any, count: int) -> None:
    a = None
    for _ in range(count):
        a = source.get()
        sink.put(a)  # and the last one goes with the next, or with this process


def test_a_received_array_is_sent_on_and_on(ctx: Any) -> None:
    queues = [ctx.Queue() for _ in range(3)]
    count = 20
    stages = [ctx.Process(target=pass_on, args=(*pair, count)) for pair in pairwise(queues)]
    for p in stages:
        p.start()
    for i in range(count):
        queues[0].put({"a": numbered(i), "part": numbered(i)[5:-5]})
    for p in stages:
        p.join()
        assert p.exitcode == 0
    got = [queues[-1].get(timeout=SOON) for _ in range(count)]  # all who had them before have ended
    assert not differences(got, [{"a": numbered(i), "part": numbered(i)[5:-5]} for i in range(count)])


def keep_nothing(x: Any) -> Any:
    return x


def test_a_received_array_put_by_one_who_then_drops_it() -> None:
    q, other = mp.Queue(), mp.Queue()
    for i in range(20):
        q.put(numbered(i))
        other.put(q.get())
        churn(q, 1)
    assert not differences([other.get() for _ in range(20)], [numbered(i) for i in range(20)])


# -- received, then used in a child


def use_in_child(a: Any, ready: Any, go: Any, back: Any) -> None:
    before = a[:3].tolist()
    ready.set()
    assert go.wait(SOON)
    after = a.sum()  # the parent has written into its own, dropped it, and used the memory for others
    a[:] = 9
    back.put((before, int(after), a))


def test_a_received_array_in_a_child(ctx: Any) -> None:
    q, back = ctx.Queue(), ctx.Queue()
    ready, go = ctx.Event(), ctx.Event()
    q.put(numbered(4))
    a = q.get()
    p = ctx.Process(target=use_in_child, args=(a, ready, go, back))
    p.start()
    assert ready.wait(SOON)
    a[:] = 6
    go.set()
    before, after, changed = back.get(timeout=SOON)
    p.join()
    assert before == [4, 5, 6] and after == numbered(4).sum()
    assert (changed == 9).all() and (a == 6).all()


def use_alone(ready: Any, go: Any, back: Any) -> None:
    a = _kept.pop("inherited")
    ready.set()
    assert go.wait(SOON)
    back.put(a.copy())
    del a


def test_a_forked_child_keeps_what_its_parent_drops() -> None:
    q, back = fork.Queue(), fork.Queue()
    for _ in range(3):
        q.put(numbered(4))
        keep("inherited", q.get())
        ready, go = fork.Event(), fork.Event()
        p = fork.Process(target=use_alone, args=(ready, go, back))
        p.start()
        assert ready.wait(SOON)
        del _kept["inherited"]
        churn(q, 20)
        go.set()
        assert not differences(back.get(timeout=SOON), numbered(4))
        p.join()


def test_a_parent_keeps_what_its_forked_child_drops_or_writes() -> None:
    q = fork.Queue()
    q.put([numbered(4), numbered(5)])
    a = keep("inherited", q.get())

    def child() -> None:
        _kept["inherited"][0][:] = -1
        _kept.clear()
        churn(fork.Queue(), 10)

    for _ in range(3):
        p = fork.Process(target=child)
        p.start()
        p.join()
        assert p.exitcode == 0
        churn(q, 10)
        assert not differences(a, [numbered(4), numbered(5)])
    _kept.clear()


# -- deaths


def hold_and_die(source: Any, sink: Any) -> None:
    held = [source.get() for _ in range(5)]
    sink.put(held[2])
    sink.put([a[10:20] for a in held])
    for i in range(10):
        sink.put([numbered(i), numbered(-i)])
    die()


def test_a_death_takes_only_the_dead_ones_copies(ctx: Any) -> None:
    q, back = ctx.Queue(), ctx.Queue()
    mine = [numbered(i) for i in range(8)]
    for a in mine:
        q.put(a)
    p = ctx.Process(target=hold_and_die, args=(q, back))
    p.start()
    p.join()
    assert p.exitcode == -signal.SIGKILL
    assert not differences([back.get(timeout=SOON), back.get(timeout=SOON)], [mine[2], [a[10:20] for a in mine[:5]]])
    first = back.get(timeout=SOON)
    churn(ctx.Queue(), 20)
    sent = [first] + [back.get(timeout=SOON) for _ in range(9)]
    assert not differences(sent, [[numbered(i), numbered(-i)] for i in range(10)])
    assert not differences([q.get(timeout=SOON) for _ in range(3)], mine[5:])
    assert not differences(mine, [numbered(i) for i in range(8)])


def get_one(q: Any) -> None:
    q.get()


def test_a_message_whose_reader_dies_comes_whole_to_the_next(ctx: Any) -> None:
    q = ctx.Queue()
    q.put([numbered(1), KillsItsReader(), numbered(2)])
    p = ctx.Process(target=get_one, args=(q,))
    p.start()
    p.join()
    assert p.exitcode == -signal.SIGKILL
    churn(ctx.Queue(), 10)
    assert not differences(q.get(timeout=SOON), [numbered(1), "survived", numbered(2)])


def test_a_message_whose_reader_dies_goes_with_its_queue(ctx: Any) -> None:
    q = ctx.Queue()
    before = used()
    shared = mp.ndarray(MIB // 8)
    q.put([numbered(1, MIB // 8), b"x" * MIB, shared, KillsItsReader()])
    del shared
    p = ctx.Process(target=get_one, args=(q,))
    p.start()
    p.join()
    assert p.exitcode == -signal.SIGKILL and used() > before + 3 * MIB
    del q
    assert used() < before + MIB


def add_or_die(died: Any, a: Any, x: int) -> int:
    a += x
    if x == 3 and died.exchange(1) == 0:
        die()
    return int(a[-1])


def die_or_add(died: Any, a: Any, x: int) -> int:
    if x == 3 and died.exchange(1) == 0:
        die()
    return add_bound(a, x)


def test_what_is_begun_again_is_given_the_same_and_results_outlive_their_worker(ctx: Any) -> None:
    a, died = numbered(0), [ctx.Value("i", 0), ctx.Value("i", 0)]
    want = [BIG - 1 + x for x in range(40)]
    with ctx.Pool(1) as pool:
        results = pool.map(numbered, range(5))
        assert pool.starmap(add_or_die, [(died[0], a, x) for x in range(8)], chunksize=1, retries=1) == want[:8]
        assert pool.map(partial(die_or_add, died[1], a), range(40), 5, retries=1) == want
        assert pool.map(partial(add_bound, a), range(5)) == want[:5]
        results += pool.map(numbered, range(5, 10))
    assert [value.value for value in died] == [1, 1]  # so many workers ended
    assert not differences(results, [numbered(i) for i in range(10)])
    assert not differences(a, numbered(0))


# -- bound to the function of a map


def add_bound(a: Any, x: int) -> int:
    return int(a[0] + a[-1]) + x


def sum_of(x: int, *, table: dict[str, Any], scale: int) -> int:
    return int(table["a"][x] * scale + table["b"][-1])


def test_an_array_bound_to_a_map(ctx: Any) -> None:
    with ctx.Pool(1) as pool:
        for size in SIZES:
            a = numbered(10, size)
            table = {"a": a, "b": a[::-1]}
            want = [add_bound(a, x) for x in range(50)]
            assert pool.map(partial(add_bound, a), range(50)) == want
            assert pool.map(partial(add_bound, a), range(50), chunksize=1) == want
            assert list(pool.imap(partial(add_bound, a), range(50), 4)) == want
            assert pool.starmap(partial(add_bound, a), [(x,) for x in range(50)], 3) == want
            nested = partial(partial(sum_of, table=table), scale=3)
            assert pool.map(nested, range(50)) == [3 * (10 + x) + 10 for x in range(50)]
            assert pool.map(lambda x, a=a: int(a[x]), range(50)) == [10 + x for x in range(50)]


def mark(a: Any, _: int) -> tuple[int, set[int]]:
    """Write this worker's mark, and return it with all that is there."""
    seen = set(a[::50].tolist())
    a[:] = os.getpid()
    return os.getpid(), seen


def test_what_a_worker_writes_into_a_bound_array_no_other_sees(ctx: Any) -> None:
    a = np.zeros(BIG, "i8")
    with ctx.Pool(2) as pool:
        meet_all(ctx, pool, 2)
        for chunksize in (1, 5, None):
            for pid, seen in pool.map(partial(mark, a), range(60), chunksize):
                assert seen <= {0, pid}
        assert not a.any()
        assert pool.map(partial(add_bound, a), range(3)) == [0, 1, 2]  # nor does the next map


def test_workers_that_come_later_get_what_is_bound(ctx: Any) -> None:
    a = numbered(0)
    with ctx.Pool(1, maxtasksperchild=2) as pool:
        assert pool.map(partial(add_bound, a), range(4), 1) == [BIG - 1 + x for x in range(4)]


# -- in many items of one map


def row_sum(a: Any, x: int) -> tuple[float, bool, bool]:
    total = float(a[x].sum())
    if a.flags.writeable:
        a[:] = -1
    return total, bool(a.flags.writeable), bool(a.flags.f_contiguous)


class GivesATemporary:
    """Its pickle holds an array that lives only while it is pickled."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return as_it_is, (numbered(self.number),)


def as_it_is(a: Any) -> Any:
    return a


def test_an_array_in_many_items_of_a_map_is_copied_twice(ctx: Any) -> None:
    plain = np.arange(MIB // 4.0).reshape(512, 512)
    fixed = plain.copy()
    fixed.flags.writeable = False
    with ctx.Pool(2) as pool:
        meet_all(ctx, pool, 2)
        for a in (plain, np.asfortranarray(plain), fixed, plain[::2]):
            before, sums, flags = used(), a.sum(axis=1), (a.flags.writeable, a.flags.f_contiguous)
            result = pool.starmap_async(row_sum, [(a, x % 256) for x in range(100)], 1)
            assert used() < before + 5 * a.nbytes or not a.flags.forc
            assert result.get(SOON) == [(sums[x % 256], *flags) for x in range(100)]
        assert plain[0, 1] == 1 and plain.min() == 0


def test_arrays_that_live_only_while_they_are_pickled(ctx: Any) -> None:
    with ctx.Pool(2) as pool:
        results = pool.map(as_it_is, [GivesATemporary(x) for x in range(40)], 1)
        assert not differences(results, [numbered(x) for x in range(40)])
        a, b = numbered(0), numbered(1)
        assert pool.starmap(add_bound, [(c, x) for x in range(30) for c in (a, b)], 1) == [
            add_bound(c, x) for x in range(30) for c in (a, b)
        ]


# -- memory


def test_what_was_received_and_dropped_is_given_back() -> None:
    q = mp.Queue()
    before = used()
    for i in range(30):
        q.put([numbered(i, MIB // 8), numbered(i, MIB)])
        q.get()
    assert used() < before + 16 * MIB


def test_what_tasks_were_given_and_returned_is_given_back() -> None:
    a = numbered(0, MIB // 8)
    with fork.Pool(1) as pool:
        before = used()
        for _ in range(20):
            assert all((result == a).all() for result in pool.map(keep_nothing, [a, a], 1))
            assert pool.map(partial(add_bound, a), range(3)) == [MIB // 8 - 1 + x for x in range(3)]
        assert wait_until(lambda: used() < before + 16 * MIB, SOON)


def test_what_the_dead_held_is_given_back() -> None:
    q, back = fork.Queue(), fork.Queue()
    before = used()
    for _ in range(8):
        for i in range(5):
            q.put(numbered(i, MIB // 8))
        p = fork.Process(target=hold_and_die, args=(q, back))
        p.start()
        p.join()
        assert p.exitcode == -signal.SIGKILL
        assert not differences(back.get(timeout=SOON), numbered(2, MIB // 8))
        for _ in range(11):
            back.get(timeout=SOON)
    churn(q, 10)
    assert wait_until(lambda: used() < before + 16 * MIB, SOON)


def test_what_is_bound_to_a_map_crosses_once(budget: Callable[[int], None]) -> None:
    a = numbered(0, 4 * MIB)  # 32 MiB
    with fork.Pool(2) as pool:
        budget(48 * MIB)
        pages = 64
        assert pool.map(partial(add_bound, a), range(pages), chunksize=1) == [4 * MIB - 1 + x for x in range(pages)]
        assert list(pool.imap(partial(add_bound, a), range(pages))) == [4 * MIB - 1 + x for x in range(pages)]


def test_stats_name_the_process_that_has_an_array() -> None:
    q = mp.Queue()
    before = mp.arena.stats().processes.get(os.getpid(), 0)
    q.put(numbered(0, MIB))
    got = q.get()
    held = mp.arena.stats().processes[os.getpid()]
    assert held >= before + got.nbytes
    del got
    assert mp.arena.stats().processes.get(os.getpid(), 0) < held
