"""Workers are killed at random while a pool works: no item may be lost, wrong or doubled, and nothing stays behind.

    python tests/chaos/chaos.py --seconds 60 --method fork --seed 7

Runs rounds until the time is over; a round has a new pool and `--items` items, which go through map, imap,
imap_unordered, apply_async and submit, each in a thread of its own, while one more thread sends SIGKILL to workers
every few milliseconds. Rounds alternate:

    with retries       each item's result is right and comes once
    without retries    each item has its right result, once, or its own WorkerDied; none is begun twice, and no more
                       items die than workers were killed (map is left out: it fails as a whole)

After each round processes, threads and descriptors are what they were after a quiet one, and of arena memory no more is
used than was once needed. A round that does not end prints the stacks of the parent and of all workers. Exit code 0 if
all is well; the seed is printed first, and fixes what is drawn (sizes, gaps, victims), though not how the kernel
schedules it.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightwork
import lightwork.arena
from lightwork.errors import WorkerDied
from lightwork.pool import Pool

PATIENCE = 60.0
"""Seconds that the rest of a round may take after the last kill: it takes less than one, or for ever."""

TRIES = 10_000
"""Retries that no item uses up."""

SPANS = 37 * 64 * 1024
"""Bytes of arena that a process has with one span of blocks of each size (`src/arena/heap.rs`). Spans of the dead are
kept for the next who need some, so that many for each worker of the largest crew, and for us, are no leak."""

CREW = 5
"""The most workers that a round has."""

UNREADY = 0.1
"""Part of the kills after which the next victim may be a worker that is only starting. No two of these in a row: under
spawn none would ever start, and ten such deaths break the pool, by design."""


# -- in the workers

begun: Any = None


def set_up(counts: Any) -> None:
    global begun
    begun = counts
    faulthandler.register(signal.SIGUSR1, all_threads=True)


def work(number: int) -> int:
    begun[number] += 1  # no other worker has this item now
    if number % 101 == 0:
        time.sleep(0.001)  # some items are long enough to be killed in the middle of them
    return expected(number)


def expected(number: int) -> int:
    return 3 * number + 1


# -- the faces: each gives the results in order, None where the item's worker died


Results = list[int | None]


def by_map(pool: Pool, numbers: range) -> Results:
    return list(pool.map(work, numbers))


def by_imap(pool: Pool, numbers: range) -> Results:
    results = pool.imap(work, numbers, buffersize=200)
    return [outcome(lambda: next(results)) for _ in numbers]


def by_imap_in_chunks(pool: Pool, numbers: range) -> Results:
    return list(pool.imap(work, numbers, chunksize=7))


def by_imap_unordered(pool: Pool, numbers: range) -> Results:
    results = pool.imap_unordered(work, numbers)
    found = [outcome(lambda: next(results)) for _ in numbers]
    for surplus in results:
        raise AssertionError(f"imap_unordered gives {surplus} after the last item")
    values = sorted(value for value in found if value is not None)
    check(len(set(values)) == len(values), "imap_unordered gives an item twice")
    there = set(values)
    return [expected(number) if expected(number) in there else None for number in numbers]


def by_apply_async(pool: Pool, numbers: range) -> Results:
    results = [pool.apply_async(work, (number,)) for number in numbers]
    return [outcome(result.get) for result in results]


def by_callback(pool: Pool, numbers: range) -> Results:
    told: list[int] = []
    results = [pool.apply_async(work, (n,), callback=told.append, error_callback=told.append) for n in numbers]
    found = [outcome(result.get) for result in results]
    check(len(told) == len(numbers), f"{len(told)} callbacks for {len(numbers)} items")
    return found


def by_submit(pool: Pool, numbers: range) -> Results:
    futures = [pool.submit(work, number) for number in numbers]
    return [outcome(future.result) for future in futures]


Face = Callable[[Pool, range], Results]
SINGLY: list[Face] = [by_imap, by_imap_unordered, by_apply_async, by_callback, by_submit]
"""Faces by which an item's death is that item's."""
IN_CHUNKS: list[Face] = [by_map, by_imap_in_chunks]


def outcome(get: Callable[[], int]) -> int | None:
    try:
        return get()
    except WorkerDied:
        return None


# -- a round


@dataclass
class Plan:
    """What a round draws."""

    workers: int
    retries: int
    maxtasks: int | None
    gap: float
    """Seconds between kills, on average."""
    close: bool
    """How the pool is ended: closed, or terminated."""

    @classmethod
    def draw(cls, dice: random.Random, number: int, items: int) -> Plan:
        return cls(
            workers=dice.randint(1, CREW),
            retries=TRIES * (number % 2),
            maxtasks=dice.choice([None, None, max(1, items // 50)]),  # few more starts than the kills cause
            gap=dice.uniform(0.001, 0.008),
            close=dice.random() < 0.5,
        )


class Killer(threading.Thread):
    """Kills workers of a pool until it is told to stop, or until the time is over."""

    def __init__(self, pool: Pool, dice: random.Random, gap: float, until: float) -> None:
        super().__init__(name="killer")
        self.kills = 0
        self._pool = pool
        self._dice = dice
        self._gap = gap
        self._until = until
        self._told = threading.Event()

    def run(self) -> None:
        any_worker = False
        while not self._told.wait(self._dice.expovariate(1 / self._gap)) and time.monotonic() < self._until:
            workers = list(self._pool._pool)
            if not any_worker:
                workers = [worker for worker in workers if self._is_ready(worker)]
            if workers and kill(self._dice.choice(workers), self._pool._pool):
                self.kills += 1
                any_worker = not any_worker and self._dice.random() < UNREADY

    def stop(self) -> None:
        self._told.set()
        self.join()

    def _is_ready(self, worker: Any) -> bool:
        crew: Any = self._pool._engine.crew
        row = crew._row_of.get(worker)
        return row is not None and crew._rows.read(row)[4]


def kill(worker: Any, workers: list[Any]) -> bool:
    """Kill one of the workers, and never a process that has its number after it."""
    try:
        fd = os.pidfd_open(worker.pid)
    except ProcessLookupError:
        return False
    try:
        if worker not in workers:
            return False
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)


def run_round(context: Any, plan: Plan, items: int, dice: random.Random, until: float) -> str:
    """Run one; returns a line about it. Raises AssertionError, or what a face raises, if something is wrong."""
    faces = SINGLY + IN_CHUNKS if plan.retries else SINGLY
    share = items // len(faces)
    counts = lightwork.RawArray("i", share * len(faces))
    pool = context.Pool(plan.workers, set_up, (counts,), maxtasksperchild=plan.maxtasks, retries=plan.retries)
    killer = Killer(pool, dice, plan.gap, until)
    call_off = sound_alarm(pool, max(0.0, until - time.monotonic()) + PATIENCE)
    killer.start()
    try:
        parts = [range(i * share, (i + 1) * share) for i in range(len(faces))]
        runs = [lightwork.Thread(target=face, args=(pool, part)) for face, part in zip(faces, parts, strict=True)]
        for run in runs:
            run.start()
        found = [run.result() for run in runs]
        killer.stop()
        if plan.close:
            pool.close()
        else:
            pool.terminate()
        pool.join()
    finally:
        killer.stop()
        pool.terminate()
        call_off()
    died = 0
    for face, part, results in zip(faces, parts, found, strict=True):
        died += judge(face.__name__, part, results, counts, bool(plan.retries))
    check(died <= killer.kills, f"{died} items died with {killer.kills} workers")
    return f"{killer.kills} killed, {died} items died"


def judge(face: str, numbers: range, results: Results, counts: Any, retried: bool) -> int:
    """Are all results right? Returns how many items died."""
    check(len(results) == len(numbers), f"{face}: {len(results)} results for {len(numbers)} items")
    died = 0
    for number, result in zip(numbers, results, strict=True):
        if result is None:
            died += 1
            check(not retried, f"{face}: item {number} died in spite of its retries")
        else:
            check(result == expected(number), f"{face}: item {number} has {result}, not {expected(number)}")
            check(counts[number] >= 1, f"{face}: item {number} has a result and was never begun")
        check(retried or counts[number] <= 1, f"{face}: item {number} was begun {counts[number]} times")
    return died


def check(truth: bool, otherwise: str) -> None:
    if not truth:
        raise AssertionError(otherwise)


def sound_alarm(pool: Pool, seconds: float) -> Callable[[], None]:
    """After so many seconds print all stacks, the workers' first, and exit. Returns what calls it off."""

    def tell_workers() -> None:
        crew: Any = pool._engine.crew
        print(f"\nthe round hangs with {len(pool._cache)} jobs; workers, and what their rows say:", file=sys.stderr)
        for worker, row in list(crew._row_of.items()):
            print(worker, crew._rows.read(row), file=sys.stderr)
            if crew._rows.read(row)[4]:  # else it may not have come to `set_up`
                os.kill(worker.pid, signal.SIGUSR1)

    timer = threading.Timer(seconds, tell_workers)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + 2, exit=True)  # needs no GIL

    def call_off() -> None:
        faulthandler.cancel_dump_traceback_later()
        timer.cancel()
        timer.join()

    return call_off


