"""Shared numpy arrays: what `ndarray` and `share` make, how it travels, and when it is freed."""

from __future__ import annotations

import copy
import functools
import gc
import pickle
import random
import signal
import threading
from collections.abc import Callable
from typing import Any

import array_tasks as tasks
import numpy as np
import pytest
from array_tasks import N, fill, made
from conftest import wait_until
from pool_tasks import SOON, meet_all
from processes import ended, nothing, used

import lightwork as mp
from lightwork.errors import ArenaFull, WorkerDied
from lightwork.pool import MaybeEncodingError

fork: Any = mp.get_context("fork")
MIB = 1 << 20


# -- what is made


@pytest.mark.parametrize("shape", [5, np.int64(5), (2, 3), [2, 3], (2, 3, 4), (), 0, (3, 0, 2)])
def test_a_new_array(shape: Any) -> None:
    model, array = np.zeros(shape), mp.ndarray(shape)
    assert type(array) is np.ndarray
    assert array.shape == model.shape and array.dtype == float and not array.any()
    assert array.flags.c_contiguous and array.flags.writeable and array.flags.aligned
    array[...] = 2
    assert array.sum() == 2 * model.size


@pytest.mark.parametrize(
    "dtype", [None, "i1", "u2", np.int32, ">f4", "f8", complex, bool, "U7", "S3", "M8[s]", [("x", "i4"), ("y", "f8")]]
)
def test_dtypes(dtype: Any) -> None:
    model = np.zeros((2, 3), dtype)
    array = mp.ndarray((2, 3), dtype)
    assert array.dtype == model.dtype and array.strides == model.strides and array.tobytes() == model.tobytes()
    q = fork.Queue()
    q.put(array)
    back = q.get()
    assert back.dtype == model.dtype and np.shares_memory(back, array)


def test_a_dtype_with_dimensions() -> None:
    assert mp.ndarray(4, ("i4", 3)).shape == (4, 3)


def test_fill() -> None:
    assert mp.ndarray((2, 2), int, 7).tolist() == [[7, 7], [7, 7]]
    assert mp.ndarray((2, 3), fill=[1, 2, 3]).tolist() == [[1, 2, 3]] * 2
    assert mp.ndarray(2, bool, fill=True).all()
    assert mp.ndarray(2, "U3", "abc").tolist() == ["abc", "abc"] and not mp.ndarray(3, fill=0).any()
    for wrong in ("many", [1, 2]):
        with pytest.raises(ValueError, match=r"could not (convert string to float: 'many'|broadcast input array)"):
            mp.ndarray(3, fill=wrong)


def test_python_objects_are_refused() -> None:
    words = "an array of .*(object|O).* cannot be shared: Python objects belong to one process"
    for dtype in (object, "O", [("a", "i4"), ("b", object)]):
        with pytest.raises(TypeError, match=words):
            mp.ndarray(3, dtype)
    with pytest.raises(TypeError, match=words):
        mp.share([object()])


def test_a_masked_array_is_refused() -> None:
    masked = np.ma.array([1, 2], mask=[False, True])
    with pytest.raises(TypeError, match="would lose its mask"):
        mp.share(masked)
    assert mp.share(masked.data).tolist() == [1, 2] and mp.share(masked.mask).tolist() == [False, True]


def test_bad_shapes_and_dtypes_are_refused() -> None:
    for shape in (-1, (3, -1), (-2, -3), (0, -1)):
        with pytest.raises(ValueError, match="no dimension of an array can be negative"):
            mp.ndarray(shape)
    with pytest.raises(TypeError, match="an int or a tuple of ints, not"):
        mp.ndarray(3.5)
    with pytest.raises(TypeError, match="data type 'nonsense' not understood"):
        mp.ndarray(3, "nonsense")


@pytest.mark.parametrize("shape", ["3", None, (1, "x")])
def test_a_shape_that_is_none_is_refused_in_clear_words(shape: Any) -> None:
    with pytest.raises(TypeError) as caught:
        mp.ndarray(shape)
    assert "shape" in str(caught.value) or "integer" in str(caught.value)


