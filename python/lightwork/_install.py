"""`lightwork.install()`: make `multiprocessing` answer with lightwork.

The stdlib's modules stay the objects they are; their names are bound to ours. So every form of import sees lightwork,
before or after, in the program or in a library, and what the stdlib's own modules import from each other inside their
functions, too. Forked children inherit this; others are told by their `launch.Passport` before their main module runs.
"""

from __future__ import annotations

import importlib
import multiprocessing
import multiprocessing.context
from typing import Any

#: What is ours in each submodule.
_NAMES = {
    "context": (
        "BaseContext DefaultContext Process ForkProcess SpawnProcess ForkServerProcess ForkContext SpawnContext "
        "ForkServerContext _default_context"
    ),
    "process": "BaseProcess",
    "queues": "Queue JoinableQueue SimpleQueue",
    "synchronize": "Lock RLock Semaphore BoundedSemaphore Condition Event Barrier",
    "sharedctypes": (
        "RawValue RawArray Value Array copy synchronized reduce_ctype rebuild_ctype make_property SynchronizedBase "
        "Synchronized SynchronizedArray SynchronizedString"
    ),
    "pool": "Pool ThreadPool AsyncResult ApplyResult MapResult IMapIterator IMapUnorderedIterator MaybeEncodingError",
    "managers": "SyncManager",
    "dummy": "Pool",
}
#: Where the stdlib bound `get_context` at import time.
_CONTEXT_USERS = ("managers", "pool")

_installed = False


def installed() -> bool:
    """Is it in force in this process?"""
    return _installed


def install() -> None:
    """Make every use of `multiprocessing` and its submodules in this process and its children use lightwork.

    Call it first of all, or run the program with `lightwork run`. A class that derives from a class of the stdlib's
    `queues` and replaces its pickling keeps the stdlib's class as its base. Calling it again does nothing.
    """
    global _installed
    if _installed:
        return
    _installed = True
    ours: Any = importlib.import_module(__package__)
    _keep_start_method()
    for sub, names in _NAMES.items():
        theirs = importlib.import_module(f"multiprocessing.{sub}")
        source = importlib.import_module(f"{__package__}.{sub}")
        for name in names.split():
            setattr(theirs, name, getattr(source, name))
    for sub in _CONTEXT_USERS:
        setattr(importlib.import_module(f"multiprocessing.{sub}"), "get_context", ours.get_context)  # noqa: B010
    for name in multiprocessing.__all__:
        if name not in ("reducer", "process"):
            setattr(multiprocessing, name, getattr(ours, name))


def _keep_start_method() -> None:
    """A start method that the program chose before stays chosen; contexts it already has start children through us."""
    from . import context

    chosen = multiprocessing.get_start_method(allow_none=True)
    if chosen is not None and context.default_method() is None:
        context.set_start_method(chosen)
    for name in ("ForkProcess", "SpawnProcess", "ForkServerProcess"):
        theirs, ours = getattr(multiprocessing.context, name), getattr(context, name)
        theirs._Popen = staticmethod(ours._Popen)
