"""What reads bytes that it did not write, and mutations of what it expects. A case is one call with its own dice."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from typing import Any

import click

import lightwork
from lightwork import _native, cli
from lightwork.errors import ForeignHandle

PICKLE = 8
"""The kind of a message that is a pickle: what that says is the pickler's business."""
PIECE = 48
"""Bytes of a message that fit into its slot."""


def damage(dice: random.Random, data: bytes) -> bytes:
    """The same length, otherwise a little or all different."""
    out = bytearray(data)
    for _ in range(dice.choice([0, 1, 1, 2, 8])):
        if not out:
            break
        at = dice.randrange(len(out))
        match dice.randrange(4):
            case 0:
                out[at] ^= 1 << dice.randrange(8)
            case 1:
                out[at] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
            case 2:
                end = min(len(out), at + dice.choice([4, 8]))
                out[at:end] = dice.choice([b"\0", b"\xff"]) * (end - at)
            case _:
                out[at:] = dice.randbytes(len(out) - at)
    return bytes(out)


def draw(dice: random.Random, depth: int = 0) -> Any:
    """An object that the fast format has a word for, mostly."""
    scalars: list[Callable[[], Any]] = [
        lambda: None,
        lambda: dice.random() < 0.5,
        lambda: dice.choice([0, -1, 2**63 - 1, -(2**63), dice.getrandbits(40)]),
        dice.random,
        lambda: dice.randbytes(dice.choice([0, 3, 60, 3000])),
        lambda: "ä" * dice.choice([0, 2, 40, 2000]),
    ]
    lists: list[Callable[[], Any]] = [
        lambda: tuple(draw(dice, 1) for _ in range(dice.randrange(8))),
        lambda: [draw(dice, 1) for _ in range(dice.randrange(12))],
        lambda: [dice.getrandbits(50) for _ in range(dice.choice([1, 5, 2000]))],
        lambda: [dice.random() for _ in range(dice.choice([1, 5, 2000]))],
    ]
    return dice.choice(scalars if depth else scalars + lists)()


class Message:
    """The oldest message of a queue, as it lies in shared memory (`src/queue/segment.rs`)."""

    def __init__(self, queue: Any) -> None:
        _, self._file = _native.family()
        _, ring, _ = queue._handle(False)
        index, segment = struct.unpack("<QQ", os.pread(self._file, 16, ring + 136))
        start, capacity = struct.unpack("<QQ", os.pread(self._file, 16, segment + 16))
        self._slot = segment + 64 + (index - start) % capacity * 64
        self.kind, self.len = struct.unpack("<II", os.pread(self._file, 8, self._slot + 8))
        (block,) = struct.unpack("<Q", os.pread(self._file, 8, self._slot + 16))
        self._at = self._slot + 16 if self.len <= PIECE else block

    def read(self) -> bytes:
        return os.pread(self._file, self.len, self._at)

    def write(self, kind: int, data: bytes) -> None:
        """As long as it was, or, in the slot, shorter."""
        assert len(data) == self.len or len(data) < self.len <= PIECE
        os.pwrite(self._file, data, self._at)
        os.pwrite(self._file, struct.pack("<II", kind, len(data)), self._slot + 8)


def check_layout() -> None:
    """Does `Message` know where messages lie?"""
    for data in (b"short", b"long" * 100):
        queue = lightwork.Queue()
        queue.put(data)
        if Message(queue).read() != data:
            raise AssertionError("the layout of queues is another one than this script knows")


def mutate(dice: random.Random, queue: Any, not_kind: int | None = None) -> None:
    message = Message(queue)
    data, kind = damage(dice, message.read()), message.kind
    if message.len <= PIECE and dice.random() < 0.3:
        data = data[: dice.randrange(len(data) + 1)]
    if dice.random() < 0.5:
        kind = kind & ~0xFF | dice.choice([*range(12), dice.randrange(256)])
    if dice.random() < 0.2:
        kind = kind & 0xFF | dice.choice([0, 1, 5, len(data), len(data) + 1, 1 << 23]) << 8
    if kind & 0xFF == not_kind:
        kind ^= 1
    message.write(kind, data)