def test_an_array_that_cannot_be_had_is_a_memory_error() -> None:
    with pytest.raises(ArenaFull, match=r"shared memory is full: .* MiB asked for, .*set_budget\(\)") as caught:
        mp.ndarray((1 << 20, 1 << 20))
    assert isinstance(caught.value, MemoryError)
    before, stats = used(), mp.arena.stats()
    mp.arena.set_budget(before + 3 * MIB)
    try:
        with pytest.raises(ArenaFull, match=r"4\.\d MiB asked for"):
            mp.share(np.zeros(2 * N))
        assert mp.ndarray(N).size == N
    finally:
        mp.arena.set_budget(stats.budget)
    assert used() < before + MIB


@pytest.mark.parametrize("shape", [1 << 62, (1 << 40, 1 << 40)])
def test_an_array_of_more_bytes_than_can_be_counted_is_a_memory_error(shape: Any) -> None:
    with pytest.raises(MemoryError):
        mp.ndarray(shape)


def test_share_copies_what_numpy_makes_an_array_of() -> None:
    for given in (np.arange(12.0).reshape(3, 4), np.asfortranarray(np.ones((3, 4))), np.arange(9)[::-2], np.array(3)):
        before = given.copy()
        shared = mp.share(given)
        assert type(shared) is np.ndarray and shared.dtype == given.dtype and np.array_equal(shared, given)
        assert shared.flags.c_contiguous and not np.shares_memory(shared, given)
        shared += 1
        assert np.array_equal(given, before)
    assert mp.share(tasks.readonly(np.ones(3))).flags.writeable
    assert mp.share([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert mp.share(range(3)).tolist() == [0, 1, 2]
    assert mp.share(2.5).shape == () and mp.share([]).shape == (0,)


def test_what_is_shared_already_comes_back_as_it_is() -> None:
    array = mp.ndarray((3, 4))
    q = fork.Queue()
    q.put(array)
    for shared in (array, array[1:], array.T, array[::-1, ::2], q.get()):
        assert mp.share(shared) is shared


# -- sharing


def test_a_process_and_its_parent_see_what_the_other_writes(ctx: Any) -> None:
    array, asked, told = mp.ndarray((4, 5)), ctx.Queue(), ctx.Queue()
    assert ended(ctx, fill, array[1:3], 7) == 0
    assert array[1:3].min() == 7 and array.sum() == 70
    p = ctx.Process(target=tasks.reads, args=(array.ravel(), asked, told))
    p.start()
    for value in (1.5, 2.5):
        array[3, 2] = value
        asked.put(17)
        assert told.get(timeout=SOON) == value
    asked.put(None)
    p.join()


def test_a_pools_tasks_and_results_are_the_same_memory(ctx: Any) -> None:
    array = mp.ndarray((4, 5))
    with ctx.Pool(2, tasks.keep, (array,)) as pool:
        back = pool.apply(fill, (array, 1))
        assert array.min() == 1 and np.shares_memory(back, array)
        back[...] = 2
        assert array.min() == 2
        rows = pool.starmap(fill, [(row, i) for i, row in enumerate(array)])
        assert array[:, 0].tolist() == [0, 1, 2, 3] and all(np.shares_memory(row, array) for row in rows)
        pool.map(functools.partial(fill, value=3), array)  # its items are its rows
        assert array.min() == 3
        assert list(pool.imap(np.sum, array)) == [15] * 4
        assert pool.submit(fill, array, 4).result(SOON).min() == array.min() == 4
        pool.apply(tasks.fill_kept, (5,))
        assert array.min() == 5


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue", "JoinableQueue"])
def test_through_a_queue(ctx: Any, kind: str) -> None:
    array, q = mp.ndarray((4, 5)), getattr(ctx, kind)()
    q.put(array[2])
    fill(q.get(), 1)
    assert array.sum() == 5
    p = ctx.Process(target=tasks.fills_what_comes, args=(q, 6))
    p.start()
    q.put(array[::2])
    p.join()
    assert array[::2].min() == 6 and array[1::2].max() == 0


def test_views_travel_as_views(ctx: Any) -> None:
    array, model = mp.share(np.arange(20.0).reshape(4, 5)), np.arange(20.0).reshape(4, 5)
    with ctx.Pool(1) as pool:
        for name, view_of in tasks.VIEWS.items():
            view, expected = view_of(array), view_of(model)
            *facts, back = pool.apply(tasks.looks, (view, 3))
            same = (expected.shape, expected.strides, expected.dtype, expected.flags.writeable, expected.tolist())
            assert tuple(facts) == same, name
            if expected.flags.writeable:
                expected += 3
            assert np.array_equal(array, model), name
            assert back.__array_interface__ == view.__array_interface__ or not view.size, name
            assert back.flags.writeable == expected.flags.writeable, name


def test_views_that_are_read_only_or_a_field(ctx: Any) -> None:
    with ctx.Pool(1) as pool:
        array, records = mp.ndarray(3), mp.ndarray(3, [("x", "i2"), ("y", "f8")])
        assert "read-only" in pool.apply(tasks.is_refused, (tasks.readonly(array),))
        assert not array.any()
        assert pool.apply(tasks.is_refused, (array,)) == "written"
        pool.apply(fill, (records["y"], 5))
    assert array.all() and records.tolist() == [(0, 5.0)] * 3


def test_views_of_one_array_alias_each_other_where_they_arrive(ctx: Any) -> None:
    array = mp.ndarray((4, 5))
    with ctx.Pool(1) as pool:
        message = [array, array[1:], array.T, array[0, ::-1], array]
        assert pool.apply(tasks.fills_the_first, (message,)) == (True, [4] * 5)
    q = ctx.Queue()
    q.put({"all": array, "part": array[2:]})
    got = q.get()
    got["part"][...] = 8
    assert got["all"][2:].min() == array[2:].min() == 8 and array[:2].max() == 4


def test_nested_in_other_objects(ctx: Any) -> None:
    array = mp.ndarray(5)
    nests = [
        (tasks.inner_array, {"inner": [array], "other": 1}),
        (tasks.held_array, tasks.Holder("x", array)),
        (tasks.argument_of_partial, functools.partial(fill, array)),
    ]
    with ctx.Pool(1) as pool:
        for value, (path, nested) in enumerate(nests, 1):
            pool.apply(tasks.fill_nested, (path, nested, value))
            assert array.tolist() == [value] * 5
    assert ended(ctx, tasks.fill_nested, *nests[0], 7) == 0
    assert array.tolist() == [7] * 5
    assert ended(ctx, functools.partial(fill, array), 8) == 0
    assert array.tolist() == [8] * 5


@pytest.mark.parametrize("function", [lambda array: functools.partial(fill, array), tasks.Call])
def test_an_array_in_a_pools_function(ctx: Any, function: Any) -> None:
    array = mp.ndarray(5)
    with ctx.Pool(1) as pool:
        pool.apply(function(array), (3,))
    assert array.tolist() == [3] * 5


def test_an_array_beside_a_lambda(ctx: Any) -> None:
    array = mp.ndarray(5)
    with ctx.Pool(1) as pool:
        pool.apply(tasks.fill_beside, (lambda x: x + 1, array, 3))
    assert array.tolist() == [4] * 5


def test_through_two_hops(ctx: Any) -> None:
    array, first, second = mp.ndarray((4, 5)), ctx.Queue(), ctx.Queue()
    p = ctx.Process(target=tasks.fills_what_comes, args=(second, 9))
    p.start()
    first.put(array[:, 1:3])
    assert ended(ctx, tasks.passes_on, first, second) == 0
    p.join()
    assert array[:, 1:3].min() == 9 and array.sum() == 9 * 8


def test_a_global_is_inherited_by_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "kept", mp.ndarray(5))
    assert ended(fork, tasks.fill_kept, 3) == 0
    assert tasks.kept.tolist() == [3] * 5


def test_what_a_process_made_outlives_it(ctx: Any) -> None:
    with ctx.Pool(1) as pool:
        results = [pool.apply(made, (1,)), pool.map(made, [2])[0][5:]]
    p = ctx.Process(target=made, args=(3,))
    p.start()
    results.append(p.result(SOON))
    p.join()
    others = [mp.ndarray(N, fill=9) for _ in range(4)]
    assert [set(array) for array in results] == [{1}, {2}, {3}]
    assert ended(ctx, fill, results[0], 5) == 0
    assert set(results[0]) == {5} and all(set(other) == {9} for other in others)


# -- what is a copy


def test_other_pickles_hold_a_copy() -> None:
    array = mp.share(np.arange(20.0).reshape(4, 5))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for original in (array, array[::2, ::-1], array.T):
            loaded = pickle.loads(pickle.dumps(original, protocol))
            assert np.array_equal(loaded, original) and not np.shares_memory(loaded, array)
            loaded += 1
            assert mp.share(loaded) is not loaded
    assert array.ravel().tolist() == list(range(20))


def test_an_ordinary_array_in_an_error_is_as_pickle_gives_it(ctx: Any) -> None:
    mp.ndarray(1)  # from here on our picklers look whether an array is shared
    array = np.arange(3)
    array.flags.writeable = False
    with ctx.Pool(1) as pool:
        for call, args in ((tasks.fails_with, (array,)), (tasks.makes_one_and_fails_with, (array,))):
            with pytest.raises(ValueError) as caught:
                pool.apply(call, args)
            (back,) = caught.value.args
            assert back.tolist() == [0, 1, 2] and not back.flags.writeable


@pytest.mark.parametrize("make", [mp.ndarray, np.zeros])
def test_the_standard_librarys_pickles_hold_a_copy(ctx: Any, make: Any) -> None:
    array, shared, (a, b) = make(5), mp.ndarray(5), ctx.Pipe()
    with a, b:
        a.send([array, shared])
        for copied in b.recv():
            copied += 1
    assert not array.any() and not shared.any()
    assert ended(ctx, fill, np.ones(5), 1) == 0  # an ordinary one, by spawn's pickler


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, np.array, lambda array: array.copy(), lambda a: a + 0])
def test_copies_are_ordinary_arrays(copied: Any) -> None:
    array = mp.ndarray(5)
    other = copied(array)
    assert type(other) is np.ndarray and not np.shares_memory(other, array)
    assert mp.share(other) is not other
    q = fork.Queue()
    q.put(other)
    fill(q.get(), 3)
    assert not other.any() and not array.any()


