"""Process: results, exit codes, names, families; what its death leaves to others is in the tests of the primitives."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
from conftest import in_thread, wait_until

import lightwork as mp
from lightwork.connection import wait
from lightwork.errors import RemoteTraceback, TaskTimeout, Unshippable, WorkerDied

fork: Any = mp.get_context("fork")


class Refuses(Exception):
    """Cannot be pickled."""

    def __reduce__(self) -> Any:
        raise TypeError("no pickle of me")


class TwoArguments(Exception):
    """Pickles, but unpickles into a TypeError."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


class NoException(Exception):
    """Unpickles as something that cannot be raised."""

    def __reduce__(self) -> Any:
        return str, ("text",)


class Stranger:
    """Unpickles only where it was made."""

    def __reduce__(self) -> Any:
        return only_in, (os.getpid(),)


def only_in(pid: int) -> str:
    if os.getpid() != pid:
        raise LookupError("not here")
    return "here"


def fails(kind: Any, *args: Any) -> None:
    raise kind(*args)


def lambdas() -> Any:
    return lambda: 0


def kill_myself(number: int) -> None:
    os.kill(os.getpid(), number)


def started(ctx: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
    p = ctx.Process(target=target, args=args, kwargs=kwargs)
    p.start()
    return p


@pytest.fixture
def silent(capfd: pytest.CaptureFixture[str]) -> None:
    """Children report their tracebacks on stderr: keep them out of the test's output."""


# -- result()


def test_result_is_what_the_target_returned(ctx: Any) -> None:
    big = b"x" * 3_000_000
    ps = [started(ctx, divmod, 7, 2), started(ctx, dict, a=1), started(ctx, print, end=""), started(ctx, bytes, big)]
    assert [p.result(20) for p in ps] == [(3, 1), {"a": 1}, None, big]
    assert ps[0].result() == (3, 1) and ps[0].exitcode == 0  # as often as one likes


def test_result_raises_what_the_target_raised(ctx: Any, method: str, capfd: Any) -> None:
    p = started(ctx, fails, ValueError, "no", 7)
    for _ in range(2):
        with pytest.raises(ValueError) as caught:
            p.result(20)
        assert caught.value.args == ("no", 7)
        cause = caught.value.__cause__
        assert isinstance(cause, RemoteTraceback) and "in fails" in str(cause) and "('no', 7)" in str(cause)
    assert p.exitcode == 1
    if method != "forkserver":  # whose stderr is that of its start, in an earlier test
        assert "ValueError: ('no', 7)" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("target", "args", "words"),
    [
        (lambdas, (), "the result of .* cannot be sent: .*lambda"),
        (threading.Lock, (), "cannot pickle '_thread.lock' object"),
        (fails, (Refuses, "gone wrong"), "Refuses: gone wrong .*no pickle of me"),
        (fails, (TwoArguments, 1, 2), "TwoArguments: 1 and 2 .*missing 1 required"),
        (fails, (NoException, "oh"), "NoException: oh .*'text'"),
        (Stranger, (), "cannot be unpickled here: LookupError.*not here"),
    ],
)
def test_what_cannot_be_sent_says_so(silent: None, target: Any, args: Any, words: str) -> None:
    p = started(fork, target, *args)
    with pytest.raises(Unshippable, match=f"(?s){words}") as caught:
        p.result(20)
    assert isinstance(caught.value.__cause__, (RemoteTraceback, LookupError))


@pytest.mark.parametrize(
    ("target", "args", "code", "words"),
    [
        (kill_myself, (signal.SIGKILL,), -9, "was killed by SIGKILL"),
        (kill_myself, (signal.SIGTERM,), -15, "was killed by SIGTERM"),
        (sys.exit, (3,), 3, "exited with code 3"),
        (sys.exit, ("why",), 1, "exited with code 1"),
        (os._exit, (9,), 9, "exited with code 9"),
        (fails, (KeyboardInterrupt,), 1, "exited with code 1"),
    ],
)
def test_the_result_of_one_that_died(silent: None, target: Any, args: Any, code: int, words: str) -> None:
    p = started(fork, target, *args)
    with pytest.raises(WorkerDied, match=rf"process '{p.name}' \(pid {p.pid}\) {words} and gave no result") as caught:
        p.result(20)
    assert caught.value.pid == p.pid and caught.value.exitcode == code == p.exitcode


def test_exit_with_success_has_no_result() -> None:
    for target, arg in ((sys.exit, 0), (sys.exit, None), (os._exit, 0)):
        assert started(fork, target, arg).result(20) is None


