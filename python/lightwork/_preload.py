"""What a forkserver does before it serves: join its parent's family, and import what every child would import.

The stdlib's server imports this module; `launch` tells it what to do by an environment variable. Children are forked
from a process with one thread, whose imports they share. So a main module that starts threads is not imported here: the
server begins again without it. One that fails is not either; each child will try, and say what is wrong."""

from __future__ import annotations

import atexit
import errno
import gc
import importlib
import json
import os
import shutil
import signal
import socket
import stat
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import connection, forkserver, process, reduction, spawn
from pathlib import Path
from typing import Any

from . import _native, launch

ALWAYS = ("lightwork.process", "lightwork.synchronize", "lightwork.sharedctypes", "lightwork.pool")
"""What most children need; importing it takes 20 ms and more."""


def prepare(path: str) -> None:
    """Make this process the server that its parent wants. The file says what that is: see `launch.tell_server`."""
    told = json.loads(Path(path).read_text())
    os.unlink(path)
    if told["parent"] != os.getppid():
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    spawn.prepare = partial(_prepare_child, spawn.prepare)
    reduction.recvfds = _receive_descriptors
    for name in ("deliver_challenge", "answer_challenge"):  # from Python 3.14 on they come before the descriptors
        setattr(connection, name, partial(_challenge, getattr(connection, name), os.getpid()))
    _join(told["family"], told["parent"], told["fd"])
    for folder in _socket_folders() if told["first"] else ():  # others share the folder of the first process
        atexit.register(_remove, folder, os.getpid(), told["parent"])
    if told["installed"]:
        from ._install import install

        install()
    sys.path[:] = told["path"]
    for module in (*ALWAYS, *told["modules"]):
        _import(module)
    if told["main"] is not None:
        _import_main(told["main"])
        if threading.active_count() > 1:
            _begin_again(path, told | {"main": None})
    from .cpus import native_libraries

    native_libraries()
    gc.collect()
    gc.freeze()  # a collection in a child would write to every object, and so copy its page


def _prepare_child(prepare_it: Callable[[Any], None], data: Any) -> None:
    """In a child: it was forked with SIGINT blocked, and has got so far. Now SIGINT comes through, unless it sees
    to that by itself."""
    if not launch.holds_interrupts:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    prepare_it(data)


def _receive_descriptors(sock: socket.socket, size: int) -> list[int]:
    """`multiprocessing.reduction.recvfds`, but for its errors. Who asks for a child may be interrupted, or this server
    at its limit of descriptors: the server's loop goes on after an aborted connection, and after no other error."""
    count, fds, _, _ = socket.recv_fds(sock, 1, size)
    if not count or len(fds) % 256 != count[0]:
        for fd in fds:
            os.close(fd)
        raise OSError(errno.ECONNABORTED, "the request for a child came without its descriptors")
    if getattr(reduction, "ACKNOWLEDGE", True):  # from Python 3.14 on it always does
        sock.send(b"A")
    return fds


def _challenge(do_it: Callable[[Any, bytes], None], server: int, client: Any, key: bytes) -> None:
    """As `_receive_descriptors`: of these the server's loop knows an EOFError alone."""
    try:
        do_it(client, key)
    except ConnectionResetError as e:
        if os.getpid() != server:
            raise
        raise EOFError("the request for a child was broken off") from e


def _join(family: int, parent: int, fd: int) -> None:
    """Before an imported module makes a primitive."""
    arena = os.open(f"{_native.proc_folder(parent)}/fd/{fd}", os.O_RDWR)
    _native.join_family(family, arena, 0)
    os.close(arena)


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except Exception:
        print(f"lightwork: the forkserver could not preload {module!r}; it goes on without:", file=sys.stderr)
        traceback.print_exc()


def _import_main(data: dict[str, Any]) -> None:
    process.current_process()._inheriting = True  # type: ignore[attr-defined]  # it must not start processes now
    try:
        spawn.prepare.args[0](data)  # type: ignore[attr-defined]  # SIGINT stays blocked in the server
    except BaseException:
        pass  # a child will try again, and tell
    finally:
        del process.current_process()._inheriting  # type: ignore[attr-defined]


def _begin_again(path: str, told: dict[str, Any]) -> None:
    launch.write_told(path, told)
    _give_key_again()
    sys.stdout.flush()
    command = Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]
    os.execv(sys.executable, command)


def _give_key_again() -> None:
    """From Python 3.14 on a server reads its key from a pipe whose number stands in its command."""
    frame: Any = sys._getframe()
    while frame is not None and frame.f_code is not forkserver.main.__code__:
        frame = frame.f_back
    number = None if frame is None else frame.f_locals.get("authkey_r")
    if number is None:
        return
    key, to_key = os.pipe()
    os.write(to_key, frame.f_locals["authkey"])
    os.dup2(key, number)


def _socket_folders() -> Iterator[str]:
    """Where the server's listening socket lies: `multiprocessing`'s temporary folder."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                continue
            with socket.socket(fileno=os.dup(fd)) as s:
                name = s.getsockname()
        except OSError:
            continue
        folder = os.path.dirname(name) if isinstance(name, str) else ""
        if os.path.basename(folder).startswith("pymp-"):
            yield folder


def _remove(folder: str, server: int, parent: int) -> None:
    """The parent removes the folder itself, unless it was killed: then the server ends, and does it."""
    if os.getpid() == server and os.getppid() != parent:
        shutil.rmtree(folder, ignore_errors=True)


if launch.told_by is not None:
    prepare(launch.told_by)
