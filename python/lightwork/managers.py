"""Managers: the stdlib's, started through our context, with our Pool."""

from __future__ import annotations

import multiprocessing.managers as _stdlib
from multiprocessing.managers import *  # noqa: F403
from multiprocessing.managers import BaseManager, PoolProxy, SharedMemoryManager  # type: ignore[attr-defined]  # noqa: F401
from typing import Any

from . import pool

__all__ = [*_stdlib.__all__]


class _OurContext:
    """A manager starts its process through our default context unless it is told another."""

    def __init__(self, *args: Any, ctx: Any = None, **kwargs: Any) -> None:
        from .context import get_context

        super().__init__(*args, ctx=ctx or get_context(), **kwargs)  # type: ignore[call-arg]


class SyncManager(_OurContext, _stdlib.SyncManager):  # type: ignore[no-redef]
    """A manager of lists, dicts, locks, queues, pools and more, each in the manager's process."""


SyncManager.register("Pool", pool.Pool, PoolProxy)


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
