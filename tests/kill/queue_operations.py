"""Queues. Every message has a number: each that was put comes to one completed `get()`, or is still in the queue."""

from __future__ import annotations

import itertools
import os
import queue
import resource
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
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
        self.queue = fork.Queue(2) if self.kind == "of_two" else getattr(fork, self.kind)()
        self.numbers = itertools.count()
        #: Put, and taken out, by the process that judges.
        self.own: list[int] = []
        self.read: list[int] = []
        for _ in range(self.before):
            self.put(self.note_own)

    def note_own(self, word: str, number: int) -> None:
        if word == "put":
            self.own.append(number)

    def pack(self, number: int) -> Any:
        return self.message.pack(number)

    def put(self, note: Callable[..., None]) -> None:
        number = os.getpid() * 1000 + next(self.numbers)
        note("putting", number)
        self.queue.put(self.pack(number))
        note("put", number)

    def get(self, note: Note, **how: Any) -> None:
        note("got", self.message.number(self.queue.get(**how)))

    def recover(self, note: Note) -> None:
        self.put(note)
        self.get(note)

    def judge(self, actors: dict[str, Actor]) -> Faults:
        faults: Faults = []
        put, got, taken = list(self.own), list(self.read), 0
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
        """What is in the queue: so many if they come, and a look for more."""
        found, end = [], time.monotonic() + LIMIT
        while len(found) < count and time.monotonic() < end:
            if self.queue._wait_for_message(0.1):
                found.append(self.message.number(self.queue.get()))
        while not self.queue.empty():
            found.append(self.message.number(self.queue.get()))
        return found


class Put(OfQueue):
    def act(self, note: Note) -> None:
        for _ in range(MANY):
            self.put(note)


class PutAndTidy(Put):
    """Who comes next looks for what nobody has."""

    message = WithBuffer

    def recover(self, note: Note) -> None:
        lightwork.arena.stats()
        super().recover(note)


class Get(OfQueue):
    before = MANY

    def act(self, note: Note) -> None:
        for _ in range(MANY - 2):
            self.get(note)


class GetMany(OfQueue):
    name = "get_many"
    before = MANY

    def act(self, note: Note) -> None:
        for message in self.queue.get_many(MANY - 2):
            note("got", self.message.number(message))


class Converse(OfQueue):
    """Put and get in turn."""

    message = InBlock

    def act(self, note: Note) -> None:
        for _ in range(MANY):
            self.put(note)
            self.get(note)


class ConverseSimply(Converse):
    name = "put and get, SimpleQueue"
    kind = "SimpleQueue"


class WaitToGet(OfQueue):
    name = "get, waiting"
    has_bystander = True

    def act(self, note: Note) -> None:
        self.get(note)
        self.get(note)

    def meanwhile(self, victim: Actor) -> None:
        victim.until_asleep_or_ended()
        for _ in range(3):
            self.put(self.note_own)

    def recover(self, note: Note) -> None:
        try:
            self.get(note, timeout=0.2)  # sleeps if there is nothing
        except queue.Empty:
            pass
        super().recover(note)

    def bystander(self, note: Note) -> None:
        self.get(note)

    def release_bystander(self) -> None:
        self.put(self.note_own)


class WaitForNothing(OfQueue):
    """No message comes while the victim waits for one, nor while the next does."""

    name = "get, nothing comes"

    def act(self, note: Note) -> None:
        self.look(note, 0.05)

    def look(self, note: Note, seconds: float) -> None:
        try:
            self.get(note, timeout=seconds)
        except queue.Empty:
            note("nothing")

    def recover(self, note: Note) -> None:
        self.look(note, 0.15)  # longer than the first slice of a sleep
        super().recover(note)


class WaitToPut(OfQueue):
    name = "put, waiting"
    kind = "of_two"
    before = 2

    def act(self, note: Note) -> None:
        for _ in range(3):
            self.put(note)

    def meanwhile(self, victim: Actor) -> None:
        victim.until_asleep_or_ended()
        end = time.monotonic() + LIMIT
        while not victim.has_ended() and time.monotonic() < end:
            if self.queue._wait_for_message(0.01):
                self.read.append(self.message.number(self.queue.get()))

    def recover(self, note: Note) -> None:
        while not self.queue.empty():
            self.get(note)
        self.put(note)
        self.put(note)