def test_no_result_yet() -> None:
    p = fork.Process(target=signal.pause)
    with pytest.raises(AssertionError, match="started"):
        p.result()
    p.start()
    for timeout in (0, 0.01, -1):
        with pytest.raises(TaskTimeout, match=rf"process '{p.name}' \(pid {p.pid}\) has not ended"):
            p.result(timeout)
    p.kill()
    with pytest.raises(WorkerDied, match="SIGKILL"):
        p.result(20)
    p.close()
    with pytest.raises(ValueError, match="closed"):
        p.result()


def test_starting_twice_does_not_lose_the_result() -> None:
    p = started(fork, int, "42")
    with pytest.raises(AssertionError, match="twice"):
        p.start()
    assert p.result(20) == 42


def test_a_result_given_before_a_violent_end_is_kept() -> None:
    said = fork.Event()
    p = started(fork, lingers, said)
    assert said.wait(20)
    p.join(0.2)
    p.kill()
    assert p.result(20) == "said" and p.exitcode == -signal.SIGKILL


def lingers(said: Any) -> str:
    threading.Thread(target=lambda: said.set() or fork.Event().wait()).start()
    return "said"


class Doubles(mp.Process):
    def __init__(self, n: int) -> None:
        super().__init__(name=f"double of {n}")
        self.n = n

    def run(self) -> int:  # type: ignore[override]
        return 2 * self.n


class AddsOne(fork.Process):  # type: ignore[misc]
    def run(self) -> Any:
        return super().run() + 1


def test_a_subclass_may_override_run() -> None:
    p = Doubles(21)
    p.start()
    assert p.result(20) == 42 and p.name == "double of 21"
    q = AddsOne(target=int, args=("41",))
    q.start()
    assert q.result(20) == 42
    assert Doubles(1).run() == 2  # without a child, too


# -- what the stdlib has


def about_me(seen: Any) -> tuple[Any, ...]:
    assert seen.wait(20)
    me, parent = mp.current_process(), mp.parent_process()
    assert parent is not None
    return me.name, me.pid, me.daemon, bytes(me.authkey), parent.pid, parent.is_alive(), mp.active_children()


def test_who_a_child_is(ctx: Any) -> None:
    seen = ctx.Event()
    p = ctx.Process(target=about_me, args=(seen,), name="Alice", daemon=True)
    assert not p.is_alive() and p.pid is None and p.exitcode is None
    p.start()
    assert p in mp.active_children()
    seen.set()
    me = mp.current_process()
    assert p.result(20) == ("Alice", p.pid, True, bytes(me.authkey), os.getpid(), True, [])
    assert p not in mp.active_children() and p.exitcode == 0 and not p.is_alive()
    assert mp.parent_process() is None


def test_terminate_kill_and_sentinel(ctx: Any) -> None:
    p, q = (ctx.Process(target=signal.pause) for _ in range(2))
    for x in (p, q):
        x.start()
    assert wait([p.sentinel, q.sentinel], 0) == [] and q.exitcode is None
    q.kill()
    assert wait([p.sentinel, q.sentinel], 20) == [q.sentinel]
    with pytest.raises(ValueError, match="still running"):
        p.close()
    p.terminate()
    for x in (p, q):
        x.join(20)
    assert [x.exitcode for x in (p, q)] == [-signal.SIGTERM, -signal.SIGKILL]
    q.close()
    with pytest.raises(ValueError, match="closed"):
        q.is_alive()


def test_only_the_parent_may_ask() -> None:
    p = fork.Process(target=signal.pause)
    p.start()
    pid = p.pid
    child = started(fork, asks, p)
    assert child.result(20) == ["AssertionError"] * 2
    p.kill()
    p.join()
    assert p.pid == pid


def asks(p: Any) -> list[str]:
    said = []
    for call in (p.join, p.result):
        try:
            call()
        except AssertionError as e:
            said.append(type(e).__name__)
    return said


def test_a_start_that_fails_changes_nothing(method: str) -> None:
    ctx: Any = mp.get_context(method)
    if method != "fork":
        p = ctx.Process(target=print, args=(Refuses(),))
        with pytest.raises(TypeError, match="no pickle of me"):
            p.start()
        assert p not in mp.active_children()
    before = mp.arena.stats().used
    x = ctx.Array("d", 500_000)
    assert started(ctx, len, x).result(20) == 500_000
    del x
    assert mp.arena.stats().used <= before + (1 << 20)


# -- generations


def middle(method: str, q: Any, lock: Any, number: Any, go: Any) -> None:
    ctx = mp.get_context(method)
    mine = ctx.Queue()
    mine.put("from the middle")
    q.put(mine)
    q.put(started(ctx, last, q, lock, number, go, mine).pid)
    os.kill(os.getpid(), signal.SIGKILL)


