"""Thread: the same constructor and `result()` as Process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .errors import TaskTimeout

__all__ = ["Thread"]


class Thread(threading.Thread):
    """`threading.Thread` that keeps what its target returned or raised."""

    _value: Any = None
    _error: BaseException | None = None

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
        self._run, self.run = self.run, self._record  # type: ignore[method-assign]

    def run(self) -> Any:
        """Call the target; a subclass may override it. What it returns is what `result()` gives."""
        try:
            return self._target(*self._args, **self._kwargs) if self._target else None  # type: ignore[attr-defined]
        finally:
            del self._target, self._args, self._kwargs  # type: ignore[attr-defined]

    def _record(self) -> None:
        try:
            self._value = self._run()
        except BaseException as e:
            self._error = e
            raise
        finally:
            del self._run, self.run

    def result(self, timeout: float | None = None) -> Any:
        """What the target (or an overridden `run`) returned; waits for the end, at most `timeout` seconds.

        Raises what it raised, TaskTimeout if it has not ended in time, RuntimeError if it was not started.
        """
        self.join(timeout)
        if self.is_alive():
            raise TaskTimeout(f"thread {self.name!r} has not ended within {timeout} s")
        if self._error is not None:
            raise self._error
        return self._value
