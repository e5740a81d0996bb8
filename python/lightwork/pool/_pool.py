"""Pool: the faces of an engine whose crew are processes. API and defaults are those of `multiprocessing.pool.Pool`;
what it has besides is keyword-only."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from multiprocessing import util
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from ..arrays import each_sent_once
from ..context import get_context
from ..cpus import native_libraries, share_of_cpus, usable_cpus
from . import _checks
from ._chunks import as_sequence, equal_pages, guided_pages
from ._comfort import seeded, show_progress
from ._crew import Crew, ProcessCrew
from ._engine import CLOSE, RUN, TERMINATE, Engine
from ._futures import Future, FutureJob
from ._imap import IMapIterator, IMapUnorderedIterator, Stream
from ._jobs import ApplyResult, Callback, MapResult, name
from ._packing import Errand
from ._wire import CALL, CALL_WITH_KEYWORDS, MAP, ONE_BY_ONE, STARMAP, ProcessDesk, ProcessWire
from ._worker import serve

T = TypeVar("T")
P = ParamSpec("P")


class Pool:
    """Worker processes that run functions for you.

    `processes`: how many; default: `lightwork.usable_cpus()`. Each worker first calls `initializer(*initargs)`; if that
    raises, the pool is broken and every job fails with PoolBroken, whose cause is what the initializer raised. A worker
    is replaced after `maxtasksperchild` tasks, and when it dies: then the task that it ran fails with WorkerDied, no
    other.

    `timeout`: seconds that a call may take once it runs; then its worker is killed and the call fails with TaskTimeout.
    `retries`: how often a call is begun again whose worker died. Both are defaults for the methods' own parameters.
    `memory_limit`: bytes of its own memory that a worker may use; one that uses more is killed, and its call fails with
    WorkerDied. `warm_start`: fork the workers from a server that has imported the main module (and what
    `set_forkserver_preload` named) once, whatever the context's start method. Native libraries (BLAS, OpenMP) get their
    share of the processors in each worker, unless environment variables such as OMP_NUM_THREADS say otherwise.

    Raises ValueError for numbers that are too small, TypeError for what is not what it has to be, and what starting a
    process raises (OSError, mostly).
    """

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
        *,
        timeout: float | None = None,
        retries: int = 0,
        memory_limit: int | None = None,
        warm_start: bool = False,
    ) -> None:
        self._pid = os.getpid()
        self._pool: list[Any] = []
        self._processes = usable_cpus() if processes is None else _checks.count("processes", processes)
        if maxtasksperchild is not None and not (isinstance(maxtasksperchild, int) and maxtasksperchild >= 1):
            raise ValueError(f"maxtasksperchild has to be a positive int or None, not {maxtasksperchild!r}")
        self._initializer = _checks.initializer(initializer)
        self._timeout = _checks.timeout(timeout)
        self._retries = _checks.count("retries", retries, 0)
        self._memory_limit = _checks.memory_limit(memory_limit)
        self._limited = timeout is not None or retries > 0
        self._maxtasksperchild = maxtasksperchild
        self._initargs = initargs
        if warm_start:
            context = get_context("forkserver")
        elif type(_checks.context(context)).__module__ == "multiprocessing.context":
            assert context is not None
            context = get_context(context.get_start_method())  # the stdlib's own children would not join the family
        self._ctx = get_context() if context is None else context
        self._engine = engine = self._make_engine()
        engine.crew = crew = self._make_crew(engine)
        self._pool = crew.workers
        self._cache = engine.jobs
        try:
            crew.fill()
            # Not a method of this pool: it must be collectable while it runs. At exit it is called before the stdlib
            # terminates daemonic processes.
            self._terminate = util.Finalize(self, engine.terminate, exitpriority=15)
        except BaseException:
            engine.terminate()
            raise
        self._state = RUN

    def _make_engine(self) -> Engine:
        return Engine(ProcessWire(self._processes))

    def _make_crew(self, engine: Engine) -> Crew:
        wire = engine.wire
        assert isinstance(wire, ProcessWire)
        errand = None if self._initializer is None else Errand(self._initializer, tuple(self._initargs))
        process, ctx, native_threads = self.Process, self._ctx, share_of_cpus(self._processes)
        settings = (errand, (), self._maxtasksperchild, native_threads)
        if native_threads is not None and ctx.get_start_method() == "fork":
            native_libraries()  # found once, here
        parts = (wire.tasks, wire.results, wire.rows)

        def make(row: int) -> Any:
            return process(ctx, target=serve, args=(ProcessDesk(*parts, row), *settings))

        return ProcessCrew(engine, make, self._processes, wire, self._memory_limit)

    # -- one call

    def apply(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        *,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> T:
        """`func(*args, **kwds)`, in a worker. Raises what it raises, and what `AsyncResult.get` does."""
        return self.apply_async(func, args, kwds, timeout=timeout, retries=retries).get()

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callback | None = None,
        error_callback: Callback | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> ApplyResult[T]:
        """Begin `func(*args, **kwds)` in a worker.

        When it is over, `callback(value)` or `error_callback(exception)` is called in a thread of the pool, which does
        nothing else meanwhile; what a callback raises is printed. What cannot be pickled is the job's error, raised by
        its `get()`. `timeout` and `retries` are as for the pool. Raises ValueError if the pool is not running.
        """
        if self._state != RUN or self._pid != os.getpid():
            self._check_running()
        job: ApplyResult[T] = ApplyResult(self, func, callback, error_callback)
        if timeout is not None or retries is not None or self._limited:
            self._limit(job, timeout, retries)
        if kwds:
            self._engine.begin_call(job, CALL_WITH_KEYWORDS, func, (tuple(args), dict(kwds)))
        else:
            self._engine.begin_call(job, CALL, func, args if type(args) is tuple else tuple(args))
        return job

    def submit(self, func: Callable[P, T], /, *args: P.args, **kwds: P.kwargs) -> Future[T]:
        """Begin `func(*args, **kwds)`; returns a `concurrent.futures.Future`. Raises ValueError if the pool is not
        running.

        `cancel()` of the future takes the call out of the queue; it does not end one that runs.
        """
        self._check_running()
        job: FutureJob[T] = FutureJob(self, func)
        self._limit(job, None, None)
        self._engine.begin_call(job, CALL_WITH_KEYWORDS, func, (args, kwds))
        return job.future

    def _limit(self, job: Any, timeout: float | None, retries: int | None) -> None:
        if timeout is not None or self._timeout is not None:
            job.plain = False
            job.timeout = self._timeout if timeout is None else _checks.timeout(timeout)
        if retries or self._retries:
            job.allow(self._retries if retries is None else _checks.count("retries", retries, 0))

    # -- one call per item

    def map(
        self,
        func: Callable[[Any], T],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        progress: bool = False,
        seed: int | None = None,
    ) -> list[T]:
        """`[func(x) for x in iterable]`, in the workers.

        They take `chunksize` items at a time; by default many at first and fewer towards the end, so that they end
        together, and single ones if there is a `timeout`, which is for each item. A chunk whose worker died is begun
        again `retries` times. `progress`: show a bar. `seed`: seed `random`, and numpy's generator if numpy is imported
        here or in the worker, before each item, with a number made of `seed` and the item's, so that results do not
        depend on which worker has which item.

        Waits for all calls; if some raised, raises what the first chunk with an error raised, and what
        `AsyncResult.get` does. Raises ValueError if `chunksize` is less than 1 or the pool is not running.
        """
        return self._map_async(MAP, func, iterable, chunksize, None, None, timeout, retries, progress, seed).get()

    def map_async(
        self,
        func: Callable[[Any], T],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        progress: bool = False,
        seed: int | None = None,
    ) -> MapResult[T]:
        """Begin a `map`; callbacks as in `apply_async`, but none is called for an empty iterable."""
        return self._map_async(
            MAP, func, iterable, chunksize, callback, error_callback, timeout, retries, progress, seed
        )

    def starmap(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        progress: bool = False,
        seed: int | None = None,
    ) -> list[T]:
        """`[func(*x) for x in iterable]`, otherwise like `map`."""
        return self._map_async(STARMAP, func, iterable, chunksize, None, None, timeout, retries, progress, seed).get()

    def starmap_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callback | None = None,
        error_callback: Callback | None = None,
        *,
        timeout: float | None = None,
        retries: int | None = None,
        progress: bool = False,
        seed: int | None = None,
    ) -> MapResult[T]:
        """Begin a `starmap`; callbacks as in `map_async`."""
        return self._map_async(
            STARMAP, func, iterable, chunksize, callback, error_callback, timeout, retries, progress, seed
        )

    def _map_async(
        self,
        tag: int,
        func: Callable[..., T],
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callback | None,
        error_callback: Callback | None,
        timeout: float | None,
        retries: int | None,
        progress: bool,
        seed: int | None,
    ) -> MapResult[T]:
        self._check_running()
        size = None if chunksize is None else _checks.count("chunksize", chunksize)
        try:
            items = as_sequence(iterable)
        except Exception as e:  # the iterable raised
            return self._failed_map(func, e, callback, error_callback)
        if timeout is not None or self._timeout is not None:
            size, tag = size or 1, tag | ONE_BY_ONE
        starts = (
            guided_pages(len(items), self._processes, self._pace(func))
            if size is None
            else equal_pages(len(items), size)
        )
        job: MapResult[T] = MapResult(self, func, starts, callback, error_callback)
        self._limit(job, timeout, retries)
        if progress and len(items):
            show_progress(job, len(items), name(func))
        if seed is not None:
            func, items, tag = seeded(func, items, seed, tag)
        if len(items) == 0:
            job.be_empty()
        else:
            self._engine.begin(job, partial(self._submit_pages, job, tag, func, items, starts))
        return job

    def _pace(self, func: Any) -> float | None:
        try:
            return self._engine.pace.get(func)
        except TypeError:
            return None  # it cannot be hashed

    def _submit_pages(self, job: MapResult[T], tag: int, func: Callable[..., T], items: Any, starts: list[int]) -> None:
        bound = self._engine.bind(func)
        with each_sent_once():
            for index in range(len(starts) - 1):
                self._engine.send(job, index, tag, bound, items[starts[index] : starts[index + 1]])

    def _failed_map(
        self, func: Any, error: Exception, callback: Callback | None, error_callback: Callback | None
    ) -> MapResult[T]:
        job: MapResult[T] = MapResult(self, func, [0, 1], callback, error_callback)
        self._engine.begin(job, partial(self._engine.settle, job, 0, False, error))
        return job

    # -- iterators

    def imap(
        self,
        func: Callable[[Any], T],
        iterable: Iterable[Any],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> IMapIterator[T]:
        """An iterator of `func(x)` for each item, in order, which looks ahead.

        At most `buffersize` items (default: as many chunks as keep the workers busy) are taken from the iterable and
        their results not yet asked for. The iterable is consumed in the thread that calls `imap` and `next`. Raises
        ValueError if `chunksize` or `buffersize` is less than 1 or the pool is not running. See `IMapIterator.next` for
        what that raises.
        """
        return self._imap(IMapIterator, func, iterable, chunksize, buffersize, timeout, retries)

    def imap_unordered(
        self,
        func: Callable[[Any], T],
        iterable: Iterable[Any],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
        timeout: float | None = None,
        retries: int | None = None,
    ) -> IMapIterator[T]:
        """Like `imap`, with the results as they come."""
        return self._imap(IMapUnorderedIterator, func, iterable, chunksize, buffersize, timeout, retries)

    def _imap(
        self,
        kind: type[IMapIterator[T]],
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int,
        buffersize: int | None,
        timeout: float | None,
        retries: int | None,
    ) -> IMapIterator[T]:
        self._check_running()
        size = _checks.count("chunksize", chunksize)
        ahead = None if buffersize is None else _checks.count("buffersize", buffersize)
        window = max(2 * self._processes, 8) if ahead is None else max(1, ahead // size)
        ordered = kind is not IMapUnorderedIterator
        stream = Stream(self._engine, func, iterable, size, window, ordered)
        self._limit(stream, timeout, retries)
        self._engine.begin(stream, stream.top_up)
        return kind(self, stream, size > 1)

    # -- ends

    def close(self) -> None:
        """Take no more jobs. The workers leave when all jobs are done."""
        if self._state == RUN:
            if self._pid == os.getpid():
                self._engine.close()
            self._state = CLOSE  # last: after an interrupt this may be called again

    def terminate(self) -> None:
        """End the workers at once, by force if need be: within seconds. Jobs that are not done raise TaskCancelled."""
        if self._pid == os.getpid():
            self._engine.terminate()
        self._state = TERMINATE

    def join(self) -> None:
        """Wait until the workers have left. Raises ValueError if the pool was neither closed nor terminated, or is of
        another process, RuntimeError in a callback of a closed pool: that is done only when its callbacks are."""
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if self._pid != os.getpid():
            raise ValueError(f"this pool belongs to process {self._pid}")
        if self._state == CLOSE:
            if self._engine.is_calling_back():
                raise RuntimeError("a callback cannot join its own pool: that waits for the callback's end")
            self._engine.submit_streams()
        self._engine.crew.join()
        self._engine.join()

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
        # What the stdlib's raises: a pool belongs to the process that made it.
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
