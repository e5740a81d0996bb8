"""What travels between a pool and its workers, and how it is packed.

A task is a piece of a job: one call, or a page of items. It travels with its job's number, its own number in the job, a
tag that says how to run it, and the function. An outcome travels back with the same two numbers. Job 0 is no job:

    to a worker      LEAVE                    there is no more work
    to the parent    UNFIT, a failure         a worker's initializer raised; it leaves
                     MARK, n                  the parent's own: all that was sent before has been read

Between processes a task is in the task queue, or claimed in its worker's row, or its outcome is in the result queue,
whatever dies at whatever moment. A dead worker's outcomes were sent before it died, so whoever has read the MARK that
the parent sent after the death has read them all; what the row still claims then, and has no outcome, was lost with it.
"""

from __future__ import annotations

import os
import pickle
import queue
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import chain, repeat
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Protocol

from .. import _native
from ..errors import formatted
from ..outcome import is_an_interrupt
from ..reduction import PickledBy, SharedCell, dumps, unpack
from ._errors import MaybeEncodingError, described, quoted, rebuild_exc
from ._packing import UNPICKLABLE, Bound, cloud_pickler, parts

Function = Callable[..., Any]
Failure = tuple[Any, str, str]
#: (job, index, tag, nanoseconds it took, sealed, object)
Outcome = tuple[int, int, int, int, bool, Any]
Sink = Callable[[Outcome], object]

# How to run a task: func(*obj), func(*obj[0], **obj[1]), for each item of a page func(item), or func(*item).
CALL, CALL_WITH_KEYWORDS, MAP, STARMAP, LEAVE = range(5)
KIND = 7
BY_VALUE = 8
"""Flag: the function has no name, and may keep state: it comes with the object, and each task has a copy of its own."""
ONE_BY_ONE = 16
"""Flag: say which item of a page is worked on, for each."""

EVERY = (0, 0xFFFF_FFFF)
"""The items that a worker works on (first, how many) while it loads the function of all of them."""

DONE, FAILED, UNFIT, MARK = range(4)


class Wire(Protocol):
    """The parent's end."""

    def send(self, job: int, index: int, tag: int, func: Function, obj: Any) -> None:
        """Queue a task. Raises what pickling it raises."""

    def check(self, func: Function, obj: Any) -> None:
        """Raises what pickling them raises."""

    def bind(self, func: Function) -> Any:
        """What to send in the place of a function that many tasks of one job share. Raises what pickling it raises."""

    def receive(self, sink: Sink, timeout: float | None) -> int:
        """Give all outcomes that are there to `sink`, waiting at most `timeout` seconds for the first; perhaps less."""

    def open(self, tag: int, sealed: bool, obj: Any, what: Callable[[], str]) -> tuple[bool, Any]:
        """(True, the value) or (False, the exception) of an outcome."""

    def mark(self, number: int) -> None:
        """Send a MARK."""

    def withdraw(self, jobs: set[int], withdrawn: set[int]) -> None:
        """Take the tasks of these jobs back that no worker has claimed, and add the jobs of those to `withdrawn`:
        in one step, so that no signal handler comes in between."""

    def is_busy(self) -> bool:
        """Is there a task in the queue, or in work?"""

    def dismiss(self, workers: int) -> None:
        """Tell that many workers to leave."""


# -- between processes


class TaskQueue(SharedCell, _native.TaskQueue):
    """Tasks on their way to workers, or outcomes on their way back."""


class Rows(SharedCell, _native.Rows):
    """What each worker is doing."""


