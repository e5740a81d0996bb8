"""The shared memory: limits, handles that lie, what is given back, and thousands of primitives."""

from __future__ import annotations

import os
import pickle
import queue
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_until
from processes import ended, nothing, used

import lightwork as mp
from lightwork import _native
from lightwork.context import BaseContext
from lightwork.errors import ArenaFull, ForeignHandle

fork: Any = mp.get_context("fork")
MIB = 1 << 20


def handle(x: Any) -> tuple[int, int, int]:
    """Family, offset, stamp."""
    name: tuple[int, int, int] = x.__reduce__()[1][-1]
    return name


def read_when_told(q: Any, told: Any) -> int:
    """How many messages there were."""
    assert told.wait(30)
    count = 0
    while q.get() is not None:
        count += 1
    return count


# -- the budget


def test_a_put_waits_for_room(ctx: BaseContext, budget: Callable[[int], None]) -> None:
    q, full = ctx.Queue(), ctx.Event()
    reader = ctx.Process(target=read_when_told, args=(q, full))
    reader.start()
    budget(8 * MIB)
    with pytest.raises(queue.Full):
        while True:
            q.put_nowait(b"x" * MIB)
    before = q.qsize()
    full.set()
    for _ in range(20):
        q.put(b"y" * MIB)
    q.put(None)
    assert reader.result(30) == before + 20


def test_a_put_waits_for_room_to_grow_in(budget: Callable[[int], None]) -> None:
    q = fork.Queue()
    budget(MIB)
    with pytest.raises(queue.Full):
        for i in range(100_000):
            q.put_nowait(i)
    with pytest.raises(queue.Full):
        q.put(i, timeout=0.05)
    assert [q.get() for _ in range(i)] == list(range(i))
    q.put(i)
    assert q.get() == i


def test_a_pools_caller_waits_for_room(ctx: BaseContext, budget: Callable[[int], None]) -> None:
    with ctx.Pool(2) as pool:
        pool.map(abs, range(4))
        budget(8 * MIB)
        assert pool.map(len, [b"x" * MIB] * 40, chunksize=1) == [MIB] * 40
        results = [pool.apply_async(len, (b"x" * MIB,)) for _ in range(40)]
        assert [r.get() for r in results] == [MIB] * 40
        with pytest.raises(ArenaFull, match="shared memory is full"):
            pool.apply(len, (b"x" * 64 * MIB,))


def test_a_full_arena_is_a_memory_error_and_all_goes_on(budget: Callable[[int], None]) -> None:
    q, lock, v = fork.Queue(), fork.Lock(), fork.Value("i", 1)
    q.put(b"first")
    budget(4 * MIB)
    big = b"x" * (mp.arena.stats().budget + MIB)
    for call, args in ((fork.Array, ["b", len(big)]), (q.put, [big]), (q.put, [[big]]), (q.put_many, [[big]])):
        with pytest.raises(MemoryError, match=r"shared memory is full: \d+\.\d MiB asked for") as caught:
            call(*args)
        assert isinstance(caught.value, ArenaFull) and "set_budget()" in str(caught.value)
    with pytest.raises(queue.Full):
        for _ in range(10):
            q.put_nowait(b"y" * MIB)
    with pytest.raises(queue.Full):
        q.put(b"y" * MIB, timeout=0.05)
    with lock:
        v += 1
    got = [q.get() for _ in range(q.qsize())]
    assert got[0] == b"first" and 1 <= len(got) - 1 <= 4 and v.value == 2
    q.put(b"z" * (2 * MIB))  # what was read is free again
    assert len(q.get()) == 2 * MIB
    assert ended(fork, lock.acquire, False) == 0


def test_many_small_things_fill_it_too(budget: Callable[[int], None]) -> None:
    budget(2 * MIB)
    for make in (fork.Lock, fork.Queue, fork.Semaphore, fork.Condition, lambda: fork.Array("b", 1000)):
        kept = []
        with pytest.raises(MemoryError):
            for _ in range(100_000):
                kept.append(make())
        n = len(kept)
        del kept
        again = [make() for _ in range(n)]
        assert len(again) == n
        del again