# -- what is left behind


@dataclass
class Holdings:
    """What this process holds."""

    descriptors: int
    threads: int
    children: int
    arena: int

    @classmethod
    def now(cls) -> Holdings:
        lightwork.active_children()  # lets go of those that have ended
        gc.collect()
        return cls(
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
            sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children")),
            lightwork.arena.stats().used,
        )

    def exceeds(self, limit: Holdings) -> bool:
        return any(mine > theirs for mine, theirs in zip(vars(self).values(), vars(limit).values(), strict=True))


def check_nothing_left(quiet: Holdings) -> None:
    limit = replace(quiet, arena=quiet.arena + (CREW + 1) * SPANS)
    end = time.monotonic() + 5  # some of it ends a moment later
    while (held := Holdings.now()).exceeds(limit) and time.monotonic() < end:
        time.sleep(0.05)  # the kernel tells nobody when it has let go of a descriptor
    files = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    check(not held.exceeds(limit), f"left behind: {held}, after a quiet round it was {quiet}; files: {files}")


def main(arguments: Iterable[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=60, help="default: %(default)s")
    options.add_argument("--method", choices=["fork", "spawn", "forkserver"], default="fork")
    options.add_argument("--seed", type=int, default=None, help="default: another each time")
    options.add_argument("--items", type=int, default=100_000, help="per round (default: %(default)s)")
    chosen = options.parse_args(None if arguments is None else list(arguments))
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"chaos: {chosen.method}, seed {seed}", flush=True)
    dice = random.Random(seed)
    context = lightwork.get_context(chosen.method)
    start = time.monotonic()
    until = start + chosen.seconds
    for number in range(2):  # quiet ones: of both kinds, and nobody is killed
        run_round(context, Plan(2, TRIES * number, None, 1.0, True), 2_000, dice, start)
    quiet = Holdings.now()
    rounds = 0
    while rounds < 2 or time.monotonic() < until:
        plan = Plan.draw(dice, rounds, chosen.items)
        rounds += 1
        print(f"round {rounds}: {plan}", end="", flush=True)
        begin = time.monotonic()
        # The first has half of the time, so that there is a second, of the other kind.
        kill_until = until if rounds > 1 else start + chosen.seconds / 2
        told = run_round(context, plan, chosen.items, random.Random(dice.random()), kill_until)
        check_nothing_left(quiet)
        print(f": {time.monotonic() - begin:.1f} s, {told}", flush=True)
    print(f"all is well after {rounds} rounds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
