"""What `apply_async` and `map_async` return: jobs that are settled piece by piece.

A job is the engine's until its last piece is settled or it is given up, whichever takes it out of the engine's table
first; that one calls `conclude` or `abandon`, once. All else that the engine calls here runs in the result thread.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from multiprocessing.context import TimeoutError
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from ._pool import Pool

T = TypeVar("T")
Callback = Callable[[Any], object]

job_counter = itertools.count()


class Job(Protocol):
    """What the engine asks of everything in its table."""

    id: int

    def what(self, index: int) -> str:
        """Words for the piece with this index, for error messages."""

    def settle(self, index: int, ok: bool, value: Any) -> bool:
        """Take the outcome of one piece. True: it was the last one."""

    def seal(self, total: int) -> bool:
        """There are this many pieces and no more. True: all of them are settled."""

    def submit_rest(self) -> None:
        """Submit the pieces that are not submitted yet. In any thread."""

    def conclude(self) -> None:
        """All pieces are settled."""

    def abandon(self, exc: BaseException, tell: bool) -> None:
        """No more pieces will be settled. `tell`: call the error callback."""


class ApplyResult(Generic[T]):
    """The result of one call, now or later."""

    def __init__(
        self, pool: Pool, callback: Callback | None = None, error_callback: Callback | None = None, label: str = "task"
    ) -> None:
        self.id = next(job_counter)
        self._pool: Pool | None = pool  # a pool lives until its jobs are done
        self._callback = callback
        self._error_callback = error_callback
        self._label = label
        self._success = False
        self._value: Any = None
        self._ready = False
        # A lock for each thread that waits, released when ready. No Condition: a signal handler may end the pool, and
        # so this job, while its thread is in the middle of `wait`.
        self._waiting: list[threading.Lock] = []

    def ready(self) -> bool:
        """Is the call over, well or not?"""
        return self._ready

    def successful(self) -> bool:
        """Did the call return a value? Raises ValueError while it is not over."""
        if not self._ready:
            raise ValueError(f"{self!r} not ready")
        return self._success

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the call is over, at most `timeout` seconds."""
        if self._ready:
            return
        latch = threading.Lock()
        latch.acquire()
        self._waiting.append(latch)
        if not self._ready:  # looked at after the latch is in place; `_release` does it the other way round
            latch.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
        self._waiting.remove(latch)

    def get(self, timeout: float | None = None) -> T:
        """The call's value; waits for it at most `timeout` seconds.

        Raises what the call raised, its cause being the remote traceback; multiprocessing.TimeoutError if it is not
        over in time; WorkerDied if its worker died; PoolBroken if the pool cannot run anything; TaskCancelled if the
        pool was terminated; MaybeEncodingError if the value cannot be sent; what pickling the arguments raised.
        """
        self.wait(timeout)
        if not self._ready:
            raise TimeoutError(f"{self._label} is not done after {timeout} s")
        if self._success:
            return self._value  # type: ignore[no-any-return]
        raise self._value

    def what(self, index: int) -> str:
        return self._label

    def settle(self, index: int, ok: bool, value: Any) -> bool:
        self._success, self._value = ok, value
        return True

    def seal(self, total: int) -> bool:
        return False

    def submit_rest(self) -> None:
        """They all are."""

    def conclude(self) -> None:
        self._tell(self._callback if self._success else self._error_callback)
        self._release()

    def abandon(self, exc: BaseException, tell: bool) -> None:
        self._success, self._value = False, exc
        if tell:
            self._tell(self._error_callback)
        self._release()

    def _tell(self, callback: Callback | None) -> None:
        if callback is not None:
            try:
                callback(self._value)
            except BaseException as e:
                report()  # nobody may ever ask for the result
                if self._success:
                    self._success, self._value = False, e

    def _release(self) -> None:
        self._ready = True
        for latch in list(self._waiting):
            latch.release()
        self._pool = self._callback = self._error_callback = None


AsyncResult = ApplyResult


class MapResult(ApplyResult[list[T]]):
    """The results of one call per item, in order, now or later: ready when all calls are over.

    If calls failed, it fails with the error of the first chunk that did.
    """

    def __init__(
        self,
        pool: Pool,
        chunksize: int,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
        label: str = "task",
    ) -> None:
        super().__init__(pool, callback, error_callback, label)
        self._chunksize = chunksize
        self._parts: dict[int, list[T]] = {}
        self._failed: tuple[int, BaseException] | None = None
        self._settled = 0
        self._total: int | None = None

    def what(self, index: int) -> str:
        first = index * self._chunksize
        if self._chunksize == 1:
            return f"item {first} of {self._label}"
        return f"a chunk of {self._label} (items {first} to {first + self._chunksize - 1})"

    def settle(self, index: int, ok: bool, value: Any) -> bool:
        self._settled += 1
        if not ok:
            if self._failed is None or index < self._failed[0]:
                self._failed = (index, value)
            self._parts.clear()
        elif self._failed is None:
            self._parts[index] = value
        return self._settled == self._total

    def seal(self, total: int) -> bool:
        self._total = total
        return self._settled == total

    def conclude(self) -> None:
        if self._failed is None:
            in_order = map(self._parts.pop, range(len(self._parts)))
            self._success, self._value = True, list(itertools.chain.from_iterable(in_order))
        else:
            self._success, self._value = False, self._failed[1]
        super().conclude()

    def be_empty(self) -> None:
        """There is nothing to do, and no callback for it."""
        self._success, self._value = True, []
        self._release()


def report() -> None:
    """Print the exception being handled as one that ended a thread would be."""
    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
