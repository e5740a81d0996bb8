"""Thread: the same constructor and `result()` as Process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .errors import TaskTimeout, WorkerDied, summary

__all__ = ["Thread"]


class _Outcome:
    """Stands in for a thread's `run` from its start on, and keeps what that returned or raised."""

    value: Any = None
    error: BaseException | None = None

    def __init__(self, run: Callable[[], Any]) -> None:
        self._run: Callable[[], Any] | None = run

    def __call__(self) -> None:
        run, self._run = self._run, None  # its arguments are not kept beyond the end
        assert run is not None, "a thread runs once"
        try:
            self.value = run()
        except BaseException as e:
            self.error = e
            raise


class Thread(threading.Thread):
    """`threading.Thread` that keeps what its target returned or raised."""

    # The only name of ours in the instance, which belongs to the user's subclass.
    _lightwork_outcome: _Outcome | None = None

    def __init__(
        self,
        group: None = None,
        target: Callable[..., Any] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        super().__init__(group, target, name, tuple(args), kwargs, daemon=daemon)

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if it was started before."""
        if not isinstance(self.run, _Outcome):
            self._lightwork_outcome = self.run = _Outcome(self.run)  # type: ignore[method-assign]
        super().start()

    def run(self) -> Any:
        """Call the target; a subclass may override it. What it returns is what `result()` gives."""
        try:
            return self._target(*self._args, **self._kwargs) if self._target else None  # type: ignore[attr-defined]
        finally:
            del self._target, self._args, self._kwargs  # type: ignore[attr-defined]

    def result(self, timeout: float | None = None) -> Any:
        """What the target (or an overridden `run`) returned; waits for the end, at most `timeout` seconds.

        After `sys.exit()` or `sys.exit(0)` it is None.

        Raises the Exception that it raised; WorkerDied if it ended otherwise: by `sys.exit` with another code, by
        KeyboardInterrupt; TaskTimeout if it has not ended in time, RuntimeError if it was not started.
        """
        endless = timeout is None or timeout > threading.TIMEOUT_MAX
        self.join(None if endless else max(0.0, timeout or 0.0))  # in this order: 0.0 for NaN
        if self.is_alive():
            raise TaskTimeout(f"thread {self.name!r} has not ended within {timeout} s")
        assert self._lightwork_outcome is not None, "start() was overridden, and did not call lightwork's"
        value, error = self._lightwork_outcome.value, self._lightwork_outcome.error
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            return value
        if isinstance(error, Exception):
            raise error
        raise WorkerDied(f"thread {self.name!r} gave no result: {summary(error)}") from error