def test_a_result_that_does_not_fit_is_an_error_of_that_process(budget: Callable[[int], None], capfd: Any) -> None:
    p = fork.Process(target=bytes, args=(8 * MIB,))
    budget(4 * MIB)
    p.start()
    with pytest.raises(mp.errors.Unshippable, match="shared memory is full"):
        p.result(20)


@pytest.fixture
def memory_cgroup() -> Iterator[Path]:
    """A memory cgroup of 200 MiB within this process's own."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    paths = {controllers: path.lstrip("/") for _, controllers, path in lines}
    v1 = "memory" in paths
    mount, file = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes") if v1 else ("/sys/fs/cgroup", "memory.max")
    folder = Path(mount) / paths.get("memory", paths.get("", "")) / f"lightwork-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as e:
        pytest.skip(f"no memory cgroup can be made here: {e}")
    try:
        try:
            (folder / file).write_text(str(200 * MIB))
        except OSError as e:
            pytest.skip(f"no memory cgroup can be limited here: {e}")
        yield folder
    finally:
        folder.rmdir()


IN_A_CGROUP = """
import os, sys
from pathlib import Path
(Path(sys.argv[1]) / "cgroup.procs").write_text(str(os.getpid()))
import lightwork as mp

q, kept = mp.SimpleQueue(), []
try:
    for _ in range(300):
        array = mp.RawArray("b", 1 << 20)
        array[:] = bytes([7]) * len(array)
        kept.append(array)
except MemoryError as e:
    print(type(e).__name__)
print(len(kept), mp.arena.stats().budget)
try:
    q.put(bytes(30 << 20))
except MemoryError as e:
    print(type(e).__name__)
