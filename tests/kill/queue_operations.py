"""Queues. Every message has a number: each that was put comes to one completed `get()`, or is still in the queue."""

from __future__ import annotations

import itertools
import os
import queue
import time
from collections import Counter
from typing import Any, ClassVar

from actor import LIMIT, Actor, Note
from operation import Faults, Operation

import lightwork
from lightwork import _native as native

numpy: Any = __import__("numpy")

fork: Any = lightwork.get_context("fork")

#: Messages of a victim: more than a first segment has slots, so the ring grows, and is left by its readers.
MANY = 20


class Inline:
    """A message that lies in its slot."""

    @staticmethod
    def pack(number: int) -> Any:
        return number

    @staticmethod
    def number(message: Any) -> int:
        return int(message)


class InBlock:
    """A message in a small block."""

    @staticmethod
    def pack(number: int) -> Any:
        return number.to_bytes(8, "little") * 40

    @staticmethod
    def number(message: Any) -> int:
        first, *rest = (int.from_bytes(message[i : i + 8], "little") for i in range(0, len(message), 8))
        assert all(n == first for n in rest), "a message of two"
        return first


class WithBuffer:
    """A message with a large buffer beside it."""

    @staticmethod
    def pack(number: int) -> Any:
        return numpy.full(native.LEAST_BUFFER, number, "i8")

    @staticmethod
    def number(message: Any) -> int:
        assert (message == message[0]).all(), "an array of two"
        return int(message[0])


class WithShared:
    """A message with a shared array."""

    @staticmethod
    def pack(number: int) -> Any:
        return lightwork.ndarray(native.LEAST_BUFFER, "i8", fill=number)

    number = WithBuffer.number


class OfQueue(Operation):
    kind: ClassVar[str] = "Queue"
    message: ClassVar[Any] = Inline
    before: ClassVar[int] = 0

    def prepare(self) -> None:
        self.queue = getattr(fork, self.kind)()
        self.numbers = itertools.count()
        self.own: list[int] = []
        for _ in range(self.before):
            self.put(lambda word, number: self.own.append(number) if word == "put" else None)

    def put(self, note: Note) -> None:
        number = os.getpid() * 1000 + next(self.numbers)
        note("putting", number)
        self.queue.put(self.message.pack(number))
        note("put", number)

    def get(self, note: Note, **how: Any) -> None:
        note("got", self.message.number(self.queue.get(**how)))

    def recover(self, note: Note) -> None:
        self.put(note)
        self.get(note)

    def judge(self, actors: dict[str, Actor]) -> Faults:
        faults: Faults = []
        put, got, taken = list(self.own), [], 0
        for actor in actors.values():
            numbers, commits = actor.noted("putting"), actor.passages.get("queue.put.commit", 0)
            put += numbers[:commits]
            mine = actor.noted("got")
            got += mine
            taken += actor.passages.get("queue.get.done", 0) - len(mine)
        left = Counter(put)
        left.subtract(got)
        rest = [n for n, count in left.items() if count > 0]
        got += self.drain(len(rest) - taken)
        twice = [n for n, count in Counter(got).items() if count > 1]
        strange = [n for n in got if n not in put]
        missing = set(put) - set(got)
        if twice:
            faults.append(("doubled", f"messages {twice} came twice"))
        if strange:
            faults.append(("wrong", f"messages {strange} were never put"))
        if len(missing) > taken:
            faults.append(("lost", f"messages {missing}; {taken} were taken by the dead"))
        if len(missing) < taken:
            faults.append(("doubled", f"{taken} were taken by the dead, but only {missing} are missing"))
        return faults

    def drain(self, count: int) -> list[int]:
        """What is in the queue: so many, and a look for more."""
        found, end = [], time.monotonic() + LIMIT
        while len(found) < count and time.monotonic() < end:
            try:
                found.append(self.message.number(self.queue.get(timeout=0.1)))
            except queue.Empty:
                pass
        while not self.queue.empty():
            found.append(self.message.number(self.queue.get()))
        return found


class Put(OfQueue):
    def act(self, note: Note) -> None:
        for _ in range(MANY):
            self.put(note)


class Get(OfQueue):
    before = MANY

    def act(self, note: Note) -> None:
        for _ in range(MANY - 2):
            self.get(note)


def with_messages(name: str, operation: type[OfQueue]) -> list[type[Operation]]:
    """The same operation with each kind of message."""
    kinds = {"inline": Inline, "block": InBlock, "buffer": WithBuffer, "shared": WithShared}
    return [type(operation.__name__, (operation,), {"name": f"{name}, {k}", "message": m}) for k, m in kinds.items()]


OPERATIONS = [*with_messages("put", Put), *with_messages("get", Get)]
