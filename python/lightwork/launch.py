"""How a child becomes a member of its parent's family, under each start method.

Launching itself is the stdlib's. A forked child has the mapping already and finds the member row that the hook below
reserved before the fork. A spawned or forkserver child unpickles first of all its preparation data, and in that first
of all its name: our Popen makes the name a `Passport`, whose pickle carries the arena's descriptor, the row, the start
method, and whether `lightwork.install()` is in force. So all of this holds before the main module is imported again.
The process itself follows as a `Letter`.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import forkserver, popen_fork, popen_forkserver, popen_spawn_posix, spawn, util
from multiprocessing.connection import wait
from multiprocessing.process import ORIGINAL_DIR, BaseProcess, parent_process  # type: ignore[attr-defined]
from multiprocessing.reduction import DupFd
from queue import Empty, Full
from typing import Any

from . import _native
from .errors import ArenaFull
from .queues import Queue
from .reduction import dumps, loads

#: Evaluated in the child, which may find this package only on its parent's `sys.path`.
_ARRIVE = (
    "[__import__('sys').path.__setitem__(slice(None), path),"
    " __import__('lightwork.launch', fromlist=['arrive']).arrive(*passport)][1]"
)


class Passport(str):
    """A process name that makes who unpickles it a member of this family, in the row reserved for it."""

    row = 0
    holds_interrupts = False

    def __reduce__(self) -> tuple[Any, ...]:
        from . import _install
        from .context import _default_context

        family, fd = _native.family()
        method = _default_context.get_start_method(allow_none=True)
        passport = (str(self), family, DupFd(fd), self.row, method, _install.installed(), self.holds_interrupts)
        path = [p or ORIGINAL_DIR for p in sys.path]
        return eval, (_ARRIVE, {"path": path, "passport": passport})


#: In a forkserver's child: does it let interrupts through by itself, later?
holds_interrupts = False


def arrive(
    name: str, family: int, arena: Any, row: int, method: str | None, installed: bool, holds: bool = False
) -> str:
    """In the child: join the family. Returns the process's name."""
    global holds_interrupts
    from . import _install
    from .context import force_start_method

    holds_interrupts = holds
    fd = arena.detach()
    if not _native.join_family(family, fd, row):
        os._exit(1)
    os.close(fd)
    force_start_method(method)
    if installed:
        _install.install()
    return name


class _Launch:
    """Mixed into the stdlib's Popen classes."""

    pid: int
    #: Says when the child has ended: a pidfd if there is one. The stdlib's is a pipe whose other end the child's own
    #: children may hold, too, or which the forkserver's death closes.
    sentinel: int
    pidfd = -1
    #: The stdlib's sentinel, once `sentinel` is another.
    _pipe: int | None = None
    finalizer: Any
    returncode: int | None = None
    #: Bytes it had resident at most; None while it lives, and of children of a forkserver.
    peak_memory: int | None = None

    def __init__(self, process_obj: BaseProcess) -> None:
        self._parent = os.getpid()
        self._reaping = threading.Lock()  # a child can be reaped once
        _native.family()  # the arena has to exist before the child
        try:
            super().__init__(process_obj)  # type: ignore[call-arg]
            if self.pid:
                self._tell_pid(self.pid)
                self._watch()
            if (outcome := getattr(process_obj, "_lightwork_outcome", None)) is not None:
                outcome.child = self
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """The start has failed, or was interrupted: if there is a child by now, nobody will ask for it."""
        if os.getpid() != self._parent:  # this is that child, and has not come to its program
            os.kill(os.getpid(), signal.SIGKILL)
        pid = getattr(self, "pid", None) or self._find_pid()
        self._tell_pid(pid)
        if pid and self.returncode is None:
            self.pid = pid
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return  # reaped by somebody else
            self._until_ended()
            self.poll()

    def _watch(self) -> None:
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            return  # no descriptor is to be had, or the system has none of these
        self.sentinel, self._pipe, self.pidfd = pidfd, self.sentinel, pidfd
        self.finalizer = util.Finalize(self, _close, (self.pidfd, self.finalizer))

    def _send_signal(self, sig: int) -> None:
        if self.pidfd < 0:
            super()._send_signal(sig)  # type: ignore[misc]
        elif self.returncode is None:
            try:
                signal.pidfd_send_signal(self.pidfd, sig)
            except ProcessLookupError:
                pass  # it has ended
            except OSError:  # the program has closed the descriptor
                super()._send_signal(sig)  # type: ignore[misc]

    def _tell_pid(self, pid: int) -> None:
        """Say whose the row is that was reserved; 0: nobody's."""

    def _find_pid(self) -> int:
        """The pid that an interrupted launch has kept to itself; 0 if there was none."""
        return 0

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """The exit code, None before the end; waits for the end unless `flag` is WNOHANG."""
        if os.getpid() != self._parent:
            return self.returncode  # a fork's copy: no child of this process, and the lock may be held for ever
        if self.returncode is None and not flag & os.WNOHANG:
            self._until_ended()
        if self.returncode is None:
            _native.holding(self._reaping, self._reap, self)  # no Python code under it: a signal handler may poll, too
            if self.returncode is not None:
                _native.sweep()  # whoever waits for something of this child's hears of its death now
        return self.returncode

    _reap = staticmethod(_native.reap)

    def is_gone(self) -> bool:
        """Has something else taken the child's exit code (os.wait(), or SIGCHLD is ignored)?"""
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:
            return self.returncode is None
        return False

    def _until_ended(self) -> None:
        """Wait for the child's end without reaping it: that is for who has the lock."""
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass  # reaped meanwhile


