"""Managers: the stdlib's, started through our context, with our Pool."""

from __future__ import annotations

import functools
import multiprocessing
import multiprocessing.managers as _stdlib
from multiprocessing.managers import *  # noqa: F403
from multiprocessing.managers import BaseManager, PoolProxy, SharedMemoryManager  # type: ignore[attr-defined]  # noqa: F401
from typing import Any

from . import pool
from .context import get_context

__all__ = [*_stdlib.__all__]


class SyncManager(_stdlib.SyncManager):  # type: ignore[no-redef]
    """A manager of lists, dicts, locks, queues, pools and more, each in the manager's process."""

    @functools.wraps(_stdlib.SyncManager.__init__)  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self._ctx is multiprocessing.get_context():  # type: ignore[has-type]
            self._ctx = get_context()  # it was told no context: ours, then


SyncManager.register("Pool", pool.Pool, PoolProxy)


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
