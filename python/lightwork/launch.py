"""How a child becomes a member of its parent's family, under each start method.

Launching itself is the stdlib's. A forked child has the mapping already and finds the member row that the hook below
reserved before the fork. A spawned or forkserver child unpickles first of all its preparation data, and in that first
of all its name: our Popen makes the name a `Passport`, whose pickle carries the arena's descriptor, the row, the start
method, and whether `lightwork.install()` is in force. So all of this holds before the main module is imported again.
"""

from __future__ import annotations

import os
import sys
from multiprocessing import forkserver, popen_fork, popen_forkserver, popen_spawn_posix
from multiprocessing.process import ORIGINAL_DIR, BaseProcess  # type: ignore[attr-defined]
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
        from .context import default_method

        family, fd = _native.family()
        passport = (str(self), family, DupFd(fd), row, default_method(), _install.installed())
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


class _Launch:
    """Mixed into the stdlib's Popen classes."""

    pid: int
    returncode: int | None

    def __init__(self, process_obj: BaseProcess) -> None:
        _native.family()  # the arena has to exist before the child
        try:
            super().__init__(process_obj)  # type: ignore[call-arg]
        except BaseException:
            _native.child_started(0)
            raise
        if self.pid:
            _native.child_started(self.pid)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        known = self.returncode
        code: int | None = super().poll(flag)  # type: ignore[misc]
        if known is None and code is not None:
            _native.sweep()  # whoever waits for something of this child's hears of its death now
        return code


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


class ForkServerPopen(_LaunchByPickle, popen_forkserver.Popen):
    def _launch(self, process_obj: Any) -> None:
        # Importing this package takes 20 ms and more: once, in the server, and not in each child.
        server: Any = forkserver._forkserver
        if server._preload_modules == ["__main__"]:
            server.set_forkserver_preload(
                ["__main__", "lightwork.launch", "lightwork.process", "lightwork.synchronize"]
            )
        super()._launch(process_obj)