def _close(pidfd: int, finalizer: Callable[[], object]) -> None:
    try:
        os.close(pidfd)
    finally:
        finalizer()


class Letter:
    """What the stdlib pickles in the place of a process. It travels as a message of ours: its large buffers are copied
    once, and are the child's alone. What does not fit into shared memory goes the stdlib's way."""

    #: The queue with the message; None: it is not pickled yet, or went the stdlib's way.
    _queue: Queue | None = None

    def __init__(self, process_obj: Any, name: str) -> None:
        self._process = process_obj
        self._name = name

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            queue = Queue(ctx=None)
            queue.put(self._process, False)
        except (ArenaFull, Full):
            return loads, (bytes(dumps(self._process)),)
        self._queue = queue
        return _open, (queue,)

    def take_back(self) -> bool:
        """See to it that no child opens the letter; False: one may have done so, or it is not even written."""
        if self._queue is None:
            return False
        try:
            self._queue.get_nowait()
        except Empty:
            return False
        self._queue.put(None)  # for a child that has come so far, and waits for it: nobody wants that one any more
        return True


def _open(queue: Queue) -> Any:
    process = queue.get()
    if process is None:
        os._exit(1)
    return process


class _LaunchByPickle(_Launch):
    _passport: Passport | None = None
    #: While the child is being launched; then it is the child's.
    _letter: Letter | None = None

    def _launch(self, process_obj: Any) -> None:
        self._passport = passport = Passport(process_obj._name)
        _native.reserve_child(passport)
        passport.holds_interrupts = getattr(process_obj, "_lightwork_holds_interrupts", False)
        self._letter = Letter(process_obj, passport)
        super()._launch(self._letter)  # type: ignore[misc]
        self._letter = None

    def _tell_pid(self, pid: int) -> None:
        if self._passport is not None:
            _native.child_started(self._passport.row, pid)


class ForkPopen(_Launch, popen_fork.Popen):
    def _launch(self, process_obj: Any) -> None:
        _native.forget_fork()  # of another child
        super()._launch(process_obj)  # type: ignore[misc]

    def _tell_pid(self, pid: int) -> None:
        _native.child_forked(pid)

    def _find_pid(self) -> int:
        return _native.forked_pid()


class SpawnPopen(_LaunchByPickle, popen_spawn_posix.Popen):
    pass


#: Seconds that a forkserver has to end after it was killed.
PATIENCE = 1.0

#: Held by the thread that starts the forkserver.
_starting_server = threading.RLock()
_is_starting = False

#: The stdlib holds this for each start: a signal handler may start a process, too.
forkserver._forkserver._lock = threading.RLock()  # type: ignore[attr-defined]


