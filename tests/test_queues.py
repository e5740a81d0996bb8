"""Queue, JoinableQueue, SimpleQueue."""

from __future__ import annotations

import pickle
import queue
import signal
import threading
from typing import Any

import pytest
from conftest import wait_until
from queue_items import Evil, KillsItsReader, Raises

import lightwork as mp
from lightwork import queues

fork: Any = mp.get_context("fork")

OBJECTS = [
    0, -1, 2**62, 2**63 - 1, -(2**63), 2**63, 2**200, True, False, None, 0.0, -1.5, float("inf"), "", "é漢", "x" * 48,
    "y" * 49, "\ud800", b"", b"a" * 47, b"b" * 48, b"c" * 49, b"d" * 1000, b"e" * 40_000, b"f" * 1_000_000, (), (1,),
    (1, 2, 3, 4, 5), tuple(range(40)), (1, "a", b"b", None, True, 2.5), ("z" * 100, 1), ((1, 2), 3), [1, 2], {"a": 1},
    {1, 2}, 3 + 4j, bytearray(b"abc"), range(5),
]  # fmt: skip


def put_all(q: Any, items: list[Any]) -> None:
    for item in items:
        q.put(item)


def echo(source: Any, sink: Any) -> None:
    while (item := source.get()) is not None:
        sink.put(item)


def numbered(q: Any, who: int, n: int) -> None:
    for i in range(n):
        q.put((who, i))


def take(q: Any, sink: Any, n: int) -> None:
    sink.put([q.get() for _ in range(n)])


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda o: repr(o)[:20])
@pytest.mark.parametrize("make", [mp.Queue, mp.SimpleQueue, mp.JoinableQueue])
def test_objects_come_back_equal_and_of_the_same_type(make: Any, obj: Any) -> None:
    q = make()
    q.put(obj)
    back = q.get()
    assert back == obj and type(back) is type(obj)


def test_nan_and_true_keep_their_kind() -> None:
    q = mp.Queue()
    q.put((True, 1, float("nan")))
    a, b, c = q.get()
    assert a is True and type(b) is int and c != c


def test_order_across_processes(ctx: Any) -> None:
    q, back = ctx.Queue(), ctx.Queue()
    p = ctx.Process(target=echo, args=(q, back))
    p.start()
    put_all(q, OBJECTS[:5] + OBJECTS[10:] + [1])
    q.put(None)
    assert [back.get() for _ in OBJECTS[:5] + OBJECTS[10:]][:5] == OBJECTS[:5]
    p.join()
    assert p.exitcode == 0


def test_many_producers_many_consumers_lose_and_double_nothing(ctx: Any) -> None:
    q, sink = ctx.Queue(), ctx.Queue()
    n, k = 2000, 3
    producers = [ctx.Process(target=numbered, args=(q, i, n)) for i in range(k)]
    consumers = [ctx.Process(target=take, args=(q, sink, n)) for _ in range(k)]
    for p in producers + consumers:
        p.start()
    taken = [sink.get() for _ in range(k)]
    for p in producers + consumers:
        p.join()
    assert sorted(x for items in taken for x in items) == sorted((w, i) for w in range(k) for i in range(n))
    for items in taken:  # each consumer sees each producer's messages in order
        for who in range(k):
            mine = [i for w, i in items if w == who]
            assert mine == sorted(mine)


def test_join_before_get_with_a_large_message(ctx: Any) -> None:
    q = ctx.Queue()
    p = ctx.Process(target=put_all, args=(q, [b"x" * 5_000_000]))
    p.start()
    p.join()
    assert p.exitcode == 0 and len(q.get()) == 5_000_000


def test_a_queue_grows_and_shrinks() -> None:
    q = mp.Queue()
    for size in (1, 7, 8, 9, 100, 5000, 20_000):
        put_all(q, list(range(size)))
        assert q.qsize() == size
        assert [q.get_nowait() for _ in range(size)] == list(range(size))
        assert q.empty()


def test_bounded(ctx: Any) -> None:
    q = ctx.Queue(2)
    q.put(1)
    q.put_nowait(2)
    assert q.full() and q.qsize() == 2
    with pytest.raises(queue.Full):
        q.put_nowait(3)
    with pytest.raises(queue.Full):
        q.put(3, timeout=0.01)
    p = ctx.Process(target=put_all, args=(q, [3, 4, 5]))
    p.start()
    assert [q.get() for _ in range(5)] == [1, 2, 3, 4, 5]
    p.join()


def test_empty() -> None:
    q = mp.Queue()
    for call in (lambda: q.get(False), q.get_nowait, lambda: q.get(timeout=0.01), lambda: q.get(True, -1)):
        with pytest.raises(queue.Empty):
            call()


def test_block_is_any_truth_value() -> None:
    q: Any = mp.Queue(1)
    for yes in (1, "yes", [0]):
        q.put(7, yes)
        assert q.get(yes) == 7
    for no in (0, None, ""):
        with pytest.raises(queue.Empty):
            q.get(no)
        with pytest.raises(queue.Empty):
            q.get(block=no)
    q.put(7)
    for no in (0, None, ""):
        with pytest.raises(queue.Full):
            q.put(8, no)
    with pytest.raises(NotImplementedError, match="ask me not"):
        q.get(NoTruth())
    assert q.get() == 7