def test_ordinary_arrays_arrive_as_copies(ctx: Any, back: Any) -> None:
    array, q = np.zeros(N), ctx.Queue()
    q.put([array, array[::2], tasks.readonly(array)])
    array[...] = 1
    whole, part, fixed = q.get()
    assert not whole.any() and not part.any() and not fixed.any() and part.size == N // 2
    whole[...] = 2
    assert array.max() == 1 and not part.any() and not fixed.flags.writeable
    with ctx.Pool(1) as pool:
        result = pool.apply(fill, (whole, 5))
    assert result.min() == 5 and whole.max() == 2
    del whole, part, fixed, result, pool
    assert back()


# -- lifetime


@pytest.fixture
def extra(ctx: Any) -> Callable[[], int]:
    """How many arrays of N items are in use more than before? (What is small does not count.)"""
    gc.collect()
    assert ended(ctx, nothing) == 0  # the forkserver runs from here on, and what waited for a death is free
    before = used()
    return lambda: (used() - before + MIB) // (2 * MIB)


@pytest.fixture
def back(extra: Any) -> Callable[[], bool]:
    """Has all come back, or does so soon? A worker's death, or its letting go, is no event here."""
    return lambda: wait_until(lambda: extra() <= 0, 5)


def test_a_view_keeps_its_block(extra: Any) -> None:
    array = mp.ndarray(N, fill=1)
    views = [array[10:20], array[::-2]]
    assert extra() == 1
    del array
    mp.ndarray(N, fill=9)
    assert extra() == 1 and set(views[0]) == set(views[1]) == {1}
    q = fork.Queue()
    q.put(views.pop())
    part = q.get()[:3]
    del views
    assert extra() == 1 and set(part) == {1}
    del part
    assert not extra()