class ForkServerPopen(_LaunchByPickle, popen_forkserver.Popen):
    _fds: list[int]
    _reap = staticmethod(_native.reap_of_server)

    def _launch(self, process_obj: Any) -> None:
        server: Any = forkserver._forkserver
        _native.holding(_starting_server, _start_server_once, server)
        try:
            super()._launch(process_obj)
        except (EOFError, ConnectionError, RuntimeError):  # the server has ended, perhaps just now: ask a new one
            if self._letter is None or not self._letter.take_back():
                raise
            self._tell_pid(0)
            if self.finalizer is not None:
                self.finalizer()
            self._fds.clear()
            _native.holding(_starting_server, _wait_for_end, server)
            _native.holding(_starting_server, _start_server_once, server)
            try:
                super()._launch(process_obj)
            except EOFError as e:
                text = "the forkserver cannot start a process: it has no descriptors left, or no memory"
                raise OSError(errno.EAGAIN, text) from e

    def is_gone(self) -> bool:
        return False  # the server's child: nobody here can take its code

    def _until_ended(self) -> None:
        wait([self.sentinel])
        if self._pipe is not None:
            wait([self._pipe])  # the server's child, not ours: the server writes its code there


#: The environment variable that names the file which tells a forkserver what to do first. Set while one is started.
SERVER = "LIGHTWORK_FORKSERVER"

#: The file of this process, if it is a forkserver; others that were started meanwhile know nothing of it.
told_by = os.environ.pop(SERVER, None)

_files = itertools.count()


def _start_server_once(server: Any) -> None:
    if _is_starting:
        raise RuntimeError(
            "a signal handler cannot start a process with the forkserver while its thread is just starting that server"
        )
    if server._forkserver_pid is not None and _has_ended(server._forkserver_pid):
        _forget(server)  # the stdlib would start another, and without what we tell it
    if server._forkserver_pid is None:
        _start_server(server)


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _wait_for_end(server: Any) -> None:
    """If the server is about to end, let it: it may be killed already, and not gone."""
    try:
        pidfd = os.pidfd_open(server._forkserver_pid)
    except (OSError, TypeError):
        return
    wait([pidfd], PATIENCE)
    os.close(pidfd)


def _forget(server: Any) -> None:
    alive = server._forkserver_alive_fd
    server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None
    os.close(alive)


def _renew_in_child() -> None:
    """A forked child has no server yet: its parent's is no child of its own, and some thread of the parent's may have
    been about to start one."""
    global _starting_server, _is_starting
    _starting_server, _is_starting = threading.RLock(), False
    server: Any = forkserver._forkserver
    server._lock = threading.RLock()
    os.environ.pop(SERVER, None)
    if server._forkserver_pid is not None:
        _forget(server)


os.register_at_fork(before=_native.before_fork, after_in_child=_native.after_fork_in_child)
os.register_at_fork(after_in_child=_renew_in_child)


def _start_server(server: Any) -> None:
    global _is_starting
    chosen = server._preload_modules
    try:
        _is_starting = True
        write_told(os.path.join(util.get_temp_dir(), f"forkserver-{os.getpid()}-{next(_files)}"), tell_server(chosen))
        server.set_forkserver_preload(["lightwork._preload"])
        server.ensure_running()
    finally:
        server.set_forkserver_preload(chosen)
        os.environ.pop(SERVER, None)
        _is_starting = False


def write_told(path: str, told: dict[str, Any]) -> None:
    """Tell the forkserver that is started next. (By a file: the program's arguments may be too many for a variable.)"""
    with open(path, "w") as file:
        json.dump(told, file, default=str)
    os.environ[SERVER] = path


def tell_server(modules: list[str]) -> dict[str, Any]:
    """What `_preload` asks: the family, whether this is the program's first process, and what to import.

    The default of the stdlib, `["__main__"]`, names the main module; so may a list of the user's own.
    """
    from . import _install

    family, fd = _native.family()
    data = spawn.get_preparation_data("forkserver")
    wanted = ("sys_argv", "dir", "orig_dir", "init_main_from_name", "init_main_from_path")
    main = {key: data[key] for key in wanted if key in data}
    return {
        "family": family,
        "fd": fd,
        "parent": os.getpid(),
        "first": parent_process() is None,
        "installed": _install.installed(),
        "path": data["sys_path"],
        "modules": [name for name in modules if name != "__main__"],
        "main": main if "__main__" in modules else None,
    }