class ProcessWire:
    """Queues in shared memory. Each part is pickled on its own, so that one which fails spoils nothing but itself."""

    def __init__(self, workers: int) -> None:
        self.tasks = TaskQueue(recalled=True)
        self.results = TaskQueue()
        self.rows = Rows(workers)
        self._workers = workers
        self.receive = self.results.receive
        self._words: dict[Function, bytes] = {}

    def send(self, job: int, index: int, tag: int, func: Function, obj: Any) -> None:
        word = self._words.get(func) if type(func) in _BY_NAME else None
        if word is None and (word := self._word(func)) is None:
            word, obj = b"", (func, obj)
            tag |= BY_VALUE
        try:
            self.tasks.put(job, index, tag, word, obj)
        except UNPICKLABLE as e:
            try:
                self.tasks.put(job, index, tag, word, PickledBy(cloud_pickler(), obj))
            except UNPICKLABLE:
                raise e from None

    def check(self, func: Function, obj: Any) -> None:
        parts((func, obj))

    def bind(self, func: Function) -> Any:
        return func if self._word(func) is not None else Bound(func)

    def _word(self, func: Function) -> bytes | None:
        """A pickle of the function's name, if it has one; remembered."""
        if type(func) in _BY_NAME and isinstance(getattr(func, "__self__", None), ModuleType | None):
            try:
                word = self._words[func] = pickle.dumps(func, 2)
                return word
            except UNPICKLABLE:
                pass  # it has no name that leads to it
        return None

    def open(self, tag: int, sealed: bool, obj: Any, what: Callable[[], str]) -> tuple[bool, Any]:
        if tag == FAILED:
            return False, unpack_failure(unpack(obj) if sealed else obj)
        if not sealed:
            return True, obj
        try:
            return True, unpack(obj)
        except BaseException as e:
            if is_an_interrupt(e, partial(unpack, obj)):
                raise
            error = MaybeEncodingError(e, f"the result of {what()}")
            error.__cause__ = e
            return False, error

    def withdraw(self, jobs: set[int], withdrawn: set[int]) -> None:
        withdrawn.update(chain.from_iterable(map(self.tasks.withdraw, (jobs,))))

    def is_busy(self) -> bool:
        return self.tasks.is_in_use() or any(self.rows.read(row)[0] for row in range(self._workers))

    def recall(self) -> None:
        """A worker died: what it had taken and had not claimed in its row is in the queue again."""
        self.tasks.recall(self.rows)

    def mark(self, number: int) -> None:
        self.results.put(0, number, MARK, b"", None)

    def dismiss(self, workers: int) -> None:
        for _ in range(workers):
            self.tasks.put(0, 0, LEAVE, b"", None)


_BY_NAME = {FunctionType, BuiltinFunctionType, type}


class ProcessDesk:
    """A worker's end."""

    def __init__(self, tasks: TaskQueue, results: TaskQueue, rows: Rows, slot: int) -> None:
        self.tasks = tasks
        self.results = results
        self.rows = rows
        self.slot = slot
        self._functions: dict[bytes, Function] = {}

    def begin(self) -> None:
        """This process is the worker."""
        self.rows.begin(self.slot)

    def is_foreign(self) -> bool:
        """Is this a process that a task has forked, and not the worker?"""
        return not self.rows.is_mine(self.slot)

    def take(self) -> tuple[int, int, int, Any, bool, Any]:
        """Wait for a task and claim it: (job, index, tag, function's word, sealed, object)."""
        return self.tasks.take(self.rows, self.slot)

    def load(self, tag: int, word: bytes, sealed: bool, obj: Any) -> tuple[Function, Any]:
        """The function and the object of a task. Raises what unpickling them raises."""
        known = None if tag & BY_VALUE else self._functions.get(word)
        if known is not None:
            return known, unpack(obj) if sealed else obj
        self.progress(*EVERY)
        func: Function
        if tag & BY_VALUE:
            func, obj = unpack(obj)
        else:
            func = self._functions[word] = pickle.loads(word)
            obj = unpack(obj) if sealed else obj
        self.progress(0, 1)
        return func, obj

    def reply(self, tag: int, obj: Any) -> None:
        """Send the outcome of the claimed task, and let go of it. Raises what pickling raises, and SystemExit if this
        process is foreign."""
        self.results.reply(self.rows, self.slot, tag, obj)

    def progress(self, first: int, count: int) -> None:
        """These items of the page are worked on now."""
        self.rows.progress(self.slot, first, count)

    def ready(self) -> None:
        self.rows.ready(self.slot)

    def pack_failure(self, exc: BaseException) -> Failure:
        text = formatted(exc)
        try:
            return bytes(dumps(exc)), text, described(exc)
        except Exception as e:
            return bytes(dumps(MaybeEncodingError(e, exc))), text, described(exc)


def unpack_failure(failure: Failure) -> BaseException:
    """The worker's exception, or a MaybeEncodingError that describes it; the cause is its remote traceback."""
    packed, text, summary = failure
    try:
        exc = _load_exception(packed)
    except BaseException as e:
        if is_an_interrupt(e, partial(_load_exception, packed)):
            raise
        exc = MaybeEncodingError(e, summary)
    return rebuild_exc(exc, quoted(text))


def _load_exception(packed: Any) -> BaseException:
    exc = pickle.loads(packed)
    if not isinstance(exc, BaseException):
        raise TypeError(f"it was unpickled as {described(exc)}, which is no exception")
    return exc


