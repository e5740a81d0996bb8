"""Who is taken for dead, and who for living."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_until

import lightwork as mp


def test_a_process_that_became_another_program_is_dead() -> None:
    lock, array = mp.Lock(), mp.ndarray(1 << 20)
    before = mp.arena.stats().used
    told, to_told = os.pipe()
    if not (pid := os.fork()):
        lock.acquire()
        os.set_inheritable(to_told, True)
        os.execv(sys.executable, [sys.executable, "-c", f"import os, time; os.write({to_told}, b'x'); time.sleep(60)"])
    os.close(to_told)
    assert os.read(told, 1)
    try:
        with pytest.warns(mp.errors.OwnerDiedWarning):
            assert lock.acquire(timeout=20)
        lock.release()
        del array  # that process has nothing of ours any more
        assert wait_until(lambda: mp.arena.stats().used <= before - (8 << 20), 20)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(told)


Run = Callable[..., Any]
Program = Callable[[str], Path]


def in_a_new_namespace(test: Callable[..., None]) -> Callable[..., None]:
    no_unshare = pytest.mark.skipif(not hasattr(os, "unshare"), reason="os.unshare() came with Python 3.12")
    no_right = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a pid namespace")
    return no_unshare(no_right(test))


@in_a_new_namespace
def test_processes_of_another_pid_namespace_are_told_from_the_dead(run: Run, program: Program) -> None:
    text = """
        import os, signal
        import lightwork as mp

        ctx = mp.get_context("fork")

        def child(lock, q, hold):
            q.put((os.getpid(), lock.acquire(timeout=1)))  # its parent's pid means nothing here
            with hold:
                q.put("holds")
                signal.pause()

        lock, hold, q = ctx.Lock(), ctx.Lock(), ctx.Queue()
        lock.acquire()
        os.unshare(os.CLONE_NEWPID)
        p = ctx.Process(target=child, args=(lock, q, hold))
        p.start()
        assert q.get(timeout=20) == (1, False)
        assert q.get(timeout=20) == "holds"
        lock.release()
        assert not hold.acquire(timeout=1)  # it lives
        os.kill(p.pid, signal.SIGKILL)
        assert hold.acquire(timeout=20)
    """
    run("-W", "ignore::lightwork.errors.OwnerDiedWarning", program(textwrap.dedent(text)))


IN_A_NAMESPACE = """
    import os, signal, threading
    import lightwork as mp

    ctx = mp.get_context("fork")

    def hold(lock, q):
        lock.acquire()
        q.put(os.getpid())
        signal.pause()

    def grow(_):
        content = bytearray(80 << 20)
        signal.pause()

    def too_much(pool):
        try:
            pool.map_async(grow, [1]).get(20)
        except mp.errors.WorkerDied as e:
            return "memory" in str(e)

    def main():
        lock, q = ctx.Lock(), ctx.Queue()
        p = ctx.Process(target=hold, args=(lock, q))
        p.start()
        pid = q.get(timeout=20)
        {then}

    if __name__ == "__main__":
        os.unshare(os.CLONE_NEWPID)  # and /proc stays the old one's
        if not (child := os.fork()):
            main()
            os._exit(0)
        raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@in_a_new_namespace
@pytest.mark.parametrize(
    "then",
    [
        "assert not lock.acquire(timeout=1)",  # it lives
        "os.kill(pid, 9); assert lock.acquire(timeout=20)",
        "with ctx.Pool(1, memory_limit=40 << 20) as pool: assert too_much(pool)",
        "p = mp.get_context('forkserver').Process(target=print); p.start(); p.result(20)",
    ],
)
def test_a_proc_of_another_pid_namespace(run: Run, program: Program, then: str) -> None:
    text = textwrap.dedent(IN_A_NAMESPACE).replace("{then}", then)
    run("-W", "ignore::RuntimeWarning", program(text))


@in_a_new_namespace
def test_a_thread_with_the_number_of_a_dead_process_is_not_taken_for_it(run: Run, program: Program) -> None:
    then = """os.kill(pid, 9)
        os.waitpid(pid, 0)
        try:
            with open("/proc/sys/kernel/ns_last_pid", "w") as f:
                f.write(str(pid - 1))
        except OSError:
            return
        thread = threading.Thread(target=signal.pause, daemon=True)
        thread.start()
        assert thread.native_id == pid
        assert lock.acquire(timeout=20)
    """
    text = textwrap.dedent(IN_A_NAMESPACE.replace("{then}", then))
    run("-W", "ignore::RuntimeWarning", program(text))