kept.clear()
q.put(bytes(30 << 20))
print(len(q.get()))
"""


def test_a_small_memory_cgroup_is_no_death(memory_cgroup: Path, program: Any, run: Any) -> None:
    full, kept, again, length = run(program(IN_A_CGROUP), memory_cgroup).stdout.splitlines()
    assert full == again == "ArenaFull" and int(length) == 30 * MIB
    assert int(kept.split()[1]) == 150 * MIB and 100 < int(kept.split()[0]) <= 150


def test_budget_has_a_least_size() -> None:
    with pytest.raises(ValueError, match="less than 1 MiB"):
        mp.arena.set_budget(MIB - 1)
    for value in ("1 GB", 1e9, None):
        with pytest.raises(TypeError, match="a budget is an int"):
            mp.arena.set_budget(value)  # type: ignore[arg-type]


def test_a_budget_may_be_more_than_there_is(budget: Callable[[int], None]) -> None:
    budget(10**30)
    assert mp.arena.stats().budget > 1 << 40


# -- giving back


def test_what_is_dropped_is_used_again() -> None:
    def cycle() -> None:
        makers = (fork.Lock, fork.RLock, fork.Condition, fork.Event, fork.Queue)
        things = [make() for make in makers for _ in range(500)]
        things += [fork.Barrier(2), fork.Array("d", 100_000), fork.Array("d", 1_000_000), fork.Value("i")]
        del things

    cycle()
    before = used()
    for _ in range(4):
        cycle()
        ended(fork, nothing)  # what was made before a birth may have an heir: it waits for that one's end
    fork.Array("d", 1_000_000)
    assert used() <= before


def test_a_large_array_is_free_when_its_heirs_are_gone() -> None:
    before = used()
    array, go = fork.Array("d", 500_000), fork.Event()
    p = fork.Process(target=go.wait)
    p.start()
    del array
    assert used() >= before + 4_000_000  # the child may still use it
    go.set()
    p.join()
    assert used() < before + MIB


def test_what_is_dropped_is_free_at_once_when_its_heirs_are_gone() -> None:
    before = used()
    for _ in range(3):
        q, p = fork.Queue(), fork.Process(target=nothing)
        q.put(b"x" * (MIB // 2))
        p.start()
        p.join()
        assert used() >= before + MIB // 2
        del q
        assert used() < before + MIB // 2


class KillsItsReader:
    """Whoever unpickles it."""

    def __init__(self) -> None:
        self.filling = b"x" * (4 * MIB)

    def __setstate__(self, state: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_reader_had_goes_with_the_queue() -> None:
    before = used()
    q = fork.Queue()
    q.put(KillsItsReader())
    assert ended(fork, q.get) == -signal.SIGKILL
    assert used() >= before + 4 * MIB  # the next reader would get it
    del q
    assert used() < before + MIB


def sees_its_maker_die(array: Any, maker: int, told: Any) -> None:
    told.put("started")
    wait_until(lambda: os.getppid() != maker)
    ended(fork, nothing)  # who reaps a child looks after the dead
    others = [fork.RawArray("d", [2.0] * len(array)) for _ in range(3)]
    told.put(set(array))
    del others


def makes_and_leaves_an_heir(told: Any) -> None:
    array = fork.RawArray("d", [1.0] * 250_000)
    fork.Process(target=sees_its_maker_die, args=(array, os.getpid(), told)).start()
    fork.Event().wait()


def test_an_heir_frees_nothing_of_its_dead_maker() -> None:
    told = fork.Queue()
    p = fork.Process(target=makes_and_leaves_an_heir, args=(told,))
    p.start()
    told.get(timeout=20)
    p.kill()
    p.join()
    assert told.get(timeout=20) == {1.0}


class MadeForThePickle:
    """Makes its lock when it is pickled."""

    lock: Any = None

    def __getstate__(self) -> Any:
        self.lock = mp.Lock()
        return {"lock": self.lock}


def takes(late: Any, told: Any, go: Any, done: Any) -> None:
    told.put("unpickled")
    go.wait(20)
    told.put(late.lock.acquire(False))
    done.wait(20)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_what_is_made_while_a_child_is_launched_is_the_childs_too(method: str) -> None:
    ctx = mp.get_context(method)
    late, told, go, done = MadeForThePickle(), ctx.Queue(), ctx.Event(), ctx.Event()
    p = ctx.Process(target=takes, args=(late, told, go, done))
    p.start()
    assert told.get(timeout=20) == "unpickled"
    del late
    others = [ctx.Lock() for _ in range(100)]
    go.set()
    assert told.get(timeout=20) is True
    assert not any(lock.locked() for lock in others)
    done.set()
    p.join()
    assert p.exitcode == 0


FORK_HOOK = """
import os
made = []
os.register_at_fork(before=lambda: made.append(mp.Lock()))  # registered before that of the package, so it runs after it
import lightwork as mp
told, go, done = mp.Queue(), mp.Event(), mp.Event()
if not (pid := os.fork()):
    told.put("there")
    go.wait(20)
    told.put(made[0].acquire(False))
    done.wait(20)
    os._exit(0)
told.get(timeout=20)
made.clear()
others = [mp.Lock() for _ in range(100)]
go.set()
assert told.get(timeout=20) is True
assert not any(lock.locked() for lock in others)
done.set()
os.waitpid(pid, 0)
print("ok")
"""


def test_what_a_fork_hook_makes_is_the_childs_too(program: Any, run: Any) -> None:
    assert run(program(FORK_HOOK)).stdout == "ok\n"


CROWD = """
import lightwork as mp
from lightwork import _native
from lightwork.launch import Passport
rows = 0
try:
    while True:
        _native.reserve_child(Passport())
        rows += 1
except OSError as e:
    print(type(e).__name__, rows > 32000, e.strerror)