def is_damage(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and "is damaged" in str(error)


def fuzz_message(dice: random.Random) -> None:
    """A queue's message: it gives some object, or says that it is damaged; the queue goes on."""
    queue = dice.choice([lightwork.Queue, lightwork.SimpleQueue])()
    queue.put(draw(dice))
    mutate(dice, queue, not_kind=PICKLE)
    try:
        queue.get()
    except RuntimeError as e:
        if not is_damage(e):
            raise
    queue.put("next")
    assert queue.get() == "next"


def fuzz_task(dice: random.Random) -> None:
    """The same of a pool's message, which has a head."""
    queue, rows = _native.TaskQueue(), _native.Rows(1)
    queue.put(dice.getrandbits(dice.choice([1, 20, 60])), dice.getrandbits(20), 1, b"word", draw(dice))
    mutate(dice, queue)
    found: list[Any] = []
    try:
        match dice.randrange(3):
            case 0:
                rows.begin(0)
                queue.take(rows, 0)
            case 1:
                queue.receive(found.append, 0)
            case _:
                queue.withdraw({0, 1})
                queue.receive(found.append, 0)
    except RuntimeError as e:
        if not is_damage(e):
            raise
    for *_, packed in found:
        if isinstance(packed, _native.Packed):
            assert isinstance(packed.unpack(), list)
            try:
                packed.spread([None] * dice.choice([1, 2000]), dice.choice([0, 1, 5000]))
            except IndexError:
                pass
    queue.put(1, 2, 3, b"", "next")
    found = []
    assert queue.receive(found.append, 0)
    assert found[-1][-1] == "next"


HANDLED: dict[Any, tuple[Any, ...]] = {
    lightwork.Lock: (),
    lightwork.RLock: (),
    lightwork.Semaphore: (2,),
    lightwork.Event: (),
    lightwork.Barrier: (2,),
    lightwork.Queue: (),
    lightwork.SimpleQueue: (),
    _native.WaitList: (),
    _native.Rows: (3,),
    _native.TaskQueue: (),
    _native.Memory: (100_000,),
}

_kept: list[Any] = []


def fuzz_handle(dice: random.Random) -> None:
    """A handle with other numbers, or another object's: an object of the right class, or ForeignHandle."""
    if not _kept:
        _kept.extend(make(*args) for make, args in HANDLED.items())
    cell, other = dice.choice(_kept), dice.choice(_kept)
    family, offset, stamp = dice.choice([cell, other])._handle(False)
    for _ in range(dice.choice([0, 1, 1, 3])):
        match dice.randrange(6):
            case 0:
                family = dice.choice([0, family ^ 1, dice.getrandbits(64)])
            case 1:
                offset = dice.choice([0, 63, offset + 64, offset - 64, offset + 1, 1 << 16, 1 << 40, 2**64 - 64])
            case 2:
                offset = dice.getrandbits(dice.choice([10, 24, 34, 41, 64])) & ~dice.choice([0, 63, 65535])
            case 3:
                stamp = dice.choice([0, stamp ^ 1, 2**54, 2**63, dice.getrandbits(64)])
            case 4:
                offset = other._handle(False)[1]
            case _:
                stamp = other._handle(False)[2]
    handle: Any = (family, max(0, offset), stamp)
    if dice.random() < 0.1:
        handle = dice.choice([None, 7, (), (1, 2), (family, -1, stamp), (family, 2**64, stamp), ("", offset, stamp)])
    cls = type(cell)
    size = (dice.choice([0, 99_999, 100_000, 100_001, 2**40, 2**62]),) if cls is _native.Memory else ()
    try:
        again = cls.__new__(cls, *size, handle=handle)
    except (ForeignHandle, TypeError, ValueError, OverflowError):
        return
    assert handle[:2] == again._handle(False)[:2]
    if cls is _native.Memory:
        assert len(bytes(memoryview(again)[-10:])) == min(10, size[0])


WORDS = [
    *(
        "run",
        "compare",
        "doctor",
        "-m",
        "-n",
        "--workers",
        "--repeat",
        "--json",
        "--help",
        "-h",
        "--version",
        "--",
        "-",
    ),
    *("0", "-1", "1e9", "3,4", "nan", "99999999999999999999", "", " ", "x", "no/such/file", ".", "/", "a=b", "--x=y"),
    *("\u00e4", "\udcff", "\n", "%s", "{}", "[bold]", "--json=", "-n=", "-nm", "--workers=-1", "module.name", "f.py:f"),
]


def fuzz_arguments(dice: random.Random) -> None:
    """The command's arguments: a call, an exit code, or one of click's errors with its message."""
    args = [dice.choice(WORDS) for _ in range(dice.randrange(7))]
    try:
        call = cli.commands.main(args, prog_name="lightwork", standalone_mode=False)
        assert callable(call) or isinstance(call, int) or call is None
    except click.ClickException as e:
        assert e.format_message()


TARGETS: dict[str, Callable[[random.Random], None]] = {
    "message": fuzz_message,
    "task": fuzz_task,
    "handle": fuzz_handle,
    "arguments": fuzz_arguments,
}