class NoTruth:
    def __bool__(self) -> bool:
        raise NotImplementedError("ask me not")


def test_get_nowait_right_after_put() -> None:
    q = mp.Queue()
    for i in range(1000):
        q.put([i])
        assert q.get_nowait() == [i]


def test_a_later_change_is_not_sent() -> None:
    q = mp.Queue()
    item = [0]
    q.put(item)
    item[0] = 1
    assert q.get() == [0]


def test_unpicklable_raises_in_put_and_the_queue_goes_on() -> None:
    q = mp.Queue()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        q.put(lambda: 0)
    with pytest.raises(TypeError):
        q.put(threading.Lock())
    q.put(1)
    assert q.get() == 1 and q.empty()


def test_what_cannot_be_unpickled_raises_in_get_and_the_queue_goes_on() -> None:
    q = mp.Queue()
    q.put(Evil())
    q.put(2)
    with pytest.raises(ValueError, match="not a number"):
        q.get()
    assert q.get() == 2


def test_a_message_in_the_hands_of_a_killed_reader_goes_to_the_next(ctx: Any) -> None:
    q = ctx.Queue()
    q.put(KillsItsReader())
    q.put("next")
    p = ctx.Process(target=take, args=(q, ctx.Queue(), 1))
    p.start()
    p.join()
    assert p.exitcode == -signal.SIGKILL
    assert sorted([q.get(timeout=10), q.get(timeout=10)]) == ["next", "survived"]
    assert q.empty()


def test_who_waits_for_a_message_sees_the_one_that_came_back(ctx: Any) -> None:
    q = ctx.Queue()
    for timeout in (5, 0):
        q.put(KillsItsReader())
        p = ctx.Process(target=take, args=(q, ctx.Queue(), 1))
        p.start()
        p.join()
        assert q._reader.poll(timeout)
        assert q.get(timeout=10) == "survived"
        assert not q._reader.poll(timeout / 50)


NO_MEMORY = """
import resource
import lightwork as mp

def addresses():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * resource.getpagesize()

def limited(call, *args):
    resource.setrlimit(resource.RLIMIT_AS, (addresses() + 10_000_000, resource.RLIM_INFINITY))
    try:
        call(*args)
    except MemoryError:
        print("none", end=" ")
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

q = mp.Queue()
for make in (lambda: b"x" * 50_000_000, lambda: "x" * 50_000_000, lambda: [1.5] * 5_000_000, lambda: ["x"] * 5_000_000):
    q.put(make())
    q.put("next")
    limited(q.get)
    assert q.get() == make() and q.get() == "next" and q.empty()
items = [f"{i:020}" for i in range(1_000_000)]
limited(q.put, items)
assert q.empty()
"""


def test_a_message_for_which_there_is_no_memory_stays(program: Any, run: Any) -> None:
    assert run(program(NO_MEMORY)).stdout == "none " * 5


def test_closed() -> None:
    q = mp.Queue()
    with pytest.raises(AssertionError):
        q.join_thread()
    q.close()
    q.join_thread()
    q.cancel_join_thread()
    for call in (lambda: q.put(1), q.get):
        with pytest.raises(ValueError, match="is closed"):
            call()
    s = mp.SimpleQueue()
    s.close()
    with pytest.raises(OSError, match="closed"):
        s.put(1)


def test_joinable(ctx: Any) -> None:
    q = ctx.JoinableQueue()
    done = ctx.Value("i", 0)
    p = ctx.Process(target=work_off, args=(q, done))
    p.start()
    put_all(q, [1, 2, 3])
    q.join()
    assert done.value == 6
    q.put(None)
    q.join()
    p.join()
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


def work_off(q: Any, done: Any) -> None:
    while (item := q.get()) is not None:
        done.add(item)
        q.task_done()
    q.task_done()


def test_a_queue_travels_through_a_queue(ctx: Any) -> None:
    outer, inner = ctx.Queue(), ctx.Queue()
    p = ctx.Process(target=answer_on, args=(outer,))
    p.start()
    outer.put(inner)
    assert inner.get() == "answer"
    p.join()


def answer_on(outer: Any) -> None:
    outer.get().put("answer")


def test_threads_wait_beside_each_other() -> None:
    q = mp.Queue()
    got: list[int] = []
    threads = [threading.Thread(target=lambda: got.append(q.get())) for _ in range(8)]
    for t in threads:
        t.start()
    put_all(q, list(range(8)))
    for t in threads:
        t.join()
    assert sorted(got) == list(range(8))


def test_interrupt_ends_a_wait() -> None:
    q = mp.Queue()
    main = threading.get_ident()
    timer = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        q.get()
    timer.join()
    q.put(1)
    assert q.get() == 1