def last(q: Any, lock: Any, number: Any, go: Any, from_middle: Any) -> None:
    go.wait(20)
    with lock:
        number.add(1)
    from_middle.put(b"y" * 100_000)
    q.put(from_middle)


def test_a_grandchild_goes_on_when_the_middle_died(method: str) -> None:
    ctx = mp.get_context(method)
    q, lock, number, go = ctx.Queue(), ctx.Lock(), ctx.Value("i", 0), ctx.Event()
    p = started(ctx, middle, method, q, lock, number, go)
    theirs, pid = q.get(timeout=20), q.get(timeout=20)
    p.join()
    for _ in range(3):  # would overwrite what had been freed by mistake
        heap = [ctx.Queue() for _ in range(100)]
        for x in heap:
            x.put(b"z" * 500)
    del heap, x
    go.set()
    again = q.get(timeout=20)
    assert theirs.get(timeout=5) == "from the middle" and len(again.get(timeout=5)) == 100_000
    assert number.value == 1 and lock.acquire(timeout=5)
    assert pid != p.pid


BY_HAND = """
import os, lightwork as mp
q, lock, number, rlock = mp.Queue(), mp.Lock(), mp.Value("i", 0), mp.RLock()

def tree(depth):
    with lock:
        number.value += 1
    q.put(depth)
    if depth:
        pid = os.fork()
        if not pid:
            tree(depth - 1)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        p = mp.get_context("fork").Process(target=tree, args=(depth - 1,))
        p.start()
        p.join()
        assert p.exitcode == 0
tree(3)
assert number.value == q.qsize() == 15
lock.acquire(), rlock.acquire()
pid = os.fork()
if not pid:  # the child holds neither of its parent's locks
    os._exit(lock.acquire(False) + 2 * rlock.acquire(False) + 4 * rlock._is_mine())
assert os.waitpid(pid, 0)[1] == 0
rlock.release(), lock.release()
print("ok")
"""

BEFORE = """
import os, lightwork as mp
pid = os.fork()  # before there is any shared memory: two families
q = mp.Queue()
q.put("mine")
if not pid:
    os._exit(q.get() != "mine" or not q.empty())
assert os.waitpid(pid, 0)[1] == 0 and q.get() == "mine"
print("ok")
"""

HAMMER = """
import os, threading, time, warnings, lightwork as mp
warnings.simplefilter("ignore")  # forking with threads is what this is about
ctx = mp.get_context("fork")
q, lock, sem, c, stop = ctx.Queue(), ctx.Lock(), ctx.Semaphore(3), ctx.Condition(), threading.Event()

def use():
    q.put(b"x" * 3000)
    with lock, sem, c:
        c.notify_all()
    mine = ctx.Queue()
    mine.put([1])
    mine.get(timeout=5)
    try:
        q.get_nowait()
    except Exception:
        pass

def hammer():
    while not stop.is_set():
        use()

threads = [threading.Thread(target=hammer) for _ in range(3)]
for t in threads:
    t.start()
for i in range(60):
    if i % 2:
        pid = os.fork()
        if not pid:
            for _ in range(20):
                use()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    else:
        p = ctx.Process(target=lambda: [use() for _ in range(20)] and None)
        p.start()
        p.join(20)
        assert p.exitcode == 0, p.exitcode
stop.set()
for t in threads:
    t.join(20)
    assert not t.is_alive()
print("ok")
"""


@pytest.mark.parametrize("text", [BY_HAND, BEFORE, HAMMER], ids=["by hand", "before", "hammered"])
def test_os_fork(program: Any, run: Any, text: str) -> None:
    assert run(program(text), seconds=60).stdout == "ok\n"


PRELOADED = """
import lightwork as mp, its_own

def child():
    return "child"

if __name__ == "__main__":
    ctx = mp.get_context("forkserver")
    ctx.set_forkserver_preload(["its_own"])
    p = ctx.Process(target=child)
    p.start()
    print(p.result(20))
"""


def test_a_module_that_the_forkserver_preloads_may_hold_a_lock(program: Any, run: Any) -> None:
    path = program(PRELOADED)
    (path.parent / "its_own.py").write_text("import lightwork\nlock = lightwork.Lock()\n")
    where = os.pathsep.join([str(path.parent), os.environ.get("PYTHONPATH", "")])
    assert run(path, PYTHONPATH=where).stdout == "child\n"


TOGETHER = """
import threading
import lightwork as mp

ctx, together = mp.get_context("forkserver"), threading.Barrier(8)

def start():
    p = ctx.Process(target=int, args=("42",))
    together.wait()
    p.start()
    return p.result(30)

if __name__ == "__main__":
    threads = [mp.Thread(target=start) for _ in range(8)]
    for t in threads:
        t.start()
    print([t.result(40) for t in threads])
"""


