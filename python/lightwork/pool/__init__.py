"""Pools of workers: `multiprocessing.pool`'s names.

    _backends          which face `Pool(backend=...)` gives
    _auto, _choice     AutoPool and `lightwork.map`, which choose among the others; how they do
    _pool, _threads    the faces: Pool over processes, ThreadPool over threads, SerialPool over neither
    _engine            settles jobs: what came back, who died, what is over
    _crew              starts, watches and replaces worker processes
    _jobs, _imap,      what callers hold: results, iterators, futures
    _futures, _comfort
    _worker            the loop in each worker
    _wire, _chunks     what travels between them
    _costs             what work and its sending cost
    _checks            what callers may say
    _errors            how failures are told

Imports point downward.
"""

import multiprocessing.pool as _stdlib
from typing import Any

from ._auto import AutoPool as AutoPool  # not the stdlib's, so not in __all__
from ._auto import auto_map as auto_map
from ._backends import make_pool as make_pool
from ._engine import CLOSE, INIT, RUN, TERMINATE
from ._errors import ExceptionWithTraceback, MaybeEncodingError, RemoteTraceback
from ._imap import IMapIterator, IMapUnorderedIterator
from ._jobs import ApplyResult, AsyncResult, MapResult
from ._pool import Pool
from ._threads import SerialPool as SerialPool
from ._threads import ThreadPool

__all__ = [
    "CLOSE",
    "INIT",
    "RUN",
    "TERMINATE",
    "ApplyResult",
    "AsyncResult",
    "ExceptionWithTraceback",
    "IMapIterator",
    "IMapUnorderedIterator",
    "MapResult",
    "MaybeEncodingError",
    "Pool",
    "RemoteTraceback",
    "ThreadPool",
]

for _name in __all__:  # where users look for them, and pickles find them
    if hasattr(globals()[_name], "__module__"):
        globals()[_name].__module__ = __name__
del _name


def __getattr__(name: str) -> Any:  # the stdlib's inner functions, for those who import them
    return getattr(_stdlib, name)