q = mp.Queue()
q.put("goes on")
assert q.get() == "goes on"
"""


def test_more_processes_than_a_family_has_room_for_are_an_error(program: Any, run: Any) -> None:
    said = run(program(CROWD)).stdout
    assert said == "BlockingIOError True lightwork: more than 32767 live processes in one family\n"


def drops(array: Any, q: Any) -> None:
    del array
    q.put(fork.Array("d", [7.0] * 200_000))  # one that comes to lie elsewhere
    q.get()


def test_a_forked_child_frees_nothing_of_its_parents() -> None:
    array, q = fork.Array("d", [1.0] * 200_000), fork.Queue()
    for _ in range(3):
        assert ended(fork, drops, array, q) == 0
    others = [fork.Array("d", [2.0] * 200_000) for _ in range(3)]
    assert set(array[:]) == {1.0} and set(others[0][:]) == {2.0}


def sends_back(x: Any, q: Any, go: Any) -> None:
    q.put(x)
    go.wait(20)


def test_what_comes_back_from_the_dead_child_it_was_given_to_is_not_freed() -> None:
    q, go = fork.Queue(), fork.Event()
    array = fork.Array("d", 200_000)
    p = fork.Process(target=sends_back, args=(array, q, go))
    p.start()
    del array  # the child has it, and sends it back
    back = q.get(timeout=20)
    back[0] = 7.0
    go.set()
    p.join()
    mayfly = fork.Array("d", 200_000)
    ended(fork, nothing)
    del mayfly  # a drop of this size looks for what nobody has any more
    others = [fork.Array("d", [1.0] * 200_000) for _ in range(4)]
    assert back[0] == 7.0 and others[0][0] == 1.0


def test_a_message_on_its_way_keeps_what_it_names() -> None:
    q = fork.Queue()
    array = fork.Array("d", [3.0] * 200_000)
    q.put(array)
    del array
    others = [fork.Array("d", [1.0] * 200_000) for _ in range(3)]
    assert set(q.get()[:]) == {3.0} and others[0][0] == 1.0


def makes_and_dies(number: int) -> None:
    arrays = [fork.Array("d", 500_000) for _ in range(2)]
    os.kill(os.getpid(), number)
    arrays.clear()


def writes_for_ever(q: Any) -> None:
    message = b"x" * (8 * MIB)
    while True:
        q.put(message)


def emptied(q: Any) -> bool:
    while not q.empty():
        q.get(timeout=5)
    return True


def test_the_dead_keep_nothing() -> None:
    """What killed processes made, and the messages they were writing, comes back."""
    q = fork.Queue()
    before = used()
    for _ in range(8):
        ended(fork, makes_and_dies, signal.SIGKILL)
    for _ in range(8):
        p = fork.Process(target=writes_for_ever, args=(q,))
        p.start()
        q.get(timeout=20)
        p.kill()
        p.join()
        assert emptied(q)
    fork.Array("d", 500_000)
    assert used() < before + 32 * MIB


# -- handles


class RLock(_native.Lock):
    _RECURSIVE = True


def core(kind: str) -> Any:
    """The core's class."""
    return RLock if kind == "RLock" else getattr(_native, kind)


KINDS = ["Lock", "RLock", "Semaphore", "Event", "WaitList", "Barrier", "Queue", "SimpleQueue"]


def test_the_handle_of_what_was_dropped_is_refused() -> None:
    for kind in ("Lock", "RLock", "Semaphore", "Event", "Barrier", "Queue", "SimpleQueue"):
        cls = core(kind)
        name = cls()._handle(False)
        with pytest.raises(ForeignHandle, match="is gone: the process that made it dropped it"):
            cls(handle=name)
        with pytest.raises(ForeignHandle, match="belongs to another family of processes"):
            cls(handle=(name[0] ^ 2, *name[1:]))


@pytest.mark.parametrize("kind", [*KINDS, "Memory"])
def test_no_handle_crashes(kind: str) -> None:
    r = random.Random(kind)
    arrays = [fork.RawArray("b", 10), fork.RawArray("b", 3 * MIB)]
    kept = [core(k)() for k in KINDS] + [a._wrapper for a in arrays]
    names = [x._handle(False) for x in kept[: len(KINDS)]] + [handle(x) for x in kept[len(KINDS) :]]
    family = names[0][0]
    sizes = [0, 1, 10, 3 * MIB, 2**40, 2**62]
    good = 0
    for _ in range(20_000):
        _, offset, stamp = r.choice(names)
        name: Any = r.choice(
            [
                (family, offset, stamp),
                (family, offset + r.choice([0, 1, 8, 64, -64, 65536, -65536]), r.choice(names)[2]),
                (family, 64 * r.randrange(2 ** r.randrange(1, 40)), stamp),
                (family, r.randrange(2 ** r.randrange(1, 65)), r.randrange(2 ** r.randrange(1, 65))),
                (family, offset, stamp | 1 << r.randrange(64)),
                (r.randrange(2**64), offset, stamp),
                r.choice([(1, 2), None, "abc", (-1, 0, 0), (2**64, 0, 0), (), (family, "x", 1)]),
            ]
        )
        try:
            core(kind)(*[r.choice(sizes)] if kind == "Memory" else [], handle=name)
        except (ForeignHandle, TypeError, ValueError, OverflowError):
            continue
        assert name in names, f"accepted {name}"
        good += 1
    assert good > 20


