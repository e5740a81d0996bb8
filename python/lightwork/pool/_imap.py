"""What `imap` and `imap_unordered` return: iterators that look ahead a bounded number of chunks.

The iterable is consumed by whoever asks for results: `imap` submits the first few chunks, each `next` tops them up. So
at most `window` chunks are submitted and not yet returned, however long the iterable is.

The `Stream` is the engine's side and holds neither the iterator nor the pool: so an iterator that is dropped halfway is
collected, and takes its stream out of the engine's table.

A chunk is in `under_way` until its outcome is in `results` or was returned: outcomes of others are ignored, so that one
which is settled twice (an interrupt can hit anywhere) is returned once.

An interrupt (a signal handler that raises) loses nothing: what was taken from the iterable lies in `_chunk` until it is
sent (if it comes in that very moment, it is sent once more), and a result that `next` has found in `_kept` until it
returns it. A signal handler runs when a function begins, at the end of a loop's turn, and after a call of something
that is not written in Python. So what must not be torn apart (marked *whole*) does none of these. Threads can come in
between there, if the interpreter has no lock: what several reach is taken, or stored, by a single step.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, repeat
from multiprocessing.context import TimeoutError
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .. import _native
from ._jobs import Retries, job_counter, open_latch, piece_name
from ._wire import CALL, MAP, ONE_BY_ONE

if TYPE_CHECKING:
    from ._engine import Engine
    from ._pool import Pool

T = TypeVar("T")

AGAIN = 1.0
"""Seconds after which a thread that waits for its turn at an iterator looks again: an interrupt may have kept another
from waking it."""


WHOLE = object()
"""After the last item of a chunk: the iterable was asked for no more, so what is raised now is not its own."""


class Stream(Retries):
    """The engine's side of an iterator: submits chunks as far as it is asked to, and collects what comes back."""

    attended = False
    timeout: float | None = None

    def __init__(
        self,
        engine: Engine,
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int,
        window: int,
        ordered: bool,
    ) -> None:
        self.id = next(job_counter)
        self.latches: list[threading.Lock] = []
        self.chunksize = chunksize
        self.error: BaseException | None = None  # what to raise at the end instead of StopIteration
        self.cut = False
        self.exhausted = False
        self.submitted = 0
        self.returned = 0
        self._results: dict[int, tuple[bool, Any]] = {}
        self._arrived: deque[int] | None = None if ordered else deque()
        self._under_way: dict[int, bool] = {}
        self._engine = engine
        self._func = func
        self._bound: Any = None
        self._items = iter(iterable)
        self._chunk: list[Any] = []  # to be sent when WHOLE is its last
        self._interrupt: BaseException | None = None  # what came out of the iterable last, and may have ended it
        self._window = window
        self._submitting = threading.Lock()
        self._feeding = _native.Turn()
        self._settling = threading.RLock()  # a signal handler may settle, too

    # -- feeding, in the threads that ask for results

    def top_up(self) -> None:
        """Submit chunks until `window` of them are under way."""
        if not self.exhausted and self.submitted - self.returned < self._window:
            self._submit(lambda: self.submitted - self.returned < self._window)

    def submit_rest(self) -> None:
        """Submit all chunks: they are promised, and nobody may be able to ask for them before the pool ends."""
        self._submit(lambda: self.id in self._engine.jobs)

    def _submit(self, more: Callable[[], bool]) -> None:
        if not self._feeding.here():  # else this is a signal handler that came in the middle of it
            _native.holding(self._submitting, self._feeding.run, self._submit_while, more)

    def _submit_while(self, more: Callable[[], bool]) -> None:
        while not self.exhausted and more():
            if not self._is_whole():
                self._fill_chunk()
            if len(self._chunk) > 1:
                self._submit_chunk()
            else:
                self._end()
        if self.exhausted and not self._under_way:
            self._engine.finish(self)

    def _is_whole(self) -> bool:
        return bool(self._chunk) and self._chunk[-1] is WHOLE

    def _fill_chunk(self) -> None:
        had = len(self._chunk)
        more, extend = chain(islice(self._items, self.chunksize - had), (WHOLE,)), self._chunk.extend
        try:
            extend(more)  # this alone: what any other call raises here is a signal handler's
        except Exception as e:
            if self._is_whole():
                raise
            # The iterable's: raised after the results of the chunks before, as by the standard library's iterator.
            self.error = e
            self._items = iter(())
            self._chunk = [WHOLE]
        except BaseException as e:
            self._interrupt = e
            raise
        if len(self._chunk) > had + 1:
            self._interrupt = None

    def _submit_chunk(self) -> None:
        index = self.submitted
        self._under_way[index] = True
        tag = CALL if self.chunksize == 1 else MAP if self.timeout is None else MAP | ONE_BY_ONE
        if self._bound is None:
            self._bound = self._engine.bind(self._func)
        self._engine.send(self, index, tag, self._bound, tuple(self._chunk[:-1]))
        self._chunk = []
        self.submitted += 1  # whole, from its leaving the chunk

    def _end(self) -> None:
        if self.error is None:
            self.error = self._interrupt
        self.exhausted = True
        self._items = iter(())
        self._bound = None

    # -- as a Job

    def what(self, index: int, items: tuple[int, int] | None = None) -> str:
        first = index * self.chunksize
        return piece_name(self._func, first, first + self.chunksize, items)

    def settle(self, index: int, ok: bool, value: Any, nanoseconds: int) -> bool:
        _native.holding(self._settling, self._settle, index, ok, value)
        return self.exhausted and not self._under_way

    def _settle(self, index: int, ok: bool, value: Any) -> None:
        if index not in self._under_way:
            return
        if index not in self._results:  # else it was just settled, and an interrupt came
            self._results[index] = ok, _each_once(value) if ok and self.chunksize > 1 else value
            if self._arrived is not None:
                self._arrived.append(index)
        self._under_way.pop(index, None)
        if self.pieces is not None:
            self.pieces.pop(index, None)
        self._wake()

    def abandon(self, exc: BaseException, tell: bool) -> None:
        self.error = exc
        self.exhausted = self.cut = True
        self._wake()

    def conclude(self) -> None:
        self._wake()

    def _wake(self) -> None:
        for latch in list(self.latches):
            open_latch(latch)

    # -- for the iterator

    def has_news(self) -> bool:
        """Is there an outcome to return, or none to wait for?"""
        there = self.returned in self._results if self._arrived is None else bool(self._arrived)
        return there or self.is_over()

    def is_over(self) -> bool:
        """Is there nothing to return, now or later?"""
        if self._arrived is None:
            return self.cut or (self.exhausted and self.returned >= self.submitted)
        return self.cut or (self.exhausted and not self._under_way and not self._arrived)

    def cannot_go_on(self) -> bool:
        """Is nothing submitted that is not returned, and this a signal handler that keeps more from being so?"""
        return self.returned >= self.submitted and self._feeding.here()

    def pop(self) -> tuple[bool, Any] | None:
        """The next outcome; None if it is not there. Whole. For one thread at a time."""
        index = self.returned
        if self._arrived is None:
            if index not in self._results:
                return None
        elif self._arrived:
            index = self._arrived[0]
            del self._arrived[0]
        else:
            return None
        self.returned += 1
        try:
            del self._under_way[index]  # so that `settle`, which may be at this outcome still, ignores a second one
        except KeyError:
            pass
        found = self._results[index]
        del self._results[index]
        return found


