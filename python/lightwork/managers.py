"""Managers: the stdlib's, started through our context, with our Pool and our shared memory."""

from __future__ import annotations

import functools
import multiprocessing
import multiprocessing.managers as _stdlib
from collections.abc import Iterable
from multiprocessing.managers import *  # noqa: F403
from multiprocessing.managers import BaseManager, PoolProxy, dispatch  # type: ignore[attr-defined]  # noqa: F401
from typing import Any

from . import pool, shared_memory
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


class SharedMemoryManager(_stdlib.SharedMemoryManager):  # type: ignore[no-redef]
    """A manager that destroys at its shutdown the blocks that were made through it."""

    _Client: Any
    _address: Any
    _authkey: Any

    def SharedMemory(self, size: int) -> shared_memory.SharedMemory:
        """A new block of `size` bytes."""
        with self._Client(self._address, authkey=self._authkey) as manager:
            block: shared_memory.SharedMemory = shared_memory.SharedMemory(create=True, size=size)
            _hand_over(block, manager)
        return block

    def ShareableList(self, sequence: Iterable[Any] | None) -> shared_memory.ShareableList:
        """A new list of the values of `sequence`."""
        with self._Client(self._address, authkey=self._authkey) as manager:
            values = shared_memory.ShareableList(sequence)
            _hand_over(values.shm, manager)
        return values


def _hand_over(block: shared_memory.SharedMemory, manager: Any) -> None:
    try:
        dispatch(manager, None, "track_segment", (block.name,))
    except BaseException:
        block.unlink()
        raise


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