# -- thousands

THOUSANDS = """
import gc, os, lightwork as mp

def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4 // 1024

def fds():
    return len(os.listdir("/proc/self/fd"))

mp.Lock()
files, memory = fds(), rss()
locks = [mp.Lock() for _ in range(100_000)]
assert rss() - memory < 60, f"100,000 locks: {rss() - memory} MB"
queues = [mp.Queue() for _ in range(10_000)]
for i, q in enumerate(queues):
    q.put(i)
assert [q.get() for q in queues] == list(range(10_000))
assert rss() - memory < 120, f"and 10,000 queues: {rss() - memory} MB"
assert fds() == files
assert all(lock.acquire(False) for lock in locks)
p = mp.get_context("fork").Process(target=lambda: any(lock.acquire(False) for lock in locks))
p.start()
assert p.result(30) is False
in_use = mp.arena.stats().used
del locks, queues, q
gc.collect()
locks = [mp.Lock() for _ in range(100_000)]
assert mp.arena.stats().used <= in_use + 1_000_000
print("ok")
"""

LIMITED = """
import os, sys, lightwork as mp

def child(q, lock, number):
    with lock:
        number.add(1)
    q.put(b"x" * 100_000)

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        ctx = mp.get_context(method)
        q, lock, number = ctx.Queue(), ctx.Lock(), ctx.Value("i")
        ps = [ctx.Process(target=child, args=(q, lock, number)) for _ in range(2)]
        for p in ps:
            p.start()
        assert [len(q.get(timeout=30)) for p in ps] == [100_000] * 2
        for p in ps:
            p.join()
        assert number.value == 2 and [p.exitcode for p in ps] == [0, 0]
    print("ok")
"""

NO_DESCRIPTORS = """
import os, signal, warnings, lightwork as mp
warnings.simplefilter("ignore", mp.errors.OwnerDiedWarning)
ctx = mp.get_context("fork")
q, lock, array = ctx.Queue(), ctx.Lock(), ctx.Array("i", 3)

def die():
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)

p = ctx.Process(target=die)
p.start()
p.join()
held = []
try:
    while True:
        held.append(os.open("/dev/null", 0))
except OSError:
    pass
assert lock.acquire(timeout=10) and lock.owner_died
more = [ctx.Queue() for _ in range(100)] + [q]
for x in more:
    x.put([b"y" * 100_000])
    assert len(x.get()[0]) == 100_000
event, sem = ctx.Event(), ctx.Semaphore(0)
assert not event.wait(0.05) and not sem.acquire(timeout=0.05)
try:
    ctx.Process(target=die).start()
except OSError as e:
    print(e.strerror)
for fd in held:
    os.close(fd)
lock.release()
p = ctx.Process(target=q.put, args=("still here",))
p.start()
assert q.get(timeout=20) == "still here"
p.join()
print("ok")
"""


def test_thousands_of_primitives(program: Any, run: Any) -> None:
    assert run(program(THOUSANDS)).stdout == "ok\n"


@pytest.mark.parametrize("limit", ["-v 4194304", "-v 1048576", "-f 2097152", "-n 24"])
def test_under_limits(program: Any, limit: str) -> None:
    command = ["bash", "-c", f'ulimit {limit} && exec "$0" "$1"', sys.executable, str(program(LIMITED))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr


def test_without_descriptors(program: Any) -> None:
    command = ["bash", "-c", 'ulimit -n 64 && exec "$0" "$1"', sys.executable, str(program(NO_DESCRIPTORS))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("Too many open files\nok\n", 0), done.stderr


def test_a_pickle_outlives_every_holder_of_what_it_names() -> None:
    for make in (fork.Lock, fork.Queue, fork.Event):
        x = make()
        kept = pickle.dumps(x)
        del x
        others = [make() for _ in range(100)]
        assert pickle.loads(kept) is not None and others