def test_many() -> None:
    q = mp.Queue()
    q.put_many(range(10))
    assert q.get_many(4) == [0, 1, 2, 3]
    assert q.get_many(100) == [4, 5, 6, 7, 8, 9]
    with pytest.raises(queue.Empty):
        q.get_many(1, timeout=0)
    with pytest.raises(ValueError, match="at least 1"):
        q.get_many(0)
    q.close()
    with pytest.raises(ValueError, match="is closed"):
        q.get_many(1)


def test_get_many_loses_nothing_by_what_cannot_be_unpickled() -> None:
    q = mp.Queue()
    for take in (q.get, q.get_nowait, lambda: q.get_many(9)):
        q.put_many([1, 2, Evil(), 3])
        assert q.get_many(9) == [1, 2]
        assert not q.empty() and q.qsize() == 2
        with pytest.raises(ValueError, match="not a number"):
            take()
        assert q.get_many(9) == [3] and q.empty()
    q.put_many([Raises(queue.Empty), 1, Raises(queue.Empty), 2])
    for after in (1, 2):
        with pytest.raises(queue.Empty):
            q.get_many(9)
        assert q.get_many(1) == [after]


def test_get_many_loses_nothing_by_an_interrupt() -> None:
    q = fork.Queue()
    for take in (q.get, q.get_nowait, lambda: q.get_many(1)[0]):
        q.put_many([1, 2, Raises(KeyboardInterrupt), 3])
        with pytest.raises(KeyboardInterrupt):
            q.get_many(9)
        assert not q.empty() and q.qsize() == 3
        assert take() == 1
        assert q.get_many(9) == [2, 3] and q.empty()


def test_what_get_many_left_over_is_not_given_to_a_child_too() -> None:
    q, back = fork.Queue(), fork.Queue()
    q.put_many([1, 2, Raises(KeyboardInterrupt), 3])
    with pytest.raises(KeyboardInterrupt):
        q.get_many(9)
    p = fork.Process(target=lambda: back.put(q.get_many(9)))
    p.start()
    assert back.get(timeout=10) == [3]
    p.join()
    assert q.get_many(9) == [1, 2]


def test_dropped_queues_give_their_memory_back() -> None:
    def cycle() -> None:
        for _ in range(50):
            q = mp.Queue()
            put_all(q, [b"x" * 100_000, b"y" * 10_000, list(range(100))])

    cycle()
    before = mp.arena.stats().used
    for _ in range(5):
        cycle()
    assert mp.arena.stats().used == before


class Labelled(queues.Queue):
    label = "none"

    def __getstate__(self) -> Any:
        return self.label, super().__getstate__()

    def __setstate__(self, state: Any) -> None:
        self.label = f"{state[0]}, sent"


def test_a_subclass_with_a_state_of_its_own_is_a_subclass_of_ours(ctx: Any) -> None:
    q, there, back = Labelled(ctx=ctx), ctx.Queue(), ctx.Queue()
    q.label = "mine"
    assert Labelled.__mro__[1] is queues.Queue
    p = ctx.Process(target=labels, args=(there, back))
    p.start()
    there.put(q)
    assert back.get(timeout=20) == "mine, sent" and q.get() == "from a child"
    p.join()


def labels(there: Any, back: Any) -> None:
    q = there.get()
    q.put("from a child")
    back.put(q.label)


def test_a_subclass_with_the_feeder_hook_gets_what_cannot_be_pickled() -> None:
    refused: list[Any] = []

    class Hooked(queues.Queue):
        def _on_queue_feeder_error(self, e: BaseException, obj: object) -> None:
            refused.append((type(e), obj))

    q = Hooked(ctx=mp.get_context())
    q.put(threading.current_thread)
    bad = lambda: 0  # noqa: E731
    q.put(bad)
    assert [obj for _, obj in refused] == [bad]
    assert q.get() is threading.current_thread


def test_the_reader_of_a_killed_writer_is_not_disturbed(ctx: Any) -> None:
    q = ctx.Queue()
    p = ctx.Process(target=numbered, args=(q, 0, 10**9))
    p.start()
    seen = [q.get()[1] for _ in range(100)]
    p.kill()
    p.join()
    last = seen[-1]
    while not q.empty():
        i = q.get(timeout=10)[1]
        assert i == last + 1
        last = i
    q.put("goes on")
    assert q.get(timeout=10) == "goes on"


def test_two_first_puts_at_once_are_both_sent(ctx: Any) -> None:
    # Once a writer that did not get the put lock freed it for the one that had it.
    for _ in range(100 if ctx.get_start_method() == "fork" else 5):
        q = ctx.Queue()
        ps = [ctx.Process(target=numbered, args=(q, i, 3)) for i in range(2)]
        for p in ps:
            p.start()
        for p in ps:
            p.join()
        assert sorted(q.get_many(7)) == [(i, k) for i in range(2) for k in range(3)]


def test_forked_child_does_not_free_what_it_inherited() -> None:
    q = mp.get_context("fork").Queue()
    q.put(b"x" * 100_000)
    p = mp.get_context("fork").Process(target=drop, args=(q,))
    p.start()
    p.join()
    assert len(q.get()) == 100_000
    assert wait_until(lambda: q.empty())


def drop(q: Any) -> None:
    del q
