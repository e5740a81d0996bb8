"""A process that may die at a kill point, and what it tells until then.

It writes notes of what it has completed into a pipe, which a SIGKILL takes nothing from; and at its death, or at its
end, to a file in memory how often it passed each kill point. So it is known exactly how far it came.
"""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from lightwork import _native as native
from lightwork import launch

#: Seconds that a process may take for what it does, whatever it comes upon: a sleeper's longest slice is 0.4 s, and a
#: look at the members comes with it.
LIMIT = 3.0

LOOK = 0.002
LOOKS = 5


def names() -> list[str]:
    points: dict[str, int] = native.kill_points()
    return list(points)


class Note:
    """How a process tells what it does: `note("got", 3)`."""

    def __init__(self, notes: int, words: int, point: str, nth: int) -> None:
        self._notes = notes
        self.words = words
        self._point = point
        self._nth = nth

    def __call__(self, *what: Any) -> None:
        os.write(self._notes, json.dumps(what).encode() + b"\n")

    def arm(self, in_children: bool = False) -> None:
        """From here on this process (or those that it forks) may die, and passages count."""
        self("began with", *(0 if in_children else n for n in native.kill_points().values()))
        native.kill_at(self._point, self._nth, self.words, in_children)

    def arm_arrivals(self) -> None:
        """From here on children started by spawn or a forkserver may die, once they come to what makes them members."""
        self("began with", *(0 for _ in native.kill_points()))
        words = f"os.open('/proc/{os.getpid()}/fd/{self.words}', os.O_RDWR)"
        arm = f"__import__('lightwork._native')._native.kill_at({self._point!r}, {self._nth}, {words})"
        launch._ARRIVE = f"[(os := __import__('os')), {arm}, {launch._ARRIVE}][2]"

    @property
    def passages_of_child(self) -> Callable[[], None]:
        """`passages`, for a child that has none of our descriptors."""
        return partial(_passages, f"/proc/{os.getpid()}/fd/{self.words}")

    def passages(self) -> None:
        """What a dying process writes, without dying; written again later it takes this back."""
        passages = native.kill_points().values()
        os.pwrite(self.words, struct.pack(f"{len(passages) + 1}Q", *passages, 0), 0)


def _passages(path: str) -> None:
    Note(-1, os.open(path, os.O_RDWR), "", 0).passages()


class Actor:
    """A forked child that does `act(note)`, and is killed at the `nth` passage of `point` if one is given.

    `arms`: it calls `note.arm()` itself, in the process that is to die.
    """

    def __init__(self, act: Callable[[Note], None], point: str = "", nth: int = 1, arms: bool = False) -> None:
        notes, to_notes = os.pipe()
        os.set_blocking(notes, False)
        words = os.memfd_create("last words")
        self.pid = os.fork()
        if not self.pid:
            self._live(act, Note(to_notes, words, point, nth), arms)
        os.close(to_notes)
        self._notes, self._words = notes, words
        self._end = os.pidfd_open(self.pid)
        self.stuck = False
        #: Of each completed step what it noted: (word, ...).
        self.notes: list[Any] = []
        #: How often it passed each point.
        self.passages: dict[str, int] = {}
        self.killed = False

    def _live(self, act: Callable[[Note], None], note: Note, arms: bool) -> None:
        try:
            if not arms:
                note.arm()
            act(note)
            native.kill_at("")
            if not arms:
                note.passages()
            os._exit(0)
        except BaseException:
            note("raised", traceback.format_exc()[-2000:])
        finally:
            os._exit(1)

    def has_ended(self) -> bool:
        return bool(select.select([self._end], [], [], 0)[0])

    def until_asleep_or_ended(self) -> None:
        """No event tells that another process sleeps: it was found so at several looks in a row."""
        asleep, end = 0, time.monotonic() + LIMIT
        while asleep < LOOKS and time.monotonic() < end and not self.has_ended():
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
            asleep = asleep + 1 if state == "S" else 0
            time.sleep(LOOK)  # between two looks

    def wait(self, limit: float = LIMIT) -> None:
        """Wait for its end, which is made if it does not come."""
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        if not poll.poll(limit * 1000):
            self.stuck = True
            signal.pidfd_send_signal(self._end, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        lines = [tuple(json.loads(line)) for line in _read(self._notes).splitlines()]
        begun = [rest for word, *rest in lines if word == "began with"]
        words = os.pread(self._words, 8 * (len(names()) + 1), 0)
        if begun and words:
            *after, killed = struct.unpack(f"{len(words) // 8}Q", words)
            self.passages = {n: a - b for n, a, b in zip(names(), after, begun[-1], strict=True) if a > b}
            self.killed = bool(killed)
        self.notes = [line for line in lines if line[0] != "began with"]
        for fd in (self._notes, self._words, self._end):
            os.close(fd)

    def noted(self, word: str) -> list[Any]:
        return [rest[0] if len(rest) == 1 else tuple(rest) for w, *rest in self.notes if w == word]


def _read(fd: int) -> bytes:
    """What is in a pipe: children of the dead may hold its other end."""
    found = b""
    try:
        while part := os.read(fd, 1 << 16):
            found += part
    except BlockingIOError:
        pass
    return found