# -- between threads: everything is the very object


SLICE = 0.5
"""Seconds that a thread sleeps at a time. A signal that comes when it is about to sleep, and no longer looks, does not
wake it: its handler runs after the slice."""


class ThreadWire:
    """Queues in this process. Outcomes lie in `results`; a token in `news` says that one came. So a token may be lost,
    or one too many (an interrupt can hit anywhere), but no outcome."""

    def __init__(self) -> None:
        self.tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.unclaimed: dict[tuple[int, int], int] = {}
        """The jobs of the tasks that are to be done. Who takes one out of here has it: a worker, or `withdraw`."""
        self.results: deque[Outcome] = deque()
        self.news: queue.SimpleQueue[None] = queue.SimpleQueue()

    def send(self, job: int, index: int, tag: int, func: Function, obj: Any) -> None:
        self.unclaimed[job, index] = job
        self.tasks.put((job, index, tag, func, False, obj))

    def reply(self, outcome: Outcome) -> None:
        self.results.append(outcome)
        self.news.put(None)

    def receive(self, sink: Sink, timeout: float | None) -> int:
        try:
            if not self.results:
                seconds = SLICE if timeout is None else min(timeout, SLICE)
                self.news.get(seconds > 0, seconds)
            while not self.news.empty():
                self.news.get_nowait()
        except queue.Empty:
            pass
        count = 0
        while self.results:
            sink(self.results[0])
            self.results.popleft()
            count += 1
        return count

    def open(self, tag: int, sealed: bool, obj: Any, what: Callable[[], str]) -> tuple[bool, Any]:
        return tag == DONE, obj

    def mark(self, number: int) -> None:
        self.reply((0, number, MARK, 0, False, None))

    def check(self, func: Function, obj: Any) -> None:
        """Nothing is pickled."""

    def bind(self, func: Function) -> Any:
        return func

    def is_busy(self) -> bool:
        return not self.tasks.empty()

    def withdraw(self, jobs: set[int], withdrawn: set[int]) -> None:
        tasks = [task for task, job in list(self.unclaimed.items()) if job in jobs]
        withdrawn.update(map(self.unclaimed.pop, tasks, repeat(0)))

    def dismiss(self, workers: int) -> None:
        for _ in range(workers):
            self.tasks.put((0, 0, LEAVE, None, False, None))


class ThreadDesk:
    """A worker thread's end."""

    def __init__(self, wire: ThreadWire) -> None:
        self._wire = wire
        self._pid = os.getpid()
        self._claim = (0, 0)
        self._since = 0.0

    def begin(self) -> None:
        """Nobody looks."""

    def is_foreign(self) -> bool:
        return os.getpid() != self._pid

    def take(self) -> tuple[int, int, int, Any, bool, Any]:
        while True:
            task: tuple[int, int, int, Any, bool, Any] = self._wire.tasks.get()
            if not task[0] or self._wire.unclaimed.pop(task[:2], 0):
                self._since = time.monotonic()
                self._claim = task[:2]
                return task

    def claimed(self) -> tuple[int, int, float]:
        """(job or 0, index, seconds on this item)."""
        return *self._claim, time.monotonic() - self._since

    def load(self, tag: int, word: Function, sealed: bool, obj: Any) -> tuple[Function, Any]:
        return word, obj

    def reply(self, tag: int, obj: Any) -> None:
        if self.is_foreign():
            raise SystemExit(0)
        claim, self._claim = self._claim, (0, 0)
        self._wire.reply((*claim, tag, 0, False, obj))

    def progress(self, first: int, count: int) -> None:
        self._since = time.monotonic()

    def ready(self) -> None:
        """Nobody looks."""

    def pack_failure(self, exc: BaseException) -> Any:
        return exc


class SerialWire(ThreadWire):
    """No workers: `send` runs the task at once, in the caller's thread."""

    def __init__(self) -> None:
        super().__init__()
        self.run: Callable[[ThreadDesk], object]

    def send(self, job: int, index: int, tag: int, func: Function, obj: Any) -> None:
        super().send(job, index, tag, func, obj)
        self.run(SerialDesk(self))


class SerialDesk(ThreadDesk):
    def is_foreign(self) -> bool:
        return False  # who calls the task here has forked, and goes on in both

    def reply(self, tag: int, obj: Any) -> None:
        if isinstance(obj, KeyboardInterrupt) and tag == FAILED:
            raise obj  # meant for the program
        super().reply(tag, obj)
