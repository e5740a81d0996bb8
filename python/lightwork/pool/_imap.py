"""What `imap` and `imap_unordered` return: iterators that look ahead a bounded number of chunks.

The iterable is consumed by whoever asks for results: `imap` submits the first few chunks, each `next` tops them up. So
at most `window` chunks are submitted and not yet returned, however long the iterable is.

The `Stream` is the engine's side and holds neither the iterator nor the pool: so an iterator that is dropped halfway is
collected, and takes its stream out of the engine's table. The result thread puts outcomes into `results` and then a
token into `news`; the iterator looks into `results` and only then waits for a token. So tokens may be lost or too many
(an interrupt can hit anywhere), and no lock is held by which a signal handler that ends the pool could be blocked.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from multiprocessing.context import TimeoutError
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ._chunks import mapstar
from ._jobs import job_counter

if TYPE_CHECKING:
    from ._engine import Engine
    from ._pool import Pool

T = TypeVar("T")


class Stream:
    """The engine's side of an iterator: submits chunks as far as it is asked to, and collects what comes back."""

    def __init__(
        self,
        engine: Engine,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int,
        window: int,
        ordered: bool,
        label: str,
    ) -> None:
        self.id = next(job_counter)
        self.chunksize = chunksize
        self.results: dict[int, tuple[bool, Any]] = {}  # by index, or in the order of their coming
        self.news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.submitted = 0
        self.returned = 0
        self.exhausted = False
        self.cut = False
        self.error: BaseException | None = None  # what to raise at the end instead of StopIteration
        self._ordered = ordered
        self._engine = engine
        self._func = func
        self._items = iter(iterable)
        self._window = window
        self._label = label
        self._settled = 0
        self._total: int | None = None
        self._submitting = threading.Lock()

    # -- feeding, in the threads that ask for results

    def top_up(self) -> None:
        """Submit chunks until `window` of them are under way."""
        if not self.exhausted and self.submitted - self.returned < self._window:
            self._submit(lambda: self.submitted - self.returned < self._window)

    def submit_rest(self) -> None:
        """Submit all chunks: they are promised, and nobody may be able to ask for them before the pool ends."""
        self._submit(lambda: self.id in self._engine.jobs)

    def _submit(self, more: Callable[[], bool]) -> None:
        with self._submitting:
            while not self.exhausted and more():
                try:
                    chunk = tuple(islice(self._items, self.chunksize))
                    if chunk:
                        self._submit_chunk(chunk)
                    else:
                        self._end()
                except Exception as e:  # the iterable's: the iterator raises it when all good results are returned
                    self.error = e
                    self._end()
                except BaseException as e:  # an interrupt: nobody knows what of this chunk is submitted
                    self._engine.drop(self.id)
                    self.abandon(e, tell=False)
                    raise

    def _submit_chunk(self, chunk: tuple[Any, ...]) -> None:
        if self.chunksize == 1:
            self._engine.submit(self.id, self.submitted, self._func, chunk, {})
        else:
            self._engine.submit(self.id, self.submitted, mapstar, ((self._func, chunk),), {})
        self.submitted += 1

    def _end(self) -> None:
        self.exhausted = True
        self._items = iter(())
        self._engine.seal(self.id, self.submitted)

    # -- as a Job

    def what(self, index: int) -> str:
        first = index * self.chunksize
        if self.chunksize == 1:
            return f"item {first} of {self._label}"
        return f"a chunk of {self._label} (items {first} to {first + self.chunksize - 1})"

    def settle(self, index: int, ok: bool, value: Any) -> bool:
        self.results[index if self._ordered else self._settled] = (ok, value)
        self._settled += 1
        self.news.put(None)
        return self._settled == self._total

    def seal(self, total: int) -> bool:
        self._total = total
        return self._settled == total

    def conclude(self) -> None:
        """All results are with the iterator."""

    def abandon(self, exc: BaseException, tell: bool) -> None:
        self.error = exc
        self.exhausted = self.cut = True
        self.news.put(None)


class IMapIterator(Generic[T]):
    """The results of one call per item, in order."""

    _over = True  # until __init__ is through

    def __init__(self, pool: Pool, stream: Stream) -> None:
        self._pool: Pool | None = pool  # a pool lives as long as somebody may ask for its results
        self._engine = pool._engine
        self._pid = os.getpid()
        self._stream = stream
        self._chunk: Iterator[T] = iter(())
        self._turn = threading.Lock()
        self._over = False

    def __iter__(self) -> Iterator[T]:
        return self

    def next(self, timeout: float | None = None) -> T:
        """The next result; waits for it at most `timeout` seconds, besides what the iterable takes to give items.

        Raises StopIteration after the last one; multiprocessing.TimeoutError if it is not there in time (a later call
        may get it); what the call raised, and the next call goes on with the next item (of a chunk larger than 1, with
        the next chunk); what the iterable raised, after the results of the items before; WorkerDied, PoolBroken,
        TaskCancelled and MaybeEncodingError as `AsyncResult.get` does.
        """
        deadline = None if timeout is None else time.monotonic() + max(0.0, timeout)
        if not self._turn.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise TimeoutError("another thread waits for the next result")
        try:
            return self._next(deadline)
        finally:
            self._turn.release()

    def __next__(self) -> T:
        return self.next()

    def _next(self, deadline: float | None) -> T:
        while True:
            for item in self._chunk:
                return item
            if self._over:
                raise StopIteration
            self._stream.top_up()
            ok, value = self._take(deadline)
            if not ok:
                if isinstance(value, StopIteration):  # it would end the caller's loop as if all were well
                    raise RuntimeError("a task raised StopIteration") from value
                raise value
            if self._stream.chunksize == 1:
                return value  # type: ignore[no-any-return]
            self._chunk = iter(value)

    def _take(self, deadline: float | None) -> tuple[bool, Any]:
        """The next outcome. Raises StopIteration, TimeoutError, or what ends the stream early."""
        stream = self._stream
        while (found := stream.results.get(stream.returned)) is None:
            if stream.cut or (stream.exhausted and stream.returned == stream.submitted):
                self._over = True
                self._pool = None
                raise stream.error or StopIteration
            try:
                stream.news.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError("the next result is not there yet") from None
        stream.returned += 1
        del stream.results[stream.returned - 1]
        if not stream.news.empty():
            stream.news.get()  # so that they do not pile up; nobody else takes any
        return found

    def __del__(self) -> None:
        if not self._over and self._pid == os.getpid():
            self._engine.drop(self._stream.id)


class IMapUnorderedIterator(IMapIterator[T]):
    """The results of one call per item, as they come."""