@pytest.mark.skipif(os.geteuid() != 0, reason="as root: the limit is another user's")
def test_a_fork_that_failed_leaves_no_heir(run: Run, program: Program) -> None:
    text = """
        import os, resource
        import lightwork as mp

        array = mp.RawArray("d", 1 << 20)
        os.setgid(65534)
        os.setuid(65534)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        before = mp.arena.stats().used
        for _ in range(3):
            try:
                os.fork()
            except OSError:
                pass
            else:
                raise SystemExit("that was to fail")
        del array
        assert mp.arena.stats().used <= before - (8 << 20), mp.arena.stats()
    """
    run(program(textwrap.dedent(text)))


@pytest.mark.skipif(os.geteuid() != 0, reason="as root: the limit is another user's")
def test_a_fork_that_failed_ends_nobody_elses_process(run: Run, program: Program) -> None:
    text = """
        import os, resource, subprocess
        import lightwork as mp

        ctx = mp.get_context("fork")
        lock = ctx.Lock()
        os.setgid(65534)
        os.setuid(65534)
        other = subprocess.Popen(["sleep", "100"])
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        try:
            ctx.Process(target=print).start()
        except OSError:
            pass
        else:
            raise SystemExit("that was to fail")
        assert other.poll() is None
        other.kill()
        other.wait()
    """
    run(program(textwrap.dedent(text)))


#: What `drop_many` makes is freed at once if no process is taken for an heir of it.
FORKS = """
    import os, signal

    hook = None
    os.register_at_fork(  # registered first: runs last before a fork, and first after it
        before=lambda: hook and hook("before"),
        after_in_parent=lambda: hook and hook("parent"),
        after_in_child=lambda: hook and hook("child"),
    )
    import lightwork as mp

    def used_by_many():
        for _ in range(2000):
            mp.get_context("fork").Queue()
        return mp.arena.stats().used

    used_by_many()
    before = used_by_many()
"""


def test_a_fork_in_the_midst_of_another_leaves_no_heir(run: Run, program: Program) -> None:
    text = """
        def hook(when):
            global hook
            hook = None
            if not (inner := os.fork()):
                os._exit(0)
            os.waitpid(inner, 0)

        if not (outer := os.fork()):
            os._exit(0)
        os.waitpid(outer, 0)
        assert used_by_many() <= before
    """
    run(program(textwrap.dedent(FORKS) + textwrap.dedent(text)))


def test_a_child_that_died_before_its_first_step_is_no_heir(run: Run, program: Program) -> None:
    text = """
        def hook(when):
            if when == "child":
                os.kill(os.getpid(), signal.SIGKILL)

        child = os.fork()
        os.waitpid(child, 0)
        assert used_by_many() <= before
    """
    run(program(textwrap.dedent(FORKS) + textwrap.dedent(text)))


def test_a_fork_leaves_no_descriptors(run: Run, program: Program) -> None:
    text = """
        descriptors = os.listdir("/proc/self/fd")
        for _ in range(3):
            if not (child := os.fork()):
                os._exit(len(os.listdir("/proc/self/fd")))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == len(descriptors)
        mp.Queue()
        assert os.listdir("/proc/self/fd") == descriptors
    """
    run(program(textwrap.dedent(FORKS) + textwrap.dedent(text)))


def test_an_orphan_that_comes_to_us_is_not_taken_for_our_child(run: Run, program: Program) -> None:
    text = """
        import ctypes

        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: as the first process of a container is
        end, to_end = os.pipe()
        said, say = os.pipe()
        if not os.fork():
            if not (orphan := os.fork()):
                signal.pause()
            os.write(say, str(orphan).encode())
            os.read(end, 1)
            os._exit(0)  # its child is ours now
        orphan = int(os.read(said, 100))
        queue = mp.Queue()
        queue.put("mine")
        go, to_go = os.pipe()

        def hook(when):
            if when == "child":
                os.read(go, 1)
            elif when == "parent":
                os.write(to_end, b"x")
                os.wait()

        if not (child := os.fork()):
            got = queue.get(timeout=20)
            os._exit(0 if got == "mine" else 1)
        del queue  # its heir has not begun
        others = [mp.Queue() for _ in range(50)]
        for other in others:
            other.put("another's")
        os.write(to_go, b"x")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.kill(orphan, signal.SIGKILL)
    """
    run(program(textwrap.dedent(FORKS) + textwrap.dedent(text)))


def test_a_program_that_closes_all_descriptors_keeps_those_that_it_opens_then(run: Run, program: Program) -> None:
    text = """
        def hook(when):
            if when == "child":
                os.read(wait, 1)

        wait, go = os.pipe()
        child = os.fork()
        if not child:
            os._exit(0)
        os.closerange(go + 1, 100)
        files = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
        os.write(go, b"x")
        os.waitpid(child, 0)
        mp.Queue()
        assert all(os.fstat(file) for file in files)
    """
    run(program(textwrap.dedent(FORKS) + textwrap.dedent(text)))