def test_threads_may_start_the_forkserver_together(program: Any, run: Any) -> None:
    assert run(program(TOGETHER)).stdout == f"{[42] * 8}\n"


# -- what the killed leave

KILLED = """
import os, lightwork as mp

def child(q, lock, array):
    q.put(os.getpid())
    lock.acquire()
    mp.Event().wait()  # with the lock of the killed parent, or without

if __name__ == "__main__":
    ctx = mp.get_context({method!r})
    q, lock, array = ctx.Queue(), ctx.Lock(), ctx.Array("d", 1_000_000)
    lock.acquire()
    ps = [ctx.Process(target=child, args=(q, lock, array)) for _ in range(2)]
    for p in ps:
        p.start()
    print(*[q.get() for p in ps], flush=True)
    ctx.Event().wait()
"""


def test_a_killed_program_leaves_no_file(method: str, program: Any, tmp_path: Any) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    shm = set(os.listdir("/dev/shm"))
    p = subprocess.Popen(
        [sys.executable, program(KILLED.format(method=method))],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(temp)},
    )  # fmt: skip
    assert p.stdout is not None
    pids = list(map(int, p.stdout.readline().split()))
    p.kill()
    p.wait()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert p.stdout.read() == ""  # all who could write to it are gone
    p.stdout.close()
    assert set(os.listdir("/dev/shm")) <= shm
    assert os.listdir(temp) == []


def test_a_primitive_of_another_family_is_refused(run: Any, tmp_path: Any) -> None:
    makers = (fork.Lock, fork.Queue, fork.Event, fork.Condition, fork.SimpleQueue, fork.Semaphore)
    things = [*[make() for make in makers], fork.Value("i")]
    path = tmp_path / "pickles"
    path.write_bytes(b"".join(pickle.dumps(x) for x in things))
    text = """
import pickle, sys, lightwork as mp
for own in (False, True):  # without and with a family of its own
    if own:
        keep = mp.Queue()
    with open(sys.argv[1], "rb") as f:
        for _ in range(7):
            try:
                pickle.load(f)
            except mp.errors.ForeignHandle as e:
                assert "belongs to another family of processes" in str(e) and str(e).count(". ") == 0
                print(1, end="")
            else:
                print(0, end="")
"""
    assert run("-c", text, path).stdout == "1" * 14


def watcher_sleeps() -> bool:
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/stat") as f:
            if "(lightwork-paren) S" in f.read():
                return True
    return False


def gets_its_own_signals() -> None:
    assert wait_until(watcher_sleeps)
    signal.signal(signal.SIGUSR2, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
    os.closerange(3, 64)
    for number in [signal.SIGUSR2, signal.SIGUSR1] * 50:
        os.kill(os.getpid(), number)
        if signal.sigtimedwait({number}, 10) is None:
            os._exit(2)
    os._exit(0)


def test_what_watches_a_daemons_parent_takes_no_signals_and_needs_no_descriptor() -> None:
    # Not started by the main thread: so the kernel is not asked to end it, a thread is.
    p = fork.Process(target=gets_its_own_signals, daemon=True)
    in_thread(p.start)
    p.join()
    assert p.exitcode == 0


def sleeps(ready: Any) -> None:
    os.closerange(3, 64)
    ready.put(os.getpid())
    fork.Event().wait()


def starts_a_daemon_in_a_thread(ready: Any) -> None:
    in_thread(fork.Process(target=sleeps, args=(ready,), daemon=True).start)
    fork.Event().wait()


def test_a_daemon_that_closed_all_descriptors_ends_with_its_parent() -> None:
    ready = fork.Queue()
    p = fork.Process(target=starts_a_daemon_in_a_thread, args=(ready,))
    p.start()
    pid = ready.get(timeout=20)
    p.kill()
    p.join()
    assert wait_until(lambda: not runs(pid))


def runs(pid: int) -> bool:
    """A zombie does not (nobody may be there to reap it)."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def leave_a_child(children: Any, ended: Any) -> int:
    if not (child := os.fork()):
        ended.wait(60)
        os._exit(0)
    children.put(child)
    return 5


def test_its_end_is_not_that_of_the_children_it_leaves(ctx: Any) -> None:
    children, ended = ctx.Queue(), ctx.Event()
    p = ctx.Process(target=leave_a_child, args=(children, ended))
    p.start()
    child = os.pidfd_open(children.get(timeout=20))
    assert p.result(20) == 5
    assert wait([child], 0) == []  # which holds its parent's end of the pipes
    ended.set()
    assert wait([child], 20)
    os.close(child)
