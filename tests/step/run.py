"""Kill a process at every machine instruction of ours that an operation executes, and see what the others get.

    python tests/step/run.py                      # all operations, every instruction
    python tests/step/run.py put get --every 50   # a quick sample of two
    python tests/step/run.py --pairs 100          # a second death, in the recovery from the first

README.md beside this says what is checked. Exit code 0 if nothing was lost, doubled, torn, stuck or leaked, else 1.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from operation import Operation, Verdict
from operations import OPERATIONS
from tracer import Victim, our_code, unable

import lightwork.arena
import lightwork.errors

WARM_UP = 3
"""Whole runs before the record: by then each goes the same way."""

FIRST_DEATHS = 8
"""Deaths before the arena is measured: by then it has the spans that the processes of a run need. (Spans of the dead
are kept for the next; more deaths do not make them more.)"""


@dataclass
class Tally:
    instructions: int = 0
    kills: int = 0
    missed: int = 0
    """Runs that ended without passing the instruction: their way was another than the recorded one's."""
    lost: int = 0
    doubled: int = 0
    torn: int = 0
    """Deaths after which the operation had not happened, although it had after a death at an earlier instruction."""
    stuck: int = 0
    leaked: int = 0
    """Bytes beyond what is documented."""

    @property
    def is_well(self) -> bool:
        return not any((self.lost, self.doubled, self.torn, self.stuck, self.leaked))

    def add(self, verdict: Verdict) -> bool:
        """Returns whether it is well."""
        self.lost += verdict.lost
        self.doubled += verdict.doubled
        self.stuck += verdict.stuck
        return not any((verdict.lost, verdict.doubled, verdict.stuck))


class Run:
    """An operation, and what is done to its victims."""

    def __init__(self, make: type[Operation]) -> None:
        self.operation = make()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exc: object) -> None:
        self.operation.end()
        del self.operation
        lightwork.arena.stats()  # frees what waits for a look at the living, or the next run would need room besides

    def victim(self) -> Victim:
        self.operation.victims += 1
        return Victim(self.operation.ready, self.operation.act)


def record(make: type[Operation]) -> list[int]:
    """Addresses of one run in which nobody is killed."""
    with Run(make) as run:
        passed = run.victim().trace(our_code())
        verdict = run.operation.check()  # also so that the next run finds what it does after a death
        if not Tally().add(verdict):
            raise RuntimeError(f"after a run to the end: {verdict}")
        return passed


def kill_at(make: type[Operation], address: int, times: int) -> tuple[Verdict, bool]:
    """Kill at an instruction; also returns whether the operation came to it."""
    with Run(make) as run:
        victim = run.victim()
        there = victim.run_to(address, times)
        victim.kill()
        return run.operation.check(), there


def kill_two(make: type[Operation], first: tuple[int, int], second: int) -> Verdict:
    """Kill at an instruction, and another process, which finds what that leaves, before its instruction `second`."""
    with Run(make) as run:
        victim = run.victim()
        victim.run_to(*first)
        victim.kill()
        victim = run.victim()
        victim.trace(our_code(), second)
        victim.kill()
        return run.operation.check()


def places(passed: list[int]) -> Iterator[tuple[int, int]]:
    """Of each recorded instruction: its address, and how many times it had been executed with this one."""
    times: Counter[int] = Counter()
    for address in passed:
        times[address] += 1
        yield address, times[address]


def used() -> int:
    gc.collect()
    return lightwork.arena.stats().used


def warm_up(make: type[Operation]) -> tuple[list[tuple[int, int]], int]:
    """The places of the record, and how much of the arena is in use."""
    for _ in range(WARM_UP):
        record(make)
    passed = list(places(record(make)))
    for i in range(FIRST_DEATHS):
        kill_at(make, *passed[i * len(passed) // FIRST_DEATHS])
    return passed, used()


def every_instruction(make: type[Operation], every: int) -> Tally:
    passed, base = warm_up(make)
    tally = Tally(instructions=len(passed))
    happened = False
    for k, (address, times) in enumerate(passed):
        if k % every:
            continue
        verdict, there = kill_at(make, address, times)
        tally.kills += there
        tally.missed += not there
        torn = there and happened and not verdict.effect
        tally.torn += torn
        happened |= there and verdict.effect
        if not tally.add(verdict) or torn:
            print(f"  instruction {k} at {address - our_code().start:#x}, time {times}: {verdict}, {torn=}", flush=True)
    tally.leaked = max(0, used() - base - make.documented)
    return tally


def random_pairs(make: type[Operation], pairs: int, dice: random.Random) -> Tally:
    passed, base = warm_up(make)
    tally = Tally(instructions=len(passed), kills=2 * pairs)
    for _ in range(pairs):
        first, second = dice.randrange(len(passed)), dice.randrange(len(passed) * 3 // 2)
        verdict = kill_two(make, passed[first], second)
        if not tally.add(verdict):
            print(f"  instructions {first} and {second}: {verdict}", flush=True)
    tally.leaked = max(0, used() - base - make.documented)
    return tally


def main(arguments: Iterable[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("operations", nargs="*", metavar="OPERATION", help=f"default: all of {', '.join(OPERATIONS)}")
    options.add_argument("--every", type=int, default=1, metavar="K", help="only each Kth instruction")
    options.add_argument("--pairs", type=int, metavar="N", help="N pairs of deaths at random instructions instead")
    options.add_argument("--seed", type=int, default=0, help="of the pairs (default: %(default)s)")
    chosen = options.parse_args(None if arguments is None else list(arguments))
    if unknown := [name for name in chosen.operations if name not in OPERATIONS]:
        options.error(f"there is no operation {unknown[0]!r}; there are {', '.join(OPERATIONS)}")
    if chosen.every < 1 or (chosen.pairs is not None and chosen.pairs < 1):
        options.error("K and N have to be at least 1")
    if reason := unable():
        options.error(reason)
    warnings.simplefilter("ignore", lightwork.errors.OwnerDiedWarning)
    columns = [field.name for field in fields(Tally)]
    print(f"{'operation':18}", *(f"{name:>12}" for name in columns), f"{'seconds':>8}", flush=True)
    well = True
    for name in chosen.operations or OPERATIONS:
        make, begun = OPERATIONS[name], time.monotonic()
        if chosen.pairs is None:
            tally = every_instruction(make, chosen.every)
        elif make.repeats:
            tally = random_pairs(make, chosen.pairs, random.Random(chosen.seed))
        else:
            continue
        well &= tally.is_well
        figures = [f"{getattr(tally, column):12}" for column in columns]
        print(f"{name:18}", *figures, f"{time.monotonic() - begun:8.1f}", flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
