"""One case: a victim dies at a point of an operation, a recoverer perhaps at a point of what it does then, a third has
to succeed. A case has a process of its own, with an arena of its own, and a time limit: nothing in it hangs the others.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import time
import traceback
import warnings
from dataclasses import asdict, dataclass, field
from typing import Any

import losses
from actor import LIMIT, Actor
from operation import Operation

import lightwork
from lightwork import _native as native

#: Seconds for a case: each of its processes has `actor.LIMIT`.
CASE_LIMIT = 25.0

#: Of the smallest blocks; and how many a case's processes can have left.
BLOCKS_OF_A_SPAN = 1000
SPANS = 5

FAULTS = ("lost", "doubled", "stuck", "leaked", "wrong")


@dataclass(frozen=True)
class Case:
    operation: str
    point: str = ""
    nth: int = 1
    #: Where the recoverer dies.
    then: str = ""
    then_nth: int = 1

    def __str__(self) -> str:
        first = (
            f"{self.operation} at {self.point}, passage {self.nth}" if self.point else f"{self.operation}, not killed"
        )
        return f"{first}; then the next at {self.then}, passage {self.then_nth}" if self.then else first


@dataclass
class Outcome:
    #: Did the victim, and the recoverer if it had to, die where they should?
    reached: bool = False
    #: What the victim and the recoverer passed.
    victim: dict[str, int] = field(default_factory=dict)
    recoverer: dict[str, int] = field(default_factory=dict)
    #: (fault, what happened)
    faults: list[tuple[str, str]] = field(default_factory=list)


def run(operation: Operation, case: Case) -> Outcome:
    """Run a case in a new process."""
    words, to_words = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.setsid()
        outcome = Outcome()
        try:
            play(operation, case, outcome)
        except BaseException:
            outcome.faults.append(("wrong", traceback.format_exc()[-3000:]))
        finally:
            os.write(to_words, json.dumps(asdict(outcome)).encode())
            os._exit(0)
    os.close(to_words)
    poll = select.poll()
    poll.register(words, select.POLLIN)
    told = os.read(words, 1 << 20) if poll.poll(CASE_LIMIT * 1000) else b""
    os.killpg(pid, signal.SIGKILL)  # also what is left of it; the group exists until we reap its first process
    os.waitpid(pid, 0)
    os.close(words)
    if not told:
        return Outcome(reached=True, faults=[("stuck", "the case did not end")])
    return Outcome(**json.loads(told))


def play(operation: Operation, case: Case, outcome: Outcome) -> None:
    warnings.simplefilter("ignore")
    lightwork.Queue().put(None)  # there is an arena, and we are a member
    gc.collect()
    blocks, rows = in_use(), native.rows_in_use()
    operation.prepare()
    bystander = Actor(operation.bystander) if operation.has_bystander else None
    if bystander is not None:
        bystander.until_asleep_or_ended()
    victim = operation.victim(case.point, case.nth)
    operation.meanwhile(victim)
    victim.wait()
    operation.after(victim)
    recoverer = Actor(operation.recover, case.then, case.then_nth)
    recoverer.wait()
    third = Actor(operation.recover)
    third.wait()
    actors = {"victim": victim, "recoverer": recoverer, "third": third}
    if bystander is not None:
        operation.release_bystander()
        bystander.wait()
        actors["bystander"] = bystander
    outcome.reached = victim.killed == bool(case.point) and recoverer.killed == bool(case.then)
    outcome.victim, outcome.recoverer = victim.passages, recoverer.passages
    for role, actor in actors.items():
        if actor.stuck:
            outcome.faults.append(("stuck", f"the {role} did not end; its notes: {actor.notes[-3:]}"))
        for raised in actor.noted("raised"):
            outcome.faults.append(("wrong", f"the {role} raised {raised}"))
    outcome.faults += operation.judge(actors)
    operation.drop()
    outcome.faults += left_behind(operation, case, blocks, rows)


def in_use() -> losses.Blocks:
    lightwork.arena.stats()  # frees what nobody has
    return {offset: (nbytes, state, dead) for offset, nbytes, state, dead in native.blocks_in_use()}


def living() -> list[tuple[int, int]]:
    """The rows of members in use: (state, pid)."""
    native.sweep()
    return list(native.rows_in_use())


def need_spans_of_the_dead() -> None:
    """Adopt the spans in which the dead have left messages that they never sent, by using up our own."""
    queue = lightwork.Queue()
    for nbytes in {nbytes for nbytes, state, dead in in_use().values() if dead and state == losses.LETTER}:
        for _ in range(SPANS):
            for _ in range(BLOCKS_OF_A_SPAN):
                queue.put(b"x" * nbytes)
            if not any(dead and state == losses.LETTER and n == nbytes for n, state, dead in in_use().values()):
                break


def left_behind(operation: Operation, case: Case, before: losses.Blocks, rows: list[Any]) -> list[tuple[str, str]]:
    """Whatever is still in use that was not before, but for what the protocols say is lost."""
    faults = []
    points = [case.point, case.then]
    end = time.monotonic() + LIMIT
    may_stay = losses.rows(points) + operation.reserves
    while (extra := len(living()) - len(rows)) > may_stay and time.monotonic() < end:
        time.sleep(0.01)  # children of the dead come to their end by themselves, and nobody here is told of it
    lightwork.Array("b", 100_000)  # who inherits the arena's lock sets its lists and counts right
    need_spans_of_the_dead()
    gc.collect()
    left = {at: what for at, what in in_use().items() if at not in before}
    stats = lightwork.arena.stats()
    if sum(stats.processes.values()) != stats.used:
        faults.append(("wrong", f"{stats.used} bytes are counted as used, by process: {stats.processes}"))
    ends = 0
    for offset, nbytes, state, _ in sorted(native.blocks_in_use()):
        if state not in losses.STATES:
            faults.append(("wrong", f"the owner word of the block at {offset:#x} has the state {state}"))
        if offset < ends:
            faults.append(("wrong", f"two blocks in one place: the second at {offset:#x}"))
        ends = offset + nbytes
    if unexpected := losses.unexpected(left, points, operation.makes):
        faults.append(("leaked", f"blocks (bytes, state, is the owner dead): {unexpected}"))
    if extra > may_stay:
        faults.append(("leaked", f"{extra} rows of members: {native.rows_in_use()}"))
    return faults