class IMapIterator(Generic[T]):
    """The results of one call per item, in order."""

    _over = True  # until __init__ is through

    def __init__(self, pool: Pool, stream: Stream, chunked: bool) -> None:
        self._pool: Pool | None = pool  # a pool lives as long as somebody may ask for its results
        self._engine = pool._engine
        self._pid = os.getpid()
        self._stream = stream
        self._chunked = chunked
        self._rest: Iterator[T] = iter(())
        self._turn = _native.Turn()
        self._waiting: list[int] = []  # threads that wait for their turn
        self._kept: dict[int, tuple[bool, Any]] = {}  # by thread
        self._over = False

    def __iter__(self) -> Iterator[T]:
        return self

    def next(self, timeout: float | None = None) -> T:
        """The next result; waits for it at most `timeout` seconds, besides what the iterable takes to give items.

        Raises StopIteration after the last one; multiprocessing.TimeoutError if it is not there in time (a later call
        may get it); what the call raised, and the next call goes on with the next item (of a chunk larger than 1, with
        the next chunk); what the iterable raised, after the results of the chunks before; WorkerDied, TaskTimeout,
        PoolBroken, TaskCancelled and MaybeEncodingError as `AsyncResult.get` does; ValueError in a forked child;
        RuntimeError in a signal handler that came while the iterable was asked, if there is no result to wait for.
        """
        if self._chunked and not self._kept:
            try:
                for item in self._rest:
                    return item  # whole
            except IndexError:
                pass
        deadline = None if timeout is None else time.monotonic() + max(0.0, timeout)
        here, kept = threading.get_ident(), self._kept
        while True:
            found = kept.get(here)
            if found is None:
                self._find(here, deadline)
                continue
            ok, value = found
            if not ok and isinstance(value, StopIteration):  # it would end the caller's loop as if all were well
                error = RuntimeError("a task raised StopIteration")
                error.__cause__ = value
                value = error
            if here in kept and kept[here] is found:  # else a signal handler asked meanwhile, and got it
                del kept[here]
                if ok:
                    return value  # type: ignore[no-any-return]  # whole
                raise value

    __next__ = next

    def _find(self, here: int, deadline: float | None) -> None:
        """Keep the next outcome for this thread. Raises StopIteration or TimeoutError."""
        if not self._turn.run(self._keep_next, here, deadline):
            self._wait_for_turn(here, deadline)
        elif self._waiting:
            self._engine.wake(self._stream.latches)

    def _keep_next(self, here: int, deadline: float | None) -> None:
        self._kept[here] = self._next(deadline)  # whole, from its leaving the chunk or the stream

    def _wait_for_turn(self, here: int, deadline: float | None) -> None:
        self._waiting.append(here)
        try:
            left = AGAIN if deadline is None else min(AGAIN, max(0.0, deadline - time.monotonic()))
            if not self._engine.wait(lambda: not self._turn.elsewhere(), self._stream.latches, left) and left < AGAIN:
                raise TimeoutError("another thread waits for the next result")
        finally:
            self._waiting.remove(here)

    def _next(self, deadline: float | None) -> tuple[bool, Any]:
        while True:
            try:
                for item in self._rest:
                    return True, item
            except IndexError:
                pass
            if self._over:
                raise StopIteration
            self._engine.check_here()
            self._stream.top_up()
            found = self._take(deadline)
            if not self._chunked or not found[0]:
                return found
            self._rest = found[1]  # whole, from its leaving the stream

    def _take(self, deadline: float | None) -> tuple[bool, Any]:
        """The next outcome, or what ends the stream early. Raises StopIteration or TimeoutError."""
        stream = self._stream
        while (found := stream.pop()) is None:
            if stream.is_over():
                if (error := stream.error) is not None:
                    stream.error = None
                    return False, error
                self._over = True
                self._pool = None
                raise StopIteration
            if stream.cannot_go_on():
                raise RuntimeError("this signal handler came while the iterable was asked for the next item")
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._engine.wait(stream.has_news, stream.latches, left):
                raise TimeoutError("the next result is not there yet")
        return found

    def __del__(self) -> None:
        if not self._over and self._pid == os.getpid():
            self._engine.drop(self._stream.id)


def _each_once(items: Iterable[T]) -> Iterator[T]:
    """An iterator that gives an item to one of the threads that ask for it at the same time, which a list's does not
    promise. Raises IndexError at its end. No Python code runs in it, so a loop's first step with it is whole."""
    return map(deque.popleft, repeat(deque(items)))


class IMapUnorderedIterator(IMapIterator[T]):
    """The results of one call per item, as they come."""
