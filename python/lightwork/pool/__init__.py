"""Pools of workers: `multiprocessing.pool`'s names.

    _pool, _threads   the faces: Pool over processes, ThreadPool over threads
    _engine           settles jobs: what came back, who died, what is over
    _crew             starts, watches and replaces worker processes
    _jobs, _imap      what callers hold: results and iterators
    _worker           the loop in each worker
    _wire, _chunks    what travels between them
    _errors           how failures are told

Imports point downward.
"""

from ._chunks import mapstar, starmapstar
from ._engine import CLOSE, INIT, RUN, TERMINATE
from ._errors import ExceptionWithTraceback, MaybeEncodingError, RemoteTraceback
from ._imap import IMapIterator, IMapUnorderedIterator
from ._jobs import ApplyResult, AsyncResult, MapResult
from ._pool import Pool
from ._threads import ThreadPool
from ._worker import worker

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
    "mapstar",
    "starmapstar",
    "worker",
]

for _name in __all__:  # where users look for them, and pickles find them
    if hasattr(globals()[_name], "__module__"):
        globals()[_name].__module__ = __name__
del _name