def test_undelivered_arrays_stay_until_their_queue_goes(ctx: Any, extra: Any) -> None:
    q = ctx.Queue()
    for value in range(3):
        q.put([made(value), made(value)[5:]])
    assert extra() == 6
    others = [made(9) for _ in range(3)]
    del others
    whole, part = q.get()
    assert set(whole) == set(part) == {0} and extra() == 6
    del whole
    assert extra() == 5
    del part
    assert extra() == 4
    del q
    assert extra() == 0


def test_results_nobody_took(ctx: Any, extra: Any, back: Any) -> None:
    with ctx.Pool(2) as pool:
        meet_all(ctx, pool)
        results = [pool.apply_async(made, (value,)) for value in range(4)]
        for result in results:
            result.wait(SOON)
        assert extra() == 4
        del results, result
        assert back()


def test_results_nobody_took_when_the_pool_ended(ctx: Any, extra: Any, back: Any) -> None:
    begun = ctx.Event()
    with ctx.Pool(1) as pool:
        results = [pool.apply_async(made, (value,)) for value in range(4)]
        results.append(pool.apply_async(tasks.pauses, (None, begun)))
        assert begun.wait(SOON)
        assert extra() == 4
    del results, pool
    assert back()


def test_jobs_that_fail(ctx: Any, back: Any) -> None:
    with ctx.Pool(2) as pool:
        meet_all(ctx, pool)
        array = made(3)
        with pytest.raises(KeyError, match=r"3\.0"):
            pool.apply(tasks.raises, (array,))
        with pytest.raises(MaybeEncodingError):
            pool.apply(tasks.fails_to_send, (array,))
        with pytest.raises(KeyError):
            pool.map(tasks.raises, [array, array])
        with pytest.raises(TypeError, match="cannot pickle"):
            pool.apply(fill, (array, threading.Lock()))
        assert set(array) == {3}
        del array
        assert back()


