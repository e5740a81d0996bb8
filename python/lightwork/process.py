"""Process: the stdlib's, plus `result()`."""

from __future__ import annotations

import multiprocessing.process as _stdlib
import os
import threading
from functools import partial
from multiprocessing.process import active_children, current_process, parent_process
from typing import Any

from . import _native
from .errors import TaskTimeout
from .outcome import Outcome

__all__ = ["BaseProcess", "active_children", "current_process", "parent_process"]


LONGEST = 2**31 / 1000
"""Seconds that the kernel can be asked to wait: 24 days. What is longer is without end."""


class BaseProcess(_stdlib.BaseProcess):
    """A process of the family. Its constructor, methods and exit codes are those of `multiprocessing.Process`."""

    # The only name of ours in the instance, which belongs to the user's subclass.
    _lightwork_outcome: Outcome | None = None

    #: Of a pool's worker: SIGINT is blocked from its first step on, until it is ready for it.
    _lightwork_holds_interrupts = False

    def start(self) -> None:
        if self._popen is not None:  # type: ignore[attr-defined]
            return super().start()  # which says that it was started
        self._lightwork_outcome = outcome = Outcome(threading.current_thread() is threading.main_thread())
        try:
            super().start()
        except BaseException:
            if outcome.child is not None:
                outcome.child.undo()
            raise

    start.__doc__ = _stdlib.BaseProcess.start.__doc__

    def run(self) -> Any:
        """Call the target; a subclass may override it. What it returns is what `result()` gives."""
        return self._target(*self._args, **self._kwargs) if self._target else None  # type: ignore[attr-defined]

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        from .context import force_start_method

        outcome = self._lightwork_outcome  # None: started by the stdlib's class, before `install()`
        _native.set_name(self.name)
        force_start_method(self._start_method)  # type: ignore[attr-defined]
        if self.daemon:
            # Also when the parent is killed. A forkserver's child has the server for a parent: it watches the real one.
            parent = self._parent_pid  # type: ignore[attr-defined]
            by_signal = outcome is not None and outcome.by_main_thread and os.getppid() == parent
            _native.die_with(parent, by_signal)
        if outcome is not None:
            self.run = partial(outcome.tell, self.run, self.name)  # type: ignore[method-assign]
        return super()._bootstrap(parent_sentinel=parent_sentinel)  # type: ignore[misc, no-any-return]

    def result(self, timeout: float | None = None) -> Any:
        """What the target (or an overridden `run`) returned; waits for the end, at most `timeout` seconds.

        After `sys.exit()` or `sys.exit(0)` it is None.

        Raises the Exception that it raised, with the remote traceback as its cause; WorkerDied if it ended otherwise:
        killed, by `sys.exit` with another code, by KeyboardInterrupt; TaskTimeout if it has not ended in time;
        Unshippable if the value or exception cannot be sent; AssertionError if it was not started, or is not a child
        of this process.
        """
        self.join(None if timeout is None or timeout > LONGEST else max(0.0, timeout))  # in this order: 0.0 for NaN
        code = self.exitcode
        if code is None and timeout is not None and not self._popen.is_gone():  # type: ignore[attr-defined]
            raise TaskTimeout(f"process {self.name!r} (pid {self.pid}) has not ended within {timeout} s")
        assert self._lightwork_outcome is not None, "start() was overridden, and did not call lightwork's"
        value, error = self._lightwork_outcome.settle(f"process {self.name!r} (pid {self.pid})", self.pid, code)
        try:
            if error is not None:
                raise error
            return value
        finally:
            del self, error  # the error's traceback leads to this frame


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
