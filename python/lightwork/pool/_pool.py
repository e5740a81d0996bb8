"""Pool: the faces of an engine whose crew are processes. API and defaults are those of `multiprocessing.pool.Pool`."""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from multiprocessing import util
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Any, TypeVar

from ._chunks import checked_chunksize, chunks, default_chunksize, mapstar, starmapstar
from ._crew import Crew, ProcessCrew
from ._engine import CLOSE, RUN, TERMINATE, Engine
from ._imap import IMapIterator, IMapUnorderedIterator, Stream
from ._jobs import ApplyResult, Callback, MapResult
from ._wire import Errand, Pickled
from ._worker import worker

T = TypeVar("T")


class Pool:
    """Worker processes that run functions for you.

    `processes`: how many; default: as many as the CPUs that this process may use. Each worker first calls
    `initializer(*initargs)`; if that raises, the pool is broken and every job fails with PoolBroken, whose cause is
    what the initializer raised. A worker is replaced after `maxtasksperchild` tasks, and when it dies: then the task
    that it ran fails with WorkerDied, no other.

    Raises ValueError for counts less than 1, TypeError for an initializer that is not callable, what starting a process
    raises (OSError, mostly).
    """

    _wrap_exception = True

    # For __del__, if __init__ fails.
    _state = "INIT"
    _pid = 0

    @staticmethod
    def Process(ctx: BaseContext, *args: Any, **kwds: Any) -> Any:
        """A worker process, not yet started."""
        return ctx.Process(*args, **kwds)  # type: ignore[attr-defined]

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: BaseContext | None = None,
    ) -> None:
        self._pid = os.getpid()
        self._pool: list[Any] = []
        self._processes = _checked_processes(processes)
        if maxtasksperchild is not None and not (isinstance(maxtasksperchild, int) and maxtasksperchild >= 1):
            raise ValueError(f"maxtasksperchild has to be a positive int or None, not {maxtasksperchild!r}")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer has to be callable or None, not {initializer!r}")
        self._maxtasksperchild = maxtasksperchild
        self._initializer = initializer
        self._initargs = initargs
        self._ctx = context if context is not None else self._default_context()
        self._engine = self._make_engine()
        self._engine.crew = crew = self._make_crew()
        self._pool = crew.workers
        self._cache = self._engine.jobs
        self._result_handler = self._engine.thread
        self._worker_handler = crew.thread
        crew.fill()  # forks before there are threads
        try:
            self._engine.thread.start()
        except BaseException:
            crew.kill()
            raise
        # Not a method of this pool: it must be collectable while it runs. At exit it is called before the stdlib
        # terminates daemonic processes.
        self._terminate = util.Finalize(self, self._engine.terminate, exitpriority=15)
        self._state = RUN

    @staticmethod
    def _default_context() -> BaseContext:
        from ..context import get_context

        return get_context()

    def _make_engine(self) -> Engine:
        return Engine(Pickled(), self._ctx.SimpleQueue(), self._ctx.SimpleQueue())

    def _make_crew(self) -> Crew:
        engine = self._engine
        errand = None if self._initializer is None else Errand(self._initializer, tuple(self._initargs))
        args = (engine.taskq, engine.resultq, errand, (), self._maxtasksperchild, self._wrap_exception)
        return ProcessCrew(engine, partial(self.Process, self._ctx, target=worker, args=args), self._processes)

    # -- one call

    def apply(self, func: Callable[..., T], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}) -> T:
        """`func(*args, **kwds)`, in a worker. Raises what it raises, and what `AsyncResult.get` does."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> ApplyResult[T]:
        """Begin `func(*args, **kwds)` in a worker.

        When it is over, `callback(value)` or `error_callback(exception)` is called in a thread of the pool, which does
        nothing else meanwhile; what a callback raises is printed. What cannot be pickled is the job's error, raised by
        its `get()`. Raises ValueError if the pool is not running.
        """
        self._check_running()
        job: ApplyResult[T] = ApplyResult(self, callback, error_callback, _name(func))
        self._engine.begin(job, partial(self._engine.submit, job.id, 0, func, args, kwds))
        return job

    # -- one call per item

    def map(self, func: Callable[[Any], T], iterable: Iterable[Any], chunksize: int | None = None) -> list[T]:
        """`[func(x) for x in iterable]`, in the workers; they take `chunksize` items at a time.

        Waits for all calls; if some raised, raises what the first chunk with an error raised, and what
        `AsyncResult.get` does. Raises ValueError if `chunksize` is less than 1 or the pool is not running.
        """
        return self._map_async(func, iterable, mapstar, chunksize).get()

    def map_async(
        self,
        func: Callable[[Any], T],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> MapResult[T]:
        """Begin a `map`; callbacks as in `apply_async`, but none is called for an empty iterable."""
        return self._map_async(func, iterable, mapstar, chunksize, callback, error_callback)

    def starmap(
        self, func: Callable[..., T], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[T]:
        """`[func(*x) for x in iterable]`, otherwise like `map`."""
        return self._map_async(func, iterable, starmapstar, chunksize).get()

    def starmap_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> MapResult[T]:
        """Begin a `starmap`; callbacks as in `map_async`."""
        return self._map_async(func, iterable, starmapstar, chunksize, callback, error_callback)

    def _map_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Any],
        mapper: Callable[..., list[T]],
        chunksize: int | None = None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
    ) -> MapResult[T]:
        self._check_running()
        items: Any = iterable if hasattr(iterable, "__len__") else list(iterable)
        size = default_chunksize(len(items), self._processes) if chunksize is None else checked_chunksize(chunksize)
        job: MapResult[T] = MapResult(self, size, callback, error_callback, _name(func))
        if len(items) == 0:
            job.be_empty()
        else:
            self._engine.begin(job, partial(self._submit_chunks, job, func, items, mapper, size))
        return job

    def _submit_chunks(
        self, job: MapResult[T], func: Callable[..., T], items: Iterable[Any], mapper: Callable[..., list[T]], size: int
    ) -> None:
        index = 0
        try:
            for chunk in chunks(items, size):
                self._engine.submit(job.id, index, mapper, ((func, chunk),), {})
                index += 1
        except Exception as e:  # the iterable raised
            self._engine.fail(job.id, index, e)
            index += 1
        self._engine.seal(job.id, index)

    # -- iterators

    def imap(self, func: Callable[[Any], T], iterable: Iterable[Any], chunksize: int = 1) -> IMapIterator[T]:
        """An iterator of `func(x)` for each item, in order, which begins as many calls ahead as keep the workers busy.

        The iterable is consumed in the thread that calls `imap` and `next`. Raises ValueError if `chunksize` is less
        than 1 or the pool is not running. See `IMapIterator.next` for what that raises.
        """
        return IMapIterator(self, self._stream(func, iterable, chunksize, ordered=True))

    def imap_unordered(self, func: Callable[[Any], T], iterable: Iterable[Any], chunksize: int = 1) -> IMapIterator[T]:
        """Like `imap`, with the results as they come."""
        return IMapUnorderedIterator(self, self._stream(func, iterable, chunksize, ordered=False))

    def _stream(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int, ordered: bool) -> Stream:
        self._check_running()
        window = max(2 * self._processes, 8)
        stream = Stream(self._engine, func, iterable, checked_chunksize(chunksize), window, ordered, _name(func))
        self._engine.begin(stream, stream.top_up)
        return stream

    # -- ends

    def close(self) -> None:
        """Take no more jobs. The workers leave when all jobs are done."""
        if self._state == RUN:
            self._state = CLOSE
            if self._pid == os.getpid():
                self._engine.close()

    def terminate(self) -> None:
        """End the workers at once, by force if need be: within seconds. Jobs that are not done raise TaskCancelled."""
        self._state = TERMINATE
        self._terminate()

    def join(self) -> None:
        """Wait until the workers have left. Raises ValueError if the pool was neither closed nor terminated."""
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if self._pid != os.getpid():
            raise ValueError(f"this pool belongs to process {self._pid}")
        if self._state == CLOSE:
            self._engine.submit_streams()
        self._engine.crew.join()
        self._result_handler.join()

    def __enter__(self) -> Pool:
        self._check_running()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self.terminate()

    def __del__(self, _warn: Any = warnings.warn, RUN: str = RUN, _getpid: Callable[[], int] = os.getpid) -> None:
        if self._state == RUN and self._pid == _getpid():
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)

    def __reduce__(self) -> Any:
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __repr__(self) -> str:
        cls = type(self)
        return f"<{cls.__module__}.{cls.__qualname__} state={self._state} pool_size={len(self._pool)}>"

    def _check_running(self) -> None:
        if self._state != RUN:
            raise ValueError("Pool not running")
        if self._pid != os.getpid():
            raise ValueError(f"Pool not running in this process: it belongs to process {self._pid}")

    def _repopulate_pool(self) -> None:
        self._engine.crew.nudge()


def _checked_processes(processes: int | None) -> int:
    if processes is None:
        return _usable_cpus()
    try:
        count = operator.index(processes)
    except TypeError:
        raise TypeError(f"processes has to be an int or None, not {processes!r}") from None
    if count < 1:
        raise ValueError(f"Number of processes must be at least 1, not {count}")
    return count


def _usable_cpus() -> int:
    count: Callable[[], int | None] | None = getattr(os, "process_cpu_count", None)
    return (count() if count is not None else len(os.sched_getaffinity(0))) or 1


def _name(func: Any) -> str:
    """What error messages call the task."""
    name = getattr(func, "__qualname__", None) or type(func).__qualname__
    return f"{name}()"
