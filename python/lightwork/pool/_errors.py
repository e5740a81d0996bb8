"""How a task's failure is told: exceptions that came from a worker, and the sentence about a worker's death."""

from __future__ import annotations

import multiprocessing.pool
import signal
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import RemoteTraceback as _RemoteTraceback
from ..errors import Unshippable, WorkerDied

if TYPE_CHECKING:
    from ._crew import Fate

_stdlib: Any = multiprocessing.pool


class RemoteTraceback(_RemoteTraceback):
    """The cause of an exception that a task raised: its text, `tb`, is the traceback in the worker."""

    def __init__(self, tb: str) -> None:
        super().__init__(tb)
        self.tb = tb

    def __str__(self) -> str:
        return self.tb


class ExceptionWithTraceback:
    """Carries an exception to another process; unpickled it is the exception, with a RemoteTraceback as its cause."""

    def __init__(self, exc: BaseException, tb: TracebackType | None) -> None:
        lines = traceback.format_exception(type(exc), exc, tb)
        self.exc = exc
        self.tb = quoted("".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        return rebuild_exc, (self.exc, self.tb)


def rebuild_exc(exc: BaseException, tb: str) -> BaseException:
    exc.__cause__ = RemoteTraceback(tb)
    return exc


def quoted(text: str) -> str:
    """A remote traceback as it stands in a local one."""
    return f'\n"""\n{text}"""'


class MaybeEncodingError(Unshippable, _stdlib.MaybeEncodingError):  # type: ignore[misc]
    """A result or an exception that could not be pickled in the worker, or not unpickled in the parent.

    `value` is the `repr()` of what was to be sent, `exc` that of the error in sending it.
    """

    def __init__(self, exc: object, value: object) -> None:
        self.exc = exc if isinstance(exc, str) else described(exc)
        self.value = value if isinstance(value, str) else described(value)
        Exception.__init__(self, self.exc, self.value)

    def __str__(self) -> str:
        return f"Error sending result: '{self.value}'. Reason: '{self.exc}'"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


def described(value: object) -> str:
    """`repr(value)`, also for objects whose own `__repr__` fails."""
    try:
        return repr(value)
    except Exception as e:
        return f"<{type(value).__name__} object, repr() of which raised {type(e).__name__}>"


def worker_died(what: str, fate: Fate) -> WorkerDied:
    """The error of the task `what` whose worker ended before it gave a result."""
    text = f"worker process {fate.pid} {_end(fate.exitcode)} while it ran {what}"
    if fate.peak_memory is not None:
        text += f"; it had used up to {fate.peak_memory / (1 << 20):.0f} MiB of memory"
    return WorkerDied(text, pid=fate.pid, exitcode=fate.exitcode, peak_memory=fate.peak_memory)


def stillborn(pid: int, exitcode: int | None) -> WorkerDied:
    """The reason for giving up a pool whose workers end before they are ready for a task."""
    text = (
        f"worker process {pid} {_end(exitcode)} before it was ready for a task; what it printed on stderr says more "
        "(a start method other than fork needs `if __name__ == '__main__':` around the code that makes the pool)"
    )
    return WorkerDied(text, pid=pid, exitcode=exitcode)


def _end(exitcode: int | None) -> str:
    if exitcode is None:
        return "ended"
    if exitcode >= 0:
        return f"exited with code {exitcode}"
    try:
        name = signal.Signals(-exitcode).name
    except ValueError:
        name = f"signal {-exitcode}"
    hint = " (by the kernel, if memory ran out)" if -exitcode == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
