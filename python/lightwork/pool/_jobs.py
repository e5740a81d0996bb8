"""What `apply_async` and `map_async` return: jobs that are settled piece by piece.

A job is in the engine's table until its last piece is settled or it is given up. Several threads may settle pieces of
it at a time, and an interrupt may make one do so twice: so the first outcome of a piece counts, later ones are ignored
(of two at the same moment, either may count), and everything here may be called again. What several threads write is
written by one atomic operation of a dict or list."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Generator
from functools import partial
from multiprocessing.context import TimeoutError
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .. import _native
from ..errors import TaskCancelled

if TYPE_CHECKING:
    from ._pool import Pool

T = TypeVar("T")
Callback = Callable[[Any], object]
#: (tag, function, object): what `Wire.send` takes.
Piece = tuple[int, Callable[..., Any], Any]

job_counter = itertools.count(1)


class Job(Protocol):
    """What the engine asks of everything in its table."""

    id: int
    #: So far it is the frequent case: one piece, and nobody to tell, nothing to limit, nothing to send again.
    plain: bool
    #: Tell its end in the collector's thread, not in whichever thread settles the last piece.
    attended: bool
    #: Its `settle` takes `Packed` values, too.
    unpacks: bool
    #: Seconds that an item may take.
    timeout: float | None
    #: What was sent and may be sent again.
    pieces: dict[int, Piece] | None

    def what(self, index: int, items: tuple[int, int] | None = None) -> str:
        """Words for the piece with this index, or for some of its items (first, how many), for error messages."""

    def may_retry(self, index: int) -> bool:
        """May this piece be sent again? Each answer of True is one try less."""

    def settle(self, index: int, ok: bool, value: Any, nanoseconds: int) -> bool:
        """Take the outcome of one piece. True: all are settled now."""

    def abandon(self, exc: BaseException, tell: bool) -> None:
        """No more pieces will be settled. `tell`: call the error callback."""

    def withdrawn(self) -> None:
        """The only piece was taken back from the queue."""

    def submit_rest(self) -> None:
        """Submit the pieces that are not submitted yet."""

    def conclude(self) -> None:
        """It is over: tell those who wait. Of an attended job, in the collector's thread."""


class Retries:
    """The part of a job that remembers how to send its pieces again."""

    plain = False
    unpacks = False
    retries = 0
    pieces: dict[int, Piece] | None = None
    _tries: dict[int, int]

    def allow(self, retries: int) -> None:
        """Each piece may be sent again so often. To be said before any is sent."""
        if retries:
            self.plain = False
            self.retries = retries
            self.pieces = {}
            self._tries = {}

    def withdrawn(self) -> None:
        """Whoever withdrew it knows."""

    def may_retry(self, index: int) -> bool:
        tries = self._tries.get(index, 0)
        self._tries[index] = tries + 1
        return tries < self.retries


class ApplyResult(Retries, Generic[T]):
    """The result of one call, now or later. `await` gives what `get()` does."""

    attended = False
    timeout: float | None = None
    latches: list[threading.Lock] | None = None
    #: Of success, and of an error.
    _callbacks: tuple[Callback | None, Callback | None] | None = None
    _told: list[Callable[[], object]] | None = None

    def __init__(
        self, pool: Pool, func: Any = None, callback: Callback | None = None, error_callback: Callback | None = None
    ) -> None:
        self.id = next(job_counter)
        self._pool: Pool | None = pool  # a pool lives until its jobs are done
        self._func = func
        self._ready = False
        self._outcomes: list[tuple[bool, Any]] = []  # the first counts
        self.plain = True  # who makes it otherwise says so first, and then looks whether it is ready
        if callback is not None or error_callback is not None:
            self.plain = False
            self._callbacks = callback, error_callback
            self.attended = True

    def ready(self) -> bool:
        """Is the call over, well or not?"""
        if not self._ready and (pool := self._pool) is not None:
            pool._engine.poll()
        return self._ready

    def successful(self) -> bool:
        """Did the call return a value? Raises ValueError while it is not over."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._outcomes[0][0]

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the call is over, at most `timeout` seconds."""
        if not self._ready and (pool := self._pool) is not None:
            self.plain = False
            latches = self.__dict__.setdefault("latches", [])
            pool._engine.wait(self._is_ready, latches, timeout)

    def get(self, timeout: float | None = None) -> T:
        """The call's value; waits for it at most `timeout` seconds.

        Raises what the call raised, its cause being the remote traceback; multiprocessing.TimeoutError if it is not
        over in time; WorkerDied if its worker died; TaskTimeout if it took longer than it was given; TaskCancelled if
        it was cancelled or the pool was terminated; PoolBroken if the pool cannot run anything; MaybeEncodingError if
        the value cannot be sent; what pickling the arguments raised."""
        if not self._ready:
            self.wait(timeout)
            if not self._ready:
                raise TimeoutError(f"{self.what(0)} is not done after {timeout} s")
        ok, value = self._outcomes[0]
        if ok:
            return value  # type: ignore[no-any-return]
        raise value

    def cancel(self) -> bool:
        """Give the call up, also while it runs: then its worker is killed and replaced. Its `get()` raises
        TaskCancelled.

        Returns False if it was over already. Threads cannot be killed: there the call runs on, and its outcome is
        ignored."""
        pool = self._pool
        if self._ready or pool is None:
            return False
        return pool._engine.cancel(self, TaskCancelled(f"{self.what(0)} was cancelled"))

    def __await__(self) -> Generator[Any, None, T]:
        import asyncio

        loop = asyncio.get_running_loop()
        over = loop.create_future()

        def wake() -> None:
            if not over.done():
                over.set_result(None)

        def tell() -> None:
            try:
                loop.call_soon_threadsafe(wake)
            except RuntimeError:
                pass  # the loop is closed: nobody waits any more

        self._tell_when_over(tell)
        yield from over
        return self.get()

    def _tell_when_over(self, tell: Callable[[], object]) -> None:
        """Have this called in another thread when the call is over."""
        pool = self._pool
        if not self._ready and pool is not None:
            self.plain = False
            self.__dict__.setdefault("_told", []).append(tell)
            pool._engine.attend(self)
        if self._ready:  # perhaps since the first look; twice does no harm
            tell()

    def _is_ready(self) -> bool:
        return self._ready

    # -- as a Job

    def what(self, index: int, items: tuple[int, int] | None = None) -> str:
        return name(self._func)

    def settle(self, index: int, ok: bool, value: Any, nanoseconds: int) -> bool:
        self._outcomes.append((ok, value))
        return True

    def submit_rest(self) -> None:
        """They all are."""

    def abandon(self, exc: BaseException, tell: bool) -> None:
        self._outcomes.append((False, exc))
        if not tell:
            self._callbacks = None

    def conclude(self) -> None:
        if not self.plain and self._callbacks is not None:
            self._call_back(*self._callbacks)
        self._ready = True
        if not self.plain:
            self._tell()
        self._pool = None

    def _tell(self) -> None:
        if self.latches is not None:
            for latch in list(self.latches):
                open_latch(latch)
        if self._told is not None:
            for tell in self._told:
                tell()
        if self.pieces is not None:
            self.pieces = None

    def _call_back(self, callback: Callback | None, error_callback: Callback | None) -> None:
        ok, value = self._outcomes[0]
        if (told := callback if ok else error_callback) is not None:
            try:
                told(value)
            except BaseException as e:
                report()  # nobody may ever ask for the result
                if ok:
                    self._outcomes[0] = False, e
        self._callbacks = None