def test_a_terminated_pool(ctx: Any, extra: Any, back: Any) -> None:
    begun, arrays = ctx.Event(), [made(1) for _ in range(4)]
    with ctx.Pool(2) as pool:
        results = [pool.apply_async(tasks.pauses, (array, begun)) for array in arrays]
        del arrays
        assert begun.wait(SOON)
        assert extra() == 4
    del pool, results
    assert back()


@pytest.mark.parametrize("killed", [True, False])
def test_a_receiver_holds_what_its_sender_dropped_until_it_ends(ctx: Any, extra: Any, back: Any, killed: bool) -> None:
    q, held, go = ctx.Queue(), ctx.Event(), ctx.Event()
    p = ctx.Process(target=tasks.holds, args=(q, held, go))
    p.start()
    q.put(made(1)[7:])
    assert held.wait(SOON)
    others = [made(9) for _ in range(3)]
    assert extra() == 4
    if killed:
        p.kill()
    else:
        go.set()
        assert p.result(SOON) == 1
    p.join()
    assert wait_until(lambda: extra() == 3) and set(others[0]) == {9}
    del others
    assert back()


def test_what_a_killed_sender_put_is_whole(ctx: Any, extra: Any, back: Any) -> None:
    q = ctx.Queue()
    for value in (1, 2):
        assert ended(ctx, tasks.puts_and_dies, q, value) == -signal.SIGKILL
    array = q.get(timeout=SOON)
    others = [made(9) for _ in range(3)]
    assert set(array) == {1} and extra() == 5
    array = q.get(timeout=SOON)
    assert set(array) == {2} and extra() == 4
    del others, array
    assert back()


@pytest.mark.parametrize("by", ["queue", "result"])
def test_the_last_holder_may_be_a_message_of_the_dead(ctx: Any, extra: Any, by: str) -> None:
    q = ctx.Queue()
    assert ended(ctx, *((tasks.puts_and_dies, q, 1) if by == "queue" else (made, 1))) in (0, -signal.SIGKILL)
    del q
    assert extra() == 0


def test_a_process_killed_while_it_makes_arrays() -> None:
    before = used()
    for _ in range(10):
        p = fork.Process(target=tasks.makes_for_ever)
        p.start()
        assert wait_until(lambda: used() >= before + 8 * MIB)  # it has one, or is about to
        p.kill()
        p.join()
        assert used() < before + MIB


@pytest.mark.parametrize("retries", [0, 1])
def test_a_worker_killed_with_an_array_in_its_hands(ctx: Any, back: Any, retries: int) -> None:
    with ctx.Pool(2) as pool:
        meet_all(ctx, pool)
        array, died = made(1), ctx.Value("i", 0)
        result = pool.apply_async(tasks.dies_once, (array, died), retries=retries)
        if retries:
            assert result.get(SOON) == N
        else:
            with pytest.raises(WorkerDied):
                result.get(SOON)
        fill(array, 5)
        assert pool.apply(np.sum, (array,)) == 5 * N
        del array, result
    del pool
    assert back()


