"""Lightwork: Python's `multiprocessing`, rebuilt.

The layers; imports point downward, but for those inside a function's body that a context makes its objects with:

    cli                                       argument parsing
    _run, comparison, doctor, futures         features, built on the public API
    _install, dummy, managers                 lightwork under the stdlib's names, its managers over our contexts
    pool                                      jobs, workers, who died
    context                                   the start methods; makes everything below, and the pool, on demand
    process, thread, launch                   children: their start, their end and their outcome
    outcome                                   the way of a process's outcome to its parent
    queues, synchronize, sharedctypes         the primitives
    arrays, shared_memory                     numpy arrays in shared memory; blocks of it that have names
    reduction, errors, arena, cpus            pickling, the exception tree, figures of the shared memory, processors
    _native (Rust)                            what lives in shared memory

The other modules are the stdlib's own, under our name.
"""

import sys as _sys

if _sys.platform != "linux":
    raise ImportError(f"lightwork runs on Linux only (it needs memfd, futex and pidfd), and this is {_sys.platform}")

from importlib import import_module as _import_module
from multiprocessing.process import active_children, current_process, parent_process
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from . import arena, errors, process, reduction
from . import launch as _launch  # noqa: F401 - its fork hooks have to be there before the first fork
from ._install import install
from .arrays import ndarray, share
from .context import AuthenticationError, BufferTooShort, Process, ProcessError, TimeoutError, _default_context
from .cpus import usable_cpus
from .errors import LightworkError
from .thread import Thread

if _TYPE_CHECKING:
    from .comparison import compare
    from .pool import auto_map as map  # noqa: F401 - see __getattr__

__version__ = "0.1.0"

allow_connection_pickling = _default_context.allow_connection_pickling
Array = _default_context.Array
Barrier = _default_context.Barrier
BoundedSemaphore = _default_context.BoundedSemaphore
Condition = _default_context.Condition
cpu_count = _default_context.cpu_count
Event = _default_context.Event
freeze_support = _default_context.freeze_support
get_all_start_methods = _default_context.get_all_start_methods
get_context = _default_context.get_context
get_logger = _default_context.get_logger
get_start_method = _default_context.get_start_method
JoinableQueue = _default_context.JoinableQueue
Lock = _default_context.Lock
log_to_stderr = _default_context.log_to_stderr
Manager = _default_context.Manager
Pipe = _default_context.Pipe
Pool = _default_context.Pool
Queue = _default_context.Queue
RawArray = _default_context.RawArray
RawValue = _default_context.RawValue
reducer = reduction
RLock = _default_context.RLock
Semaphore = _default_context.Semaphore
set_executable = _default_context.set_executable
set_forkserver_preload = _default_context.set_forkserver_preload
set_start_method = _default_context.set_start_method
SimpleQueue = _default_context.SimpleQueue
Value = _default_context.Value

__all__ = [
    "Array",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "Event",
    "JoinableQueue",
    "LightworkError",
    "Lock",
    "Manager",
    "Pipe",
    "Pool",
    "Process",
    "ProcessError",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "SimpleQueue",
    "Thread",
    "TimeoutError",
    "Value",
    "active_children",
    "allow_connection_pickling",
    "arena",
    "compare",
    "cpu_count",
    "current_process",
    "errors",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "install",
    "log_to_stderr",
    "ndarray",
    "parent_process",
    "process",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
    "share",
    "usable_cpus",
]


_MODULES = frozenset(
    [
        "connection",
        "dummy",
        "forkserver",
        "heap",
        "managers",
        "pool",
        "popen_fork",
        "popen_forkserver",
        "popen_spawn_posix",
        "queues",
        "resource_sharer",
        "resource_tracker",
        "shared_memory",
        "sharedctypes",
        "spawn",
        "synchronize",
        "util",
    ]
)


def __getattr__(name: str) -> _Any:
    # Imported when they are asked for: most programs need neither. `map` is not in __all__: `import *` would put it in
    # the place of Python's own.
    if name == "compare":
        from .comparison import compare

        return compare
    if name == "map":
        from .pool import auto_map

        return auto_map
    if name in _MODULES:  # the stdlib's are attributes once something has imported them
        return _import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
