"""Named shared memory: the stdlib's, without two of its defects.

Attaching to a block leaves the block alone: the stdlib tells the resource tracker of it, which destroys the block when
the attaching program ends. And a ShareableList gives back what was put in: the stdlib cuts trailing NULs off, and the
ends of texts whose characters take several bytes each.

Blocks and lists are the stdlib's otherwise, so either may attach to the other's.
"""

from __future__ import annotations

import _posixshmem  # type: ignore[import-not-found]
import functools
import mmap
import multiprocessing.shared_memory as _stdlib
import os
import struct
import sys
from collections.abc import Iterable
from multiprocessing import resource_tracker
from types import ModuleType
from typing import Any, ClassVar

__all__ = [*_stdlib.__all__]

#: How a list's item that ends in NUL is marked. The stdlib's marks count up from 0; it raises KeyError for these.
_TEXT_WITH_NUL, _BYTES_WITH_NUL = 64, 65
#: Fills the rest of such an item's place, where the stdlib has NULs. No item that ends in NUL ends in it.
_FILL = b"\xff"


class SharedMemory(_stdlib.SharedMemory):
    """A block of shared memory with a name; created, or attached to, which has no say in how long it lives.

    `track` (Python 3.13 and later) is what it is in the stdlib; a block attached to with `track=True` is tracked.
    """

    _name: str
    _flags: int
    _mode: int
    _prepend_leading_slash: bool
    _track = True  # the stdlib's before 3.13 has none

    @functools.wraps(_stdlib.SharedMemory.__init__)  # type: ignore[misc]
    def __init__(self, name: str | None = None, create: bool = False, size: int = 0, **track: bool) -> None:
        if name is None or create or track or size < 0:
            super().__init__(name, create, size, **track)
        else:
            self._attach("/" + name if self._prepend_leading_slash else name)

    def _attach(self, name: str) -> None:
        # The stdlib's cannot be asked not to register before 3.13; taking it back would take the creator's back, too.
        self._fd = _posixshmem.shm_open(name, self._flags, mode=self._mode)
        self._name = name
        self._size = os.fstat(self._fd).st_size
        self._mmap = mmap.mmap(self._fd, self._size)  # if it fails, the stdlib's would destroy the block
        self._buf = memoryview(self._mmap)

    def unlink(self) -> None:
        """Destroy the block: once, by any process that has it. FileNotFoundError if it is destroyed already."""
        _posixshmem.shm_unlink(self._name)
        if self._track:
            # This process's tracker knows the name only if it is the creator's, too. It keeps a set of names and
            # prints a KeyError for one that is not there: so it is told the name first.
            resource_tracker.register(self._name, "shared_memory")
            resource_tracker.unregister(self._name, "shared_memory")


class ShareableList(_stdlib.ShareableList[Any]):
    """A list of fixed length in shared memory: of int, float, bool, str, bytes and None."""

    shm: Any  # a SharedMemory of ours
    _list_len: int
    _allocated_offsets: list[int]
    _back_transforms_mapping: ClassVar = {
        **_stdlib.ShareableList._back_transforms_mapping,  # type: ignore[attr-defined]
        _TEXT_WITH_NUL: lambda place: place.rstrip(_FILL).decode(),
        _BYTES_WITH_NUL: lambda place: place.rstrip(_FILL),
    }

    def __init__(self, sequence: Iterable[Any] | None = None, *, name: str | None = None) -> None:
        if sequence is None and name is not None:
            self.shm = SharedMemory(name)
            self._list_len = len(self)
            self._allocated_offsets = [*struct.unpack_from(f"{self._list_len + 1}q", self.shm.buf, 8)]
            return
        items = [*(sequence or ())]
        super().__init__([item.encode() if _is_wide(item) else item for item in items], name=name)
        self.shm.__class__ = SharedMemory  # created, by the stdlib's own code, and so tracked as ours is
        for position, item in enumerate(items):
            if _is_wide(item) or _ends_in_nul(item):
                self[position] = item

    def __setitem__(self, position: int, value: Any) -> None:
        super().__setitem__(position, value)
        if _ends_in_nul(value):
            length = len(value.encode() if isinstance(value, str) else value)
            self._fill(position % self._list_len, length)

    def _fill(self, position: int, length: int) -> None:
        """Fill what an item of `length` bytes leaves of its place, as its format has it."""
        room = int(self._get_packing_format(position).removesuffix("s"))  # type: ignore[attr-defined]
        start = self._offset_data_start + self._allocated_offsets[position]  # type: ignore[attr-defined]
        self.shm.buf[start + length : start + room] = _FILL * (room - length)

    @staticmethod
    def _extract_recreation_code(value: Any) -> int:
        if _ends_in_nul(value):
            return _TEXT_WITH_NUL if isinstance(value, str) else _BYTES_WITH_NUL
        # The base, not by its name: install() shows ours under that.
        code: int = super(ShareableList, ShareableList)._extract_recreation_code(value)
        return code


def _ends_in_nul(item: object) -> bool:
    return item.endswith("\0") if isinstance(item, str) else isinstance(item, bytes) and item.endswith(b"\0")


def _is_wide(item: object) -> bool:
    """Does its UTF-8 exceed the place that the stdlib makes for so many characters?"""
    return type(item) is str and len(item.encode()) > 8 * (len(item) // 8 + 1)


class _Face(ModuleType):
    """What is not ours is the stdlib's, in its module: what others set (`mock.patch` does) has its effect there."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_stdlib, name)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value) if name in vars(self) else setattr(_stdlib, name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name) if name in vars(self) else delattr(_stdlib, name)


sys.modules[__name__].__class__ = _Face
