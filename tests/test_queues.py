"""Queue, JoinableQueue, SimpleQueue."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import threading
from typing import Any

import pytest
from conftest import wait_until

import lightwork as mp
from lightwork import queues

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


class Evil:
    """Unpickles into an exception."""

    def __reduce__(self) -> Any:
        return int, ("not a number",)


class KillsItsReader:
    def __reduce__(self) -> Any:
        return _die_unless, (os.getpid(),)


def _die_unless(pid: int) -> str:
    if os.getpid() != pid:
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


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


CAME_BACK = """
import os, selectors, signal
import lightwork as mp

class KillsItsReader:
    def __reduce__(self):
        return die_unless, (os.getpid(),)

def die_unless(pid):
    if os.getpid() != pid:
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"

if __name__ == "__main__":
    q = mp.Queue()
    q.put(KillsItsReader())
    p = mp.get_context("fork").Process(target=q.get)
    p.start()
    p.join()
    with selectors.DefaultSelector() as s:
        s.register(q, selectors.EVENT_READ)
        assert s.select(10) and q.get(timeout=10) == "survived"
    print("ok")
"""


def test_fileno_tells_of_what_came_back(program: Any, run: Any) -> None:
    assert run(program(CAME_BACK)).stdout == "ok\n"


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


FILENO = """
import asyncio, selectors
import lightwork as mp, lightwork.connection

def put_all(q, items):
    for item in items: q.put(item)

if __name__ == "__main__":
    mp.set_start_method({method!r})
    q = mp.Queue()
    with selectors.DefaultSelector() as s:
        s.register(q, selectors.EVENT_READ)
        assert s.select(0) == []
        p = mp.Process(target=put_all, args=(q, [1, 2])); p.start(); p.join()
        assert s.select(10)
        assert q.get() == 1
        assert s.select(10)
        assert q.get() == 2
        assert s.select(0) == []
        q.put(3)
        assert s.select(10) and q.get_nowait() == 3
    simple = mp.SimpleQueue()
    simple.put("x")
    assert mp.connection.wait([simple._reader], 10) and simple._reader.recv() == "x"

    async def main():
        loop, found = asyncio.get_running_loop(), asyncio.Queue()
        loop.add_reader(q.fileno(), lambda: found.put_nowait(q.get_nowait()))
        q.put("async")
        assert await asyncio.wait_for(found.get(), 10) == "async"
        loop.remove_reader(q.fileno())
    asyncio.run(main())
    print("ok")
"""


def test_fileno(method: str, program: Any, run: Any) -> None:
    # In a program of its own: the thread behind fileno() lives as long as its process.
    assert run(program(FILENO.format(method=method))).stdout == "ok\n"


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


def test_a_subclass_written_for_the_stdlibs_layout_gets_the_stdlibs_class() -> None:
    import multiprocessing.queues

    class Theirs(queues.Queue):
        def __setstate__(self, state: Any) -> None: ...

    assert issubclass(Theirs, multiprocessing.queues.Queue) and not issubclass(Theirs, queues.Queue)


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