def test_many_arrays_through_workers_that_are_killed_at_random(ctx: Any, back: Any) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    r, kills, jobs, last = random.Random(seed), 8, list[Any](), 200
    with ctx.Pool(2) as pool:
        meet_all(ctx, pool)
        deadly = set(r.sample(range(last), kills))
        for i in range(last):
            jobs.append((i, pool.apply_async(tasks.negated, (made(i),), retries=kills)))
            if i in deadly:
                jobs[r.randrange(len(jobs))][1].wait(r.choice([0, 0.001, SOON]))
                r.choice(pool._pool).kill()
            while len(jobs) > (0 if i == last - 1 else 6):
                number, result = jobs.pop(0)
                array = result.get(SOON)
                assert array.min() == array.max() == -number
                del array, result
    del pool
    assert back()


@pytest.mark.parametrize("room", [True, False])
def test_large_arguments_of_a_process(ctx: Any, budget: Callable[[int], None], room: bool) -> None:
    array, fixed, name = np.arange(N), np.arange(N), bytes(range(256)) * 1024
    fixed.flags.writeable = False
    if not room:
        budget(MIB)
    p = ctx.Process(target=tasks.writes_to_its_arguments, args=(array, [fixed, array]), kwargs={"name": name})
    p.start()
    assert p.result(SOON) == (N - 1, N - 1, True, False, True, name)
    assert array[0] == 0


def test_a_childs_arguments_end_with_it(ctx: Any, back: Any) -> None:
    told, go = ctx.Queue(), ctx.Event()
    p = ctx.Process(target=tasks.drops, args=(np.ones(N), told, go))
    p.start()
    assert told.get(timeout=SOON)
    p.kill()
    p.join()
    assert back()


@pytest.mark.parametrize("make", [tasks.SpawnedWithItself, tasks.ServedWithItself])
def test_a_process_that_is_part_of_its_own_state(make: Any) -> None:
    p = make(np.ones(N))
    p.start()
    assert p.result(SOON) == (True, float(N))


def test_large_arguments_of_an_initializer(ctx: Any) -> None:
    with ctx.Pool(2, initializer=tasks.keep, initargs=([np.ones(N), mp.ndarray(3, fill=1)],)) as pool:
        assert set(pool.map(tasks.sum_of_kept, range(20))) == {N + 3.0}


@pytest.mark.parametrize("killed", [True, False])
def test_what_a_child_got_at_its_start_stays_while_it_lives(ctx: Any, extra: Any, back: Any, killed: bool) -> None:
    q, go, array = ctx.Queue(), ctx.Event(), made(1)
    p = ctx.Process(target=tasks.sends_back, args=(array[5:], q, go))
    p.start()
    del array
    others = [made(9) for _ in range(3)]
    assert extra() == 4
    if killed:
        p.kill()
        p.join()
    else:
        go.set()
        array = q.get(timeout=SOON)
        p.join()
        others += [made(9) for _ in range(3)]
        assert array.size == N - 5 and set(array) == {1} and set(others[0]) == {9}
        del array
    del others
    assert back()


def test_a_childs_end_frees_nothing_of_its_parents(ctx: Any, back: Any) -> None:
    array, told, go = made(1), ctx.Queue(), ctx.Event()
    ps = [ctx.Process(target=tasks.drops, args=(array, told, go)) for _ in range(2)]
    for p in ps:
        p.start()
        assert told.get(timeout=SOON) == "dropped"
    ps[0].kill()
    go.set()
    for p in ps:
        p.join()
    others = [made(9) for _ in range(3)]
    assert set(array) == {1} and set(others[0]) == {9}
    del array, others
    assert back()


def test_the_forkserver_keeps_no_array(program: Any, run: Any) -> None:
    assert run(program(tasks.FORKSERVER)).stdout == "True\n"


# -- without numpy


def test_without_numpy(program: Any, run: Any) -> None:
    assert run(program(tasks.WITHOUT_NUMPY)).stdout == (
        "lightwork.ndarray needs numpy: pip install numpy\nlightwork.share needs numpy: pip install numpy\n"
    )
