"""Jobs whose results are `concurrent.futures` futures."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from concurrent.futures._base import CANCELLED
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ._jobs import Retries, job_counter, name

if TYPE_CHECKING:
    from ._pool import Pool

T = TypeVar("T")


class Future(concurrent.futures.Future[T]):
    """The result of one call, now or later."""

    def __init__(self, job: FutureJob[T]) -> None:
        super().__init__()
        self._job: FutureJob[T] | None = job  # until it is done

    def cancel(self) -> bool:
        """Take the call out of the queue. Returns False if a worker has taken it, or it is over."""
        job = self._job
        pool = None if job is None else job._pool
        if job is not None and pool is not None:
            pool._engine.withdraw({job.id})
        return self.cancelled()

    def result(self, timeout: float | None = None) -> T:
        """The call's value, or what it raised; see `AsyncResult.get`. Raises concurrent.futures.TimeoutError if it is
        not over in time, ValueError in a forked child."""
        self._look()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, or None; see `result`."""
        self._look()
        return super().exception(timeout)

    def _look(self) -> None:
        job = self._job
        pool = None if job is None else job._pool
        if pool is not None:
            pool._engine.check_here()  # nobody would tell a forked child
            pool._engine.poll()  # a `cancel` may have been interrupted

    def running(self) -> bool:
        """Does a worker run the call now?"""
        job = self._job
        return job is not None and not self.done() and job.is_claimed()

    def __reduce__(self) -> Any:
        raise TypeError("a future cannot be passed between processes or pickled: pass what its result() returns")


class FutureJob(Retries, Generic[T]):
    """The engine's side of a future. Attended: whoever waits for a future sleeps on the future itself."""

    attended = True
    timeout: float | None = None

    def __init__(self, pool: Pool, func: Callable[..., T]) -> None:
        self.id = next(job_counter)
        self.future: Future[T] = Future(self)
        self._pool: Pool | None = pool  # a pool lives until its jobs are done
        self._func = func
        self._outcomes: list[tuple[bool, Any]] = []  # the first counts

    def is_claimed(self) -> bool:
        pool = self._pool
        return pool is not None and pool._engine.crew.works_for(self.id)

    def what(self, index: int, items: tuple[int, int] | None = None) -> str:
        return name(self._func)

    def settle(self, index: int, ok: bool, value: Any, nanoseconds: int) -> bool:
        self._outcomes.append((ok, value))
        return True

    def abandon(self, exc: BaseException, tell: bool) -> None:
        self._outcomes.append((False, exc))

    def withdrawn(self) -> None:
        concurrent.futures.Future.cancel(self.future)
        with self.future._condition:  # another thread may tell the same
            if self.future._state == CANCELLED:
                self.future.set_running_or_notify_cancel()
        self.future._job = None

    def submit_rest(self) -> None:
        """It is submitted."""

    def conclude(self) -> None:
        ok, value = self._outcomes[0]
        self._pool = None
        try:
            if ok:
                self.future.set_result(value)
            else:
                self.future.set_exception(value)
        except concurrent.futures.InvalidStateError:
            pass  # it was told already: two threads may find that a job is over
        self.future._job = None
