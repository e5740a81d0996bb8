"""What travels between a pool and its workers, and how it is packed.

The task queue carries a `Task` for each piece of work, then one None for each worker that is to leave. The result queue
carries flat tuples, which the queue sends without pickle:

    from a worker    (READY, pid)                                       it has run the initializer
                     (TAKEN, pid, job, index)                           it has this piece now
                     (DONE, pid, job, index, value)
                     (FAILED, pid, job, index, exception, text, summary)
                     (UNFIT, pid, exception, text, summary)             the initializer raised; it leaves
    from the parent  (GONE, pid, exitcode)                              this worker has ended
                     (CALL,)                                            one of the engine's own calls is due
                     (STOP,)                                            nothing follows

A worker's messages reach the queue before it ends, and GONE is put after it ended: so whoever reads GONE has read all
that the worker had to say, and what it had taken and not given back was lost with it.
"""

from __future__ import annotations

import io
import pickle
from collections import ChainMap
from collections.abc import Callable
from functools import cache
from importlib import import_module
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol

from ..errors import formatted
from ._errors import MaybeEncodingError, described, quoted, rebuild_exc

READY, TAKEN, DONE, FAILED, UNFIT, GONE, CALL, STOP = range(8)

Function = Callable[..., Any]
Work = tuple[Function, Any, Any]
Failure = tuple[Any, str, str]


class Wire(Protocol):
    """How tasks and outcomes are packed for the other side."""

    def pack_work(self, work: Work) -> Any: ...
    def unpack_work(self, packed: Any) -> Work: ...
    def pack_value(self, value: Any) -> Any: ...
    def unpack_value(self, packed: Any, what: str) -> Any: ...
    def pack_failure(self, exc: BaseException) -> Failure: ...
    def unpack_failure(self, failure: Failure) -> BaseException: ...


class Direct:
    """Between threads: everything is the very object."""

    def pack_work(self, work: Work) -> Any:
        return work

    def unpack_work(self, packed: Any) -> Work:
        return packed  # type: ignore[no-any-return]

    def pack_value(self, value: Any) -> Any:
        return value

    def unpack_value(self, packed: Any, what: str) -> Any:
        return packed

    def pack_failure(self, exc: BaseException) -> Failure:
        return exc, "", ""

    def unpack_failure(self, failure: Failure) -> BaseException:
        return failure[0]  # type: ignore[no-any-return]


class Pickled:
    """Between processes. Each part is pickled on its own, so that one which fails spoils nothing but itself."""

    def pack_work(self, work: Work) -> bytes:
        return dumps_portably(work)

    def unpack_work(self, packed: bytes) -> Work:
        return pickle.loads(packed)  # type: ignore[no-any-return]

    def pack_value(self, value: Any) -> bytes:
        return dumps(value)

    def unpack_value(self, packed: bytes, what: str) -> Any:
        """Raises MaybeEncodingError, with the reason as its cause, for a result that cannot be unpickled here."""
        try:
            return pickle.loads(packed)
        except Exception as e:
            raise MaybeEncodingError(e, f"the result of {what}") from e

    def pack_failure(self, exc: BaseException) -> Failure:
        text = formatted(exc)
        try:
            return dumps(exc), text, described(exc)
        except Exception as e:
            return dumps(MaybeEncodingError(e, exc)), text, described(exc)

    def unpack_failure(self, failure: Failure) -> BaseException:
        """The worker's exception, or a MaybeEncodingError that describes it; the cause is its remote traceback."""
        packed, text, summary = failure
        try:
            exc = pickle.loads(packed)
            if not isinstance(exc, BaseException):
                raise TypeError(f"it was unpickled as {described(exc)}, which is no exception")
        except Exception as e:
            exc = MaybeEncodingError(e, summary)
        return rebuild_exc(exc, quoted(text))


class Task:
    """One piece of work on its way to a worker.

    Unpickling it gives the receipt. A message stays claimed until it is unpickled, and what a dead reader had claimed
    goes to the next one: so a worker that dies before the receipt has lost nothing, and after it the parent knows.
    (One that dies in the instant between its receipt and the end of its claim leaves both: the piece fails, and what
    the next worker makes of it is not asked for.)
    """

    __slots__ = ("index", "job", "work")

    def __init__(self, job: int, index: int, work: Any) -> None:
        self.job = job
        self.index = index
        self.work = work

    def __reduce__(self) -> tuple[object, ...]:
        return _received, (self.job, self.index, self.work)


_receipt: Callable[[int, int], None] | None = None


def give_receipts(receipt: Callable[[int, int], None]) -> None:
    """From now on call `receipt(job, index)` for each task that this process takes from a queue."""
    global _receipt
    _receipt = receipt


def _received(job: int, index: int, work: Any) -> Task:
    if _receipt is not None:
        _receipt(job, index)
    return Task(job, index, work)


class Errand:
    """A worker's initializer and its arguments. Pickled apart, so that what cannot be unpickled is reported by the
    worker's loop and not only printed by a process that could not start."""

    def __init__(self, func: Function, args: Any) -> None:
        self._work = func, args

    def __call__(self) -> None:
        func, args = self._work
        func(*args)

    def __reduce__(self) -> tuple[object, ...]:
        return _SealedErrand, (dumps_portably(self._work),)


class _SealedErrand:
    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def __call__(self) -> None:
        func, args = pickle.loads(self._packed)
        func(*args)


def dumps(obj: object) -> bytes:
    """Pickle, honouring `ForkingPickler.register`."""
    buffer = io.BytesIO()
    ForkingPickler(buffer, pickle.HIGHEST_PROTOCOL).dump(obj)
    return buffer.getvalue()


def dumps_portably(obj: object) -> bytes:
    """`dumps`, or what cloudpickle makes of lambdas, closures and the like; pickle's own error if neither can."""
    try:
        return dumps(obj)
    except (pickle.PicklingError, AttributeError, TypeError):
        try:
            return _cloud_dumps(obj)
        except Exception:
            pass
        raise


def _cloud_dumps(obj: object) -> bytes:
    buffer = io.BytesIO()
    _cloud_pickler()(buffer, pickle.HIGHEST_PROTOCOL).dump(obj)
    return buffer.getvalue()


@cache
def _cloud_pickler() -> Any:
    cloudpickle: Any = import_module("cloudpickle")  # only where pickle fails: it costs 20 ms
    forking: Any = ForkingPickler
    table = ChainMap(forking._extra_reducers, cloudpickle.Pickler.dispatch_table)
    return type("CloudPickler", (cloudpickle.Pickler,), {"dispatch_table": table})
