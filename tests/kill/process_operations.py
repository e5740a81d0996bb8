"""Arrays made and dropped; members of the family born, and dead; a pool's workers."""

from __future__ import annotations

import os
from typing import Any

from actor import LIMIT, Actor, Note
from operation import Faults, Operation

import lightwork

fork: Any = lightwork.get_context("fork")


class Arrays(Operation):
    """Arrays of all sizes, made and dropped."""

    name = "Array made and dropped"
    makes = True

    def act(self, note: Note) -> None:
        for count in (10, 20_000, 200_000):
            arrays = [fork.Array("d", count) for _ in range(3)]
            del arrays

    def recover(self, note: Note) -> None:
        self.act(note)


class Primitives(Operation):
    """Locks and all that, made and dropped."""

    name = "primitives made and dropped"
    makes = True

    def act(self, note: Note) -> None:
        for kind in ("Lock", "RLock", "Semaphore", "Condition", "Event", "Value", "JoinableQueue"):
            thing = getattr(fork, kind)(*["i"][: kind == "Value"])
            del thing

    def recover(self, note: Note) -> None:
        self.act(note)


def nothing() -> None:
    """A child's whole work."""


class Start(Operation):
    """The victim starts processes."""

    name = "Process.start, fork"
    makes = True  # a child's outcome has a queue
    context: Any = fork

    def act(self, note: Note) -> None:
        for _ in range(2):
            p = self.context.Process(target=nothing)
            p.start()
            p.join()
            note("exit", p.exitcode)

    def recover(self, note: Note) -> None:
        p = fork.Process(target=nothing)
        p.start()
        p.join()
        note("exit", p.exitcode)

    def judge(self, actors: dict[str, Actor]) -> Faults:
        codes = [code for actor in actors.values() for code in actor.noted("exit")]
        return [("wrong", f"exit codes {codes}")] if any(codes) else []


class Spawn(Start):
    name = "Process.start, spawn"
    reserves = True  # the process is pickled in between, and comes to points of all kinds
    context = lightwork.get_context("spawn")


class Birth(Start):
    """The victim is the child that is started."""

    name = "Process, being born"
    arms = True

    def act(self, note: Note) -> None:
        note.arm(in_children=True)
        p = fork.Process(target=note.passages)
        p.start()
        p.join(LIMIT / 2)
        if p.exitcode is None:
            note("wrong", "the child did not end, or its end was not noticed")

    def judge(self, actors: dict[str, Actor]) -> Faults:
        return [("wrong", what) for what in actors["victim"].noted("wrong")] + super().judge(actors)


class SpawnedBirth(Birth):
    """The same under spawn: the child dies on its way from its first step in our module to its target's end."""

    name = "Process, being born, spawn"
    context = lightwork.get_context("spawn")

    def act(self, note: Note) -> None:
        note.arm_arrivals()
        p = self.context.Process(target=note.passages_of_child)
        p.start()
        p.join(LIMIT * 2 / 3)
        if p.exitcode is None:
            note("wrong", "the child did not end, or its end was not noticed")


class ServedBirth(SpawnedBirth):
    name = "Process, being born, forkserver"
    context = lightwork.get_context("forkserver")


def work(number: int) -> bytes:
    """More than a slot holds."""
    _note.passages()
    _note.has_done(number)
    return number.to_bytes(8, "little") * 40


_note: Any = None


def set_up(note: Note, token: int, done: Any) -> None:
    """One worker is the victim: who reads the token. `done`: how often others than that have done each item."""
    global _note
    try:
        os.read(token, 1)
    except BlockingIOError:
        _note = _Other(done)
    else:
        _note = _Victim(note)
        note.arm()


class _Victim:
    def __init__(self, note: Note) -> None:
        self.passages = note.passages

    def has_done(self, number: int) -> None:
        """What it has in its hands when it dies, another may do again."""


class _Other:
    def __init__(self, done: Any) -> None:
        self._done = done

    def passages(self) -> None:
        """Not the victim."""

    def has_done(self, number: int) -> None:
        self._done[number] += 1


class Worker(Operation):
    """A pool's worker dies. Its items have their results, each one, from others."""

    name = "pool's worker"
    makes = True
    arms = True
    ITEMS = 100

    def act(self, note: Note) -> None:
        token, to_token = os.pipe()
        os.set_blocking(token, False)
        os.write(to_token, b"x")
        # One at a time: of two the victim may be the one that comes too late for all items.
        done = fork.RawArray("i", self.ITEMS)
        with fork.Pool(1, set_up, (note, token, done), retries=5) as pool:
            results = pool.map(work, range(self.ITEMS), chunksize=1)
            note("results", [int.from_bytes(r[:8], "little") for r in results])
            pool.close()
            pool.join()
            note("done", list(done))

    def recover(self, note: Note) -> None:
        queue, array = fork.Queue(), fork.Array("d", 20_000)  # all that the next have in common with it is the arena
        queue.put(b"x" * 100)
        queue.get()
        del queue, array

    def judge(self, actors: dict[str, Actor]) -> Faults:
        victim = actors["victim"]
        faults = [fault for results in victim.noted("results") or [[]] for fault in self.judge_results(results)]
        for done in victim.noted("done"):
            faults += [("doubled", f"others have done item {i} {n} times") for i, n in enumerate(done) if n > 1]
        return faults

    def judge_results(self, results: list[int]) -> Faults:
        due = list(range(self.ITEMS))
        if missing := set(due) - set(results):
            return [("lost", f"the items {missing}")]
        if len(results) > len(due):
            return [("doubled", f"{results}")]
        return [("wrong", f"{results}")] if results != due else []


class PoolsOwner(Worker):
    """The process that has the pool dies."""

    name = "pool's owner"
    arms = False

    def act(self, note: Note) -> None:
        with fork.Pool(2) as pool:
            note("results", pool.map(abs, range(self.ITEMS), chunksize=3))
            note("results", [r.get() for r in [pool.apply_async(abs, (i,)) for i in range(self.ITEMS)]])

    def judge(self, actors: dict[str, Actor]) -> Faults:
        return [fault for results in actors["victim"].noted("results") for fault in self.judge_results(results)]


OPERATIONS = [Arrays, Primitives, Start, Spawn, Birth, SpawnedBirth, ServedBirth, Worker, PoolsOwner]
