"""The forkserver: killed, interrupted, asked by forked children."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import Any

import pytest

import lightwork as mp
from lightwork import forkserver
from lightwork.connection import wait

SOON = 20
served: Any = mp.get_context("forkserver")
fork: Any = mp.get_context("fork")


def result_of(target: Any, *args: Any, ctx: Any = served) -> Any:
    p = ctx.Process(target=target, args=args)
    p.start()
    return p.result(SOON)


@pytest.fixture
def server() -> Any:
    """The stdlib's record of the server, which runs."""
    assert result_of(abs, -1) == 1
    return forkserver._forkserver


def test_a_start_right_after_the_servers_death(server: Any) -> None:
    for n in range(10):
        os.kill(server._forkserver_pid, signal.SIGKILL)
        assert result_of(abs, -n) == n
    with mp.Pool(1, warm_start=True) as pool:
        assert pool.apply(os.getppid) == server._forkserver_pid


def test_a_new_server_is_told_what_the_first_was(server: Any) -> None:
    os.kill(server._forkserver_pid, signal.SIGKILL)
    os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOWAIT)
    assert result_of(has_preloaded)


def has_preloaded() -> bool:
    import sys

    return "lightwork._preload" in sys.modules


def test_a_request_that_breaks_off_ends_no_server(server: Any) -> None:
    go = served.Event()
    older = served.Process(target=go.wait)
    older.start()
    before = server._forkserver_pid
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(server._forkserver_address)
    assert result_of(abs, -2) == 2
    assert server._forkserver_pid == before
    go.set()
    assert older.result(SOON) is True
    assert older.exitcode == 0


def use_a_server_of_its_own() -> Any:
    return result_of(abs, -3)


def test_a_forked_child_has_a_server_of_its_own(server: Any) -> None:
    assert result_of(use_a_server_of_its_own, ctx=fork) == 3
    assert result_of(abs, -4) == 4  # and ours is there still


def nested(_: Any) -> list[int]:
    with mp.Pool(1, warm_start=True) as pool:
        return pool.map(abs, [-1, -2])


def test_a_warm_pool_in_a_task_of_a_forked_worker(server: Any) -> None:
    with mp.Pool(1, warm_start=True) as outer, fork.Pool(1) as pool:
        assert outer.apply(abs, (-1,)) == 1
        assert pool.map(nested, [0]) == [[1, 2]]


def test_a_fork_while_another_thread_starts_the_server(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    os.kill(server._forkserver_pid, signal.SIGKILL)
    os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOWAIT)
    starting, go = threading.Event(), threading.Event()
    ensure_running = server.ensure_running

    def slowly() -> None:
        if threading.current_thread() is not threading.main_thread():
            starting.set()
            go.wait(SOON)
        ensure_running()

    monkeypatch.setattr(server, "ensure_running", slowly)
    t = mp.Thread(target=result_of, args=(abs, -5))
    t.start()
    assert starting.wait(SOON)
    try:
        assert result_of(use_a_server_of_its_own, ctx=fork) == 3
    finally:
        go.set()
    assert t.result(SOON) == 5


def test_its_children_can_be_killed_after_its_death(server: Any) -> None:
    never = served.Event()
    p = served.Process(target=never.wait)
    p.start()
    with served.Pool(2) as pool:
        workers = [os.pidfd_open(pool.apply(os.getpid)), p.sentinel]
        os.kill(server._forkserver_pid, signal.SIGKILL)
        os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOWAIT)
        assert p.is_alive()
        p.join(0.1)
        assert p.exitcode is None
        assert pool.apply(abs, (-1,)) == 1
    p.kill()
    p.join(SOON)
    assert p.exitcode == 255  # which one nobody knows
    assert len(wait(workers, SOON)) == 2
    os.close(workers[0])


def test_a_signal_handler_that_starts_a_process_while_the_server_is_started(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.kill(server._forkserver_pid, signal.SIGKILL)
    os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOWAIT)
    ensure_running = server.ensure_running
    errors = []

    def interrupted() -> None:
        with pytest.raises(RuntimeError, match="signal handler") as raised:
            result_of(abs, -1)
        errors.append(raised.value)
        monkeypatch.setattr(server, "ensure_running", ensure_running)
        ensure_running()

    monkeypatch.setattr(server, "ensure_running", interrupted)
    assert result_of(abs, -2) == 2
    assert len(errors) == 1


def test_a_program_with_many_arguments_has_a_server_that_was_told(tmp_path: Any, run: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(MANY_ARGUMENTS)
    run(program, *("x" * 1000 for _ in range(500)))


MANY_ARGUMENTS = """
import sys
import lightwork as mp


def has_preloaded():
    return "lightwork._preload" in sys.modules, len(sys.argv)


if __name__ == "__main__":
    p = mp.get_context("forkserver").Process(target=has_preloaded)
    p.start()
    assert p.result(20) == (True, 501)
"""


def test_what_another_program_s_server_is_told_is_not_for_us(tmp_path: Any, run: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(MANY_ARGUMENTS.replace("501", "1"))
    run(program, LIGHTWORK_FORKSERVER="/nowhere")


def test_children_have_no_second_descriptors_of_the_servers_files(tmp_path: Any, run: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(DESCRIPTORS)
    run(program)


DESCRIPTORS = """
import os
import lightwork as mp


def pipes():
    paths = (f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd"))
    names = [os.readlink(path) for path in paths if os.path.islink(path)]
    return sorted(name for name in names if name.startswith("pipe:"))


if __name__ == "__main__":
    p = mp.get_context("forkserver").Process(target=pipes)
    p.start()
    found = p.result(20)
    assert len(found) == len(set(found)), found
"""


PRELOADED = """
import os, signal
from multiprocessing import forkserver
from lightwork import launch

open_letter = launch._open


def open_late(queue):
    with open({log!r}, "w") as f:
        f.write(str(os.getpid()))
    while os.path.exists({log!r}):
        os.sched_yield()
    return open_letter(queue)


def die(*_):
    while not os.path.getsize({log!r}):
        os.sched_yield()
    os.kill(os.getpid(), signal.SIGKILL)


if not os.path.getsize({log!r}):  # the first server
    launch._open = open_late
    forkserver.write_signed = die
"""

STARTED_TWICE = """
import os, sys
import lightwork as mp

if __name__ == "__main__":
    log = sys.argv[1]
    ctx = mp.get_context("forkserver")
    ctx.set_forkserver_preload(["preloaded"])
    p = ctx.Process(target=abs, args=(-1,))
    p.start()
    p.join(20)
    assert p.exitcode == 0
    child = int(open(log).read())
    end = os.pidfd_open(child)
    os.unlink(log)
    assert mp.connection.wait([end], 20), "the first server's child waits for ever"
"""


def test_the_child_of_a_server_that_died_at_its_birth_ends(tmp_path: Any, run: Any) -> None:
    log = tmp_path / "child"
    log.touch()
    (tmp_path / "preloaded.py").write_text(PRELOADED.format(log=str(log)))
    program = tmp_path / "program.py"
    program.write_text(STARTED_TWICE)
    run(program, log)
