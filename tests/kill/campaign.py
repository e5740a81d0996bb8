"""All cases of some operations, and the table of what came of them."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from actor import names
from operation import Operation
from stage import FAULTS, Case, Outcome, run

#: A death at a point is tried at its first passages: a ring that grows, the second of three messages.
PASSAGES = 3
RECOVERY_PASSAGES = 2

#: Points that no operation comes to, and why.
UNREACHABLE = {
    "members.join.3": "two threads have to become a member at once, and do so attached to the interpreter",
}

#: Cases of each operation that a sample has, of one death and of two.
SAMPLE = 2


class Campaign:
    def __init__(self, operations: list[type[Operation]], dice: random.Random | None = None) -> None:
        self._operations = operations
        self._dice = dice
        #: Deaths by point.
        self._deaths: Counter[str] = Counter()
        self._bad: list[tuple[Case, Outcome]] = []

    def run_one(self, case: Case) -> int:
        operation = next(operation for operation in self._operations if operation.name == case.operation)
        outcome = run(operation(), case)
        print(f"{case}: {'reached' if outcome.reached else 'not reached'}")
        for fault, what in outcome.faults:
            print(f"    {fault}: {what}")
        for role, passed in (("victim", outcome.victim), ("recoverer", outcome.recoverer)):
            print(f"{role} passed: {passed}")
        return 1 if outcome.faults else 0

    def run(self, complete: bool) -> int:
        """Run all; returns the exit code. `complete`: each point has to be some process's end."""
        start = time.monotonic()
        width = max(len(operation.name) for operation in self._operations)
        print(" " * width, *(f"{word:>8}" for word in ("points", "cases", "missed", *FAULTS, "seconds")))
        for operation in self._operations:
            begun = time.monotonic()
            before = self._deaths.copy()
            count, missed, faults = self._run_all_of(operation)
            points = len(self._deaths - before)
            cells = (points, count, missed, *(faults[fault] for fault in FAULTS), round(time.monotonic() - begun))
            print(f"{operation.name:{width}}", *(f"{cell:8}" for cell in cells), flush=True)
        for case, outcome in self._bad:
            print(f"\n{case}:")
            for fault, what in outcome.faults:
                print(f"    {fault}: {what}")
        never = [name for name in names() if not self._deaths[name] and name not in UNREACHABLE]
        if complete and never:
            print(f"\nno process died at {', '.join(never)}")
        deaths = sum(self._deaths.values())
        print(f"{deaths} deaths at {len(self._deaths)} of {len(names())} points in {time.monotonic() - start:.0f} s")
        return 1 if self._bad or (complete and never) else 0

    def _run_all_of(self, operation: type[Operation]) -> tuple[int, int, Counter[str]]:
        """How many cases there were, how many did not come to their points, and the faults."""
        count = missed = 0
        faults: Counter[str] = Counter()
        for case, outcome in self._cases(operation):
            count += 1
            if outcome.faults:
                self._bad.append((case, outcome))
            if not outcome.reached:
                missed += 1
            else:
                self._deaths.update(point for point in (case.point, case.then) if point)
            faults.update({fault for fault, _ in outcome.faults})
        return count, missed, faults

    def _cases(self, operation: type[Operation]) -> Iterator[tuple[Case, Outcome]]:
        quiet = Case(operation.name)
        calm = run(operation(), quiet)
        yield quiet, calm
        for case in self._some_of(_deaths_of_the_second(quiet, Counter(calm.recoverer))):
            yield case, run(operation(), case)
        firsts = [Case(operation.name, p, n) for p, n in _passages(calm.victim, PASSAGES)]
        for case in self._some_of(firsts):
            outcome = run(operation(), case)
            yield case, outcome
            # What the recoverer passes more than without a death is the recovery.
            recovery = Counter(outcome.recoverer)
            recovery.subtract(calm.recoverer)
            if case.nth > 1 or not outcome.reached:
                continue
            for then in self._some_of(_deaths_of_the_second(case, recovery)):
                yield then, run(operation(), then)

    def _some_of(self, cases: list[Case]) -> list[Case]:
        if self._dice is None:
            return cases
        return self._dice.sample(cases, min(SAMPLE, len(cases)))


def _deaths_of_the_second(first: Case, passed: Counter[str]) -> list[Case]:
    """The cases in which the recoverer dies, too."""
    return [replace(first, then=p, then_nth=n) for p, n in _passages(passed, RECOVERY_PASSAGES)]


def _passages(passed: dict[str, int], most: int) -> list[tuple[str, int]]:
    return [(point, n + 1) for point, count in passed.items() for n in range(min(count, most))]
