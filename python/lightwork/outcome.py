"""What a process came to: told by the child, read by `Process.result()`.

The child puts one message in a queue of its own: its kind, and (what, traceback as text). These are unpickled when they
are out of the queue, so that an interrupt of that loses nothing.

| kind | `what` | it means |
|---|---|---|
| RETURNED | what `run` returned | |
| RAISED | an Exception, or an Unshippable in its place | |
| LEFT | its name and text | an exception that ends a program: SystemExit, KeyboardInterrupt and the like |
| UNSAID | None | there was an exception, and shared memory had no room to say which |

No message: the process was killed, or ended by `os._exit`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from . import _native
from .errors import RemoteTraceback, Unshippable, WorkerDied, formatted, summary
from .reduction import SharedCell, dumps, loads, unpack

RETURNED, RAISED, LEFT, UNSAID = range(4)

PATIENCE = 1.0
"""Seconds to wait for a message that is there."""


class _Letterbox(SharedCell, _native.TaskQueue):
    """A queue whose messages come out of it as they are, to be unpickled by whoever has them."""


class Outcome:
    """The way of one process's outcome to its parent."""

    def __init__(self, by_main_thread: bool) -> None:
        #: Was the process started by its parent's main thread?
        self.by_main_thread = by_main_thread
        #: The Popen, once there is a process.
        self.child: Any = None
        self._queue = _Letterbox()
        self._lock = threading.RLock()  # a signal handler may ask, too
        self._told: list[tuple[int, int, int, int, bool, Any]] = []
        self._settled: tuple[Any, BaseException | None] | None = None

    def __getstate__(self) -> tuple[bool, _Letterbox]:
        return self.by_main_thread, self._queue

    def __setstate__(self, state: tuple[bool, _Letterbox]) -> None:
        self.by_main_thread, self._queue = state

    # -- in the child

    def tell(self, run: Callable[[], Any], name: str) -> None:
        """Call `run` and tell what came of it; not in a process that it has forked. Raises what it raises."""
        here = os.getpid()
        try:
            value = run()
        except BaseException as e:
            if os.getpid() == here:
                self._tell_exception(e)
            raise
        if os.getpid() != here:
            return
        try:
            self._put_message(RETURNED, value, "")
        except Exception as e:
            why = f"the result of {name} cannot be sent: {_short(str(e))}"
            self._put(RAISED, Unshippable(why), formatted(e))

    def _tell_exception(self, e: BaseException) -> None:
        if isinstance(e, Exception):
            self._put_exception(e, formatted(e))
        else:
            self._put(LEFT, _short(summary(e)), formatted(e))

    def _put_exception(self, e: Exception, text: str) -> None:
        try:
            if not isinstance(back := loads(dumps(e)), BaseException):
                raise TypeError(f"it unpickles as {back!r}")
            self._put_message(RAISED, e, text)
        except Exception as why:
            said = f"{_short(summary(e))} (the exception itself cannot be sent: {_short(str(why))})"
            self._put(RAISED, Unshippable(said), text)

    def _put(self, kind: int, what: Any, text: str) -> None:
        """Tell as much as shared memory has room for. The shortest message needs none beside its slot in the queue."""
        for message in ((kind, what, text), (kind, what, _short(text)), (UNSAID, None, "")):
            try:
                self._put_message(*message)
            except Exception:
                continue
            return

    def _put_message(self, kind: int, what: Any, text: str) -> None:
        self._queue.put(0, 0, kind, b"", (what, text))

    # -- in the parent

    def settle(self, who: str, pid: int | None, code: int | None) -> tuple[Any, BaseException | None]:
        """What `who`, which has ended with the exit code `code`, returned, and what `result()` raises. The same for
        each caller.
        """
        return _native.holding(self._lock, self._settle, who, pid, code)

    def _settle(self, who: str, pid: int | None, code: int | None) -> tuple[Any, BaseException | None]:
        if self._settled is None:
            self._settled = self._read(who, pid, code)
            self._told.clear()
        return self._settled

    def _read(self, who: str, pid: int | None, code: int | None) -> tuple[Any, BaseException | None]:
        if not self._told and self._queue.is_in_use():
            self._queue.receive(self._told.append, PATIENCE)  # in one step: no signal handler comes in between
        if not self._told:
            return None, None if code == 0 else _death(who, pid, code)
        try:
            kind, what, text = self._open()
        except Exception as e:
            if is_an_interrupt(e, self._open):
                raise
            error = Unshippable(f"what {who} returned or raised cannot be unpickled here: {e!r}")
            error.__cause__ = e
            return None, error
        if kind == RETURNED or (kind == LEFT and code == 0):
            return (what if kind == RETURNED else None), None
        if kind == UNSAID:
            return None, Unshippable(f"{who} raised an exception, and shared memory had no room to say which")
        raised: BaseException = what if kind == RAISED else _death(who, pid, code, f": {what}")
        raised.__cause__ = RemoteTraceback(text)
        return None, raised

    def _open(self) -> tuple[int, Any, str]:
        _, _, kind, _, sealed, message = self._told[0]
        what, text = unpack(message) if sealed else message
        return kind, what, text


def is_an_interrupt(exc: BaseException, again: Callable[[], object]) -> bool:
    """Did a signal handler raise this, in the middle of something that would not have? (That works when it is done
    `again`.)"""
    if threading.current_thread() is not threading.main_thread():
        return False
    if isinstance(exc, KeyboardInterrupt):
        return True
    for _ in range(2):  # another signal may come in the first
        try:
            again()
        except KeyboardInterrupt:
            raise
        except BaseException:
            continue
        return True
    return False


def _death(who: str, pid: int | None, code: int | None, why: str = "") -> WorkerDied:
    if code is None:
        how = "ended, but something else took its exit code (os.wait(), or SIGCHLD is ignored),"
    else:
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"exited with code {code}"
    return WorkerDied(f"{who} {how} and gave no result{why}", pid=pid, exitcode=code)


def _short(text: str) -> str:
    """At most some 1000 characters of it, from both ends."""
    return text if len(text) <= 1000 else f"{text[:500]} ... {text[-500:]}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
