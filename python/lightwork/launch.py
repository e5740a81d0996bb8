"""How a child becomes a member of its parent's family, under each start method.

Launching itself is the stdlib's. A forked child has the mapping already and finds the member row that the hook below
reserved before the fork. A spawned or forkserver child unpickles first of all its preparation data, and in that first
of all its name: our Popen makes the name a `Passport`, whose pickle carries the arena's descriptor, the row, the start
method, and whether `lightwork.install()` is in force. So all of this holds before the main module is imported again.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from multiprocessing import forkserver, popen_fork, popen_forkserver, popen_spawn_posix
from multiprocessing.connection import wait
from multiprocessing.process import ORIGINAL_DIR, BaseProcess, parent_process  # type: ignore[attr-defined]
from multiprocessing.reduction import DupFd
from typing import Any

from . import _native

os.register_at_fork(before=_native.before_fork, after_in_child=_native.after_fork_in_child)


#: Evaluated in the child, which may find this package only on its parent's `sys.path`.
_ARRIVE = (
    "[__import__('sys').path.__setitem__(slice(None), path),"
    " __import__('lightwork.launch', fromlist=['arrive']).arrive(*passport)][1]"
)


class Passport(str):
    """A process name that makes who unpickles it a member of this family. The second pickle of it is a plain name."""

    __slots__ = ("row",)
    row: int | None

    def __reduce__(self) -> tuple[Any, ...]:
        row, self.row = self.row, None
        if row is None:
            return str, (str(self),)
        from . import _install
        from .context import _default_context

        family, fd = _native.family()
        method = _default_context.get_start_method(allow_none=True)
        passport = (str(self), family, DupFd(fd), row, method, _install.installed())
        path = [p or ORIGINAL_DIR for p in sys.path]
        return eval, (_ARRIVE, {"path": path, "passport": passport})


def arrive(name: str, family: int, arena: Any, row: int, method: str | None, installed: bool) -> str:
    """In the child: join the family. Returns the process's name."""
    from . import _install
    from .context import force_start_method

    fd = arena.detach()
    _native.join_family(family, fd, row)
    os.close(fd)
    force_start_method(method)
    if installed:
        _install.install()
    return name


#: Tells a forkserver its parent's family: number, pid, the arena's descriptor there, and whether that is the program's
#: first process.
_FAMILY = "LIGHTWORK_FAMILY"


def _join_as_server() -> None:
    """In a forkserver, on import: join the family before a preloaded module makes a primitive; tidy up at the end."""
    told = os.environ.pop(_FAMILY, None)
    if told is None:
        return
    family, parent, fd, first = map(int, told.split(":"))
    if parent != os.getppid():
        return
    arena = os.open(f"/proc/{parent}/fd/{fd}", os.O_RDWR)
    _native.join_family(family, arena, 0)
    os.close(arena)
    for folder in _socket_folders() if first else ():  # others share the folder of the first process
        atexit.register(_remove, folder, os.getpid(), parent)


def _socket_folders() -> Iterator[str]:
    """Where the server's listening socket lies: `multiprocessing`'s temporary folder."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            with socket.socket(fileno=os.dup(fd)) as s:
                folder = os.path.dirname(s.getsockname())
        except (OSError, TypeError):
            continue
        if os.path.basename(folder).startswith("pymp-"):
            yield folder


def _remove(folder: str, server: int, parent: int) -> None:
    """The parent removes the folder itself, unless it was killed: then the server ends, and does it."""
    if os.getpid() == server and os.getppid() != parent:
        shutil.rmtree(folder, ignore_errors=True)


_join_as_server()


class _Launch:
    """Mixed into the stdlib's Popen classes."""

    pid: int
    sentinel: int
    returncode: int | None

    def __init__(self, process_obj: BaseProcess) -> None:
        self._parent = os.getpid()
        # A child can be reaped once. Who is told by the kernel, or by the forkserver, stores the code before another
        # thread can ask.
        self._reaping = threading.Lock()
        _native.family()  # the arena has to exist before the child
        try:
            super().__init__(process_obj)  # type: ignore[call-arg]
        except BaseException:
            _native.child_started(0)
            raise
        if self.pid:
            _native.child_started(self.pid)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """The exit code, None before the end; waits for the end unless `flag` is WNOHANG."""
        if os.getpid() != self._parent:
            return self.returncode  # a fork's copy: no child of this process, and the lock may be held for ever
        if self.returncode is None and not flag & os.WNOHANG:
            self._until_ended()
        with self._reaping:
            known = self.returncode
            code: int | None = super().poll(os.WNOHANG)  # type: ignore[misc]
        if known is None and code is not None:
            _native.sweep()  # whoever waits for something of this child's hears of its death now
        return code

    def _until_ended(self) -> None:
        """Wait for the child's end without reaping it: that is for who has the lock."""
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass  # reaped meanwhile


class _LaunchByPickle(_Launch):
    def _launch(self, process_obj: Any) -> None:
        name = process_obj._name
        passport = Passport(name)
        passport.row = _native.reserve_child()
        process_obj._name = passport
        try:
            super()._launch(process_obj)  # type: ignore[misc]
        finally:
            process_obj._name = name


class ForkPopen(_Launch, popen_fork.Popen):
    pass


class SpawnPopen(_LaunchByPickle, popen_spawn_posix.Popen):
    pass


#: Held by the thread that starts the forkserver.
_starting_server = threading.Lock()


class ForkServerPopen(_LaunchByPickle, popen_forkserver.Popen):
    def _launch(self, process_obj: Any) -> None:
        server: Any = forkserver._forkserver
        with _starting_server:
            if server._forkserver_pid is None:
                _start_server(server)
        super()._launch(process_obj)

    def _until_ended(self) -> None:
        wait([self.sentinel])  # the server's child, not ours: the server writes its code there


def _start_server(server: Any) -> None:
    _preload(server)
    family, fd = _native.family()
    os.environ[_FAMILY] = f"{family}:{os.getpid()}:{fd}:{int(parent_process() is None)}"
    try:
        server.ensure_running()
    finally:
        del os.environ[_FAMILY]


def _preload(server: Any) -> None:
    """What the server, which is not running yet, imports once, so that not every child has to."""
    from . import _install

    modules = server._preload_modules
    if modules == ["__main__"]:  # the program chose nothing; importing this package takes 20 ms and more
        modules = ["__main__", "lightwork.launch", "lightwork.process", "lightwork.synchronize"]
    if _install.installed() and modules[:1] != ["lightwork._preload"]:
        # The server would import the main module before all others, and so before it is in force.
        modules = ["lightwork._preload", *(m for m in modules if m != "__main__")]
    server.set_forkserver_preload(modules)