class Huge:
    """A message that takes more memory than `GetBack` leaves."""

    NBYTES = 32 << 20

    @classmethod
    def pack(cls, number: int) -> Any:
        return number.to_bytes(8, "little").ljust(cls.NBYTES)

    @staticmethod
    def number(message: Any) -> int:
        return int.from_bytes(message[:8], "little")


class GetBack(OfQueue):
    """A `get()` that has no memory for the message gives it back."""

    name = "get, without memory"
    message = Huge
    before = 1

    def act(self, note: Note) -> None:
        limits = resource.getrlimit(resource.RLIMIT_AS)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + Huge.NBYTES // 2, limits[1]))
        for _ in range(2):
            try:
                self.get(note)
            except MemoryError:
                note("no memory")
        resource.setrlimit(resource.RLIMIT_AS, limits)


class TaskDone(OfQueue):
    name = "task_done"
    kind = "JoinableQueue"
    before = 6
    has_bystander = True

    def act(self, note: Note) -> None:
        for _ in range(4):
            self.get(note)
            self.queue.task_done()

    def recover(self, note: Note) -> None:
        super().recover(note)
        self.queue.task_done()

    def bystander(self, note: Note) -> None:
        self.queue.join()

    def release_bystander(self) -> None:
        try:
            while True:
                self.queue.task_done()  # what the dead took they did not report
        except ValueError:
            pass


class SameArray(Put):
    """Messages that hold the same shared array: its table of holders grows."""

    name = "put, one array"

    def prepare(self) -> None:
        self.array = lightwork.ndarray(native.LEAST_BUFFER, "i8")
        super().prepare()

    def pack(self, number: int) -> Any:
        return number, self.array

    class message:
        @staticmethod
        def number(message: Any) -> int:
            return int(message[0])


class Drop(OfQueue):
    """Queues made, filled and dropped."""

    name = "queue made and dropped"
    message = InBlock
    makes = True

    def act(self, note: Note) -> None:
        for message in (InBlock, WithBuffer):
            own = fork.Queue()
            for number in range(MANY):
                own.put(message.pack(number))
            held = [own.get() for _ in range(8)]
            del own, held

    def judge(self, actors: dict[str, Actor]) -> Faults:
        return []


class DropAfterDeath(OfQueue):
    """Nobody comes after the dead but who drops the queue."""

    message = InBlock
    before = 3

    def act(self, note: Note) -> None:
        self.get(note)
        self.put(note)

    def recover(self, note: Note) -> None:
        """Nothing."""

    def judge(self, actors: dict[str, Actor]) -> Faults:
        return []


class Withdraw(Operation):
    """Tasks taken out of a pool's queue. If their owner dies in it, nobody reads the queue any more: it is dropped."""

    name = "tasks withdrawn"

    def prepare(self) -> None:
        self.queue = native.TaskQueue()
        for job in range(1, 9):
            self.queue.put(job % 2, job, 0, b"", b"x" * 100)

    def act(self, note: Note) -> None:
        self.queue.withdraw({0})

    def recover(self, note: Note) -> None:
        self.queue.put(1, 1, 0, b"", b"y" * 100)


def with_messages(name: str, operation: type[OfQueue]) -> list[type[Operation]]:
    """The same operation with each kind of message."""
    kinds = {"inline": Inline, "block": InBlock, "buffer": WithBuffer, "shared": WithShared}
    return [type(operation.__name__, (operation,), {"name": f"{name}, {k}", "message": m}) for k, m in kinds.items()]


OPERATIONS = [
    *with_messages("put", Put),
    *with_messages("get", Get),
    *with_messages("put, then arena.stats()", PutAndTidy),
    SameArray,
    GetMany,
    *with_messages("put and get", Converse),
    ConverseSimply,
    WaitToGet,
    WaitForNothing,
    WaitToPut,
    GetBack,
    TaskDone,
    Drop,
    *with_messages("queue dropped after a death", DropAfterDeath),
    Withdraw,
]