AsyncResult = ApplyResult


class MapResult(ApplyResult[list[T]]):
    """The results of one call per item, in order, now or later: ready when all calls are over.

    If calls failed, it fails with the error of the first piece that did. `starts` are the numbers of the first items of
    the pieces, and last the number of items.
    """

    unpacks = True

    def __init__(
        self,
        pool: Pool,
        func: Any,
        starts: list[int],
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> None:
        super().__init__(pool, func, callback, error_callback)
        self._starts = starts
        self._values: list[Any] = [None] * starts[-1]
        self._errors: dict[int, BaseException] = {}
        self._settled: dict[int, bool] = {}
        self.on_progress: Callable[[int], object] | None = None

    def what(self, index: int, items: tuple[int, int] | None = None) -> str:
        return piece_name(self._func, self._starts[index], self._starts[index + 1], items)

    def settle(self, index: int, ok: bool, value: Any, nanoseconds: int) -> bool:
        settled, starts, values = self._settled, self._starts, self._values  # before another thread concludes it
        if index not in settled:
            start, end = starts[index], starts[index + 1]
            if not ok:
                self._errors[index] = value
            elif type(value) is _native.Packed:
                value.spread(values, start)
            else:
                values[start:end] = value
            settled[index] = True
            if self.pieces is not None:
                self.pieces.pop(index, None)
            if self.on_progress is not None:
                self.on_progress(end - start)
            if ok and nanoseconds and (pool := self._pool) is not None:
                pool._engine.learn(self._func, nanoseconds, end - start)
        if len(settled) < len(starts) - 1:
            return False
        errors = self._errors
        self._outcomes.append((False, errors[min([*errors])]) if errors else (True, values))
        return True

    def conclude(self) -> None:
        super().conclude()
        self._values, self._errors = [], {}

    @property
    def chunks(self) -> tuple[int, int]:
        """The fewest and the most items of a piece."""
        sizes = [end - start for start, end in itertools.pairwise(self._starts)]
        return min(sizes, default=0), max(sizes, default=0)

    def be_empty(self) -> None:
        """There is nothing to do, and no callback for it."""
        self._outcomes.append((True, []))
        self._ready = True
        self._pool = None


def name(func: Any) -> str:
    """What error messages call a task."""
    while isinstance(func, partial):
        func = func.func
    return f"{getattr(func, '__qualname__', None) or type(func).__qualname__}()"


def piece_name(func: Any, start: int, end: int, items: tuple[int, int] | None) -> str:
    """What error messages call a page, or some of its items."""
    if items is not None:
        start, end = start + items[0], min(end, start + items[0] + items[1])
    if end - start == 1:
        return f"item {start} of {name(func)}"
    return f"items {start} to {end - 1} of {name(func)}"


def open_latch(latch: threading.Lock) -> None:
    """Let the thread go that waits for this lock. It may be open already."""
    try:
        latch.release()
    except RuntimeError:
        pass


def report() -> None:
    """Print the exception being handled as one that ended a thread would be."""
    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
