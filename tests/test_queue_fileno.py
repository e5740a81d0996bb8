"""The descriptor of a queue: `fileno()`, for selectors, `wait` and asyncio."""

from __future__ import annotations

import gc
import os
import pickle
import select
import threading
import weakref
from typing import Any

import pytest
from conftest import wait_until
from queue_items import Evil, Raises

import lightwork as mp

fork: Any = mp.get_context("fork")


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


def readable(fd: int, seconds: float) -> bool:
    return bool(select.select([fd], [], [], seconds)[0])


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue"])
def test_a_forked_child_does_not_silence_its_parents_fileno(kind: str) -> None:
    q = getattr(fork, kind)()
    fd = q.fileno()
    for i in range(2):
        q.put(i)
        assert readable(fd, 10)
        p = fork.Process(target=q.get)  # what there is
        p.start()
        assert p.result(10) == i
        q.put("mine")
        assert readable(fd, 10) and q.get() == "mine"
        assert not readable(fd, 0)
    q.close()


def waits_and_takes(q: Any, back: Any) -> None:
    back.put((readable(q.fileno(), 10), q.get(), readable(q.fileno(), 0)))


def test_a_forked_child_has_a_fileno_of_its_own() -> None:
    q, back = fork.Queue(), fork.Queue()
    q.fileno()
    p = fork.Process(target=waits_and_takes, args=(q, back))
    p.start()
    q.put(1)
    assert back.get(timeout=10) == (True, 1, False)
    p.join()
    q.close()


def test_fileno_tells_of_what_get_many_left_over() -> None:
    q = fork.Queue()
    fd = q.fileno()
    for last, error in ((Evil(), ValueError), (Raises(KeyboardInterrupt), KeyboardInterrupt)):
        q.put_many([1, 2, last])
        assert readable(fd, 10)
        try:
            assert q.get_many(9) == [1, 2]
        except KeyboardInterrupt:
            assert readable(fd, 10) and q.get_many(9) == [1, 2]
        else:
            assert readable(fd, 10)
            with pytest.raises(error):
                q.get()
        assert not readable(fd, 0)
    q.close()


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue"])
def test_a_closed_queue_leaves_its_descriptors_number_to_others(kind: str) -> None:
    q = getattr(fork, kind)()
    copy = pickle.loads(pickle.dumps(q))
    reader, writer = os.pipe()
    fd = q.fileno()
    assert q.fileno() == fd
    q.put(1)
    assert readable(fd, 10)
    q.close()
    assert copy.get() == 1
    assert not os.path.exists(f"/proc/self/fd/{fd}")
    os.dup2(reader, fd)
    os.write(writer, b"01234567")
    with pytest.raises((ValueError, OSError)):
        q.get()
    with pytest.raises(ValueError, match="is closed"):
        q.fileno()
    assert os.read(fd, 8) == b"01234567"
    for open_fd in (reader, writer, fd):
        os.close(open_fd)
    q = getattr(fork, kind)()
    q.close()
    with pytest.raises(ValueError, match="is closed"):
        q.fileno()


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue"])
def test_a_dropped_queue_takes_its_thread_and_its_descriptor_with_it(kind: str) -> None:
    threads = set(threading.enumerate())
    qs = [getattr(fork, kind)() for _ in range(5)]
    fds = [q.fileno() for q in qs]
    for q in qs[:2]:
        q.put(1)
        assert readable(q.fileno(), 10)
    gone = [weakref.ref(q) for q in qs]
    gc.disable()  # no cycle keeps them
    try:
        del q, qs
        assert wait_until(lambda: not any(r() for r in gone), 1)
        assert wait_until(lambda: threads.issuperset(threading.enumerate()), 5)
        assert not any(os.path.exists(f"/proc/self/fd/{fd}") for fd in fds)
    finally:
        gc.enable()


def test_threads_that_ask_together_get_one_fileno() -> None:
    q, start = fork.Queue(), threading.Barrier(8)
    found: list[int] = []

    def ask() -> None:
        start.wait()
        found.append(q.fileno())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 8 and set(found) == {q.fileno()}
    q.put(1)
    assert readable(q.fileno(), 10) and q.get() == 1 and not readable(q.fileno(), 0)
    q.close()
