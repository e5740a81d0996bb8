"""Process: the stdlib's, plus `result()`."""

from __future__ import annotations

import multiprocessing.process as _stdlib
import os
import signal
import threading
from multiprocessing.process import active_children, current_process, parent_process
from typing import Any

from . import _native
from .errors import RemoteTraceback, TaskTimeout, Unshippable, WorkerDied, formatted
from .queues import SimpleQueue
from .reduction import dumps, loads

__all__ = ["BaseProcess", "active_children", "current_process", "parent_process"]


class BaseProcess(_stdlib.BaseProcess):
    """A process of the family. Its constructor, methods and exit codes are those of `multiprocessing.Process`."""

    _outcome: SimpleQueue | None = None
    _by_main_thread = False
    _settled: tuple[Any, BaseException | None] | None = None

    def start(self) -> None:
        if self._popen is None:  # type: ignore[attr-defined]
            self._outcome = SimpleQueue(ctx=None)
        self._by_main_thread = threading.current_thread() is threading.main_thread()
        super().start()

    start.__doc__ = _stdlib.BaseProcess.start.__doc__

    def run(self) -> Any:
        """Call the target; a subclass may override it. What it returns is what `result()` gives."""
        return self._target(*self._args, **self._kwargs) if self._target else None  # type: ignore[attr-defined]

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        from .context import force_start_method

        _native.set_name(self.name)
        force_start_method(self._start_method)  # type: ignore[attr-defined]
        if self.daemon:
            # Also when the parent is killed. A forkserver's child has the server for a parent: it watches the real one.
            parent = self._parent_pid  # type: ignore[attr-defined]
            _native.die_with(parent, self._by_main_thread and os.getppid() == parent)
        if self._outcome is not None:  # else it was started by the stdlib's class, before `install()`
            run = self.run
            self.run = lambda: self._recorded(run)  # type: ignore[method-assign]
        return super()._bootstrap(parent_sentinel=parent_sentinel)  # type: ignore[misc, no-any-return]

    def _recorded(self, run: Any) -> None:
        assert self._outcome is not None
        try:
            value = run()
        except Exception as e:
            self._outcome.put(_shippable(e))
            raise
        if value is None:
            return
        try:
            self._outcome.put((True, value))
        except Exception as e:
            self._outcome.put((False, Unshippable(f"the result of {self.name} cannot be sent: {e}"), formatted(e)))

    def result(self, timeout: float | None = None) -> Any:
        """What the target (or an overridden `run`) returned; waits for the end, at most `timeout` seconds.

        Raises what it raised, with the remote traceback as its cause; WorkerDied if it ended otherwise (killed, or
        `sys.exit` with a code other than 0); TaskTimeout if it has not ended in time; Unshippable if the value cannot
        be pickled; AssertionError if it was not started, or is not a child of this process.
        """
        self.join(timeout)
        if self.exitcode is None:
            raise TaskTimeout(f"process {self.name!r} (pid {self.pid}) has not ended within {timeout} s")
        if self._settled is None:
            self._settled = self._settle()
        value, error = self._settled
        if error is not None:
            raise error
        return value

    def _settle(self) -> tuple[Any, BaseException | None]:
        assert self._outcome is not None
        if self._outcome.empty():
            return None, self._death() if self.exitcode else None
        try:
            ok, value, *text = self._outcome.get()
        except Exception as e:
            error = Unshippable(f"what process {self.name!r} returned or raised cannot be unpickled here: {e!r}")
            error.__cause__ = e
            return None, error
        if ok:
            return value, None
        value.__cause__ = RemoteTraceback(text[0])
        return None, value

    def _death(self) -> WorkerDied:
        code = self.exitcode
        assert code is not None
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"exited with code {code}"
        text = f"process {self.name!r} (pid {self.pid}) {how} and gave no result"
        return WorkerDied(text, pid=self.pid, exitcode=code)


def _shippable(e: Exception) -> tuple[Any, ...]:
    """The message for an exception; one that pickle cannot carry both ways is replaced by an Unshippable."""
    text = formatted(e)
    try:
        if not isinstance(back := loads(dumps(e)), BaseException):
            raise TypeError(f"it unpickles as {back!r}")
    except Exception as why:
        return False, Unshippable(f"{type(e).__name__}: {e} (the exception itself cannot be sent: {why})"), text
    return False, e, text


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
