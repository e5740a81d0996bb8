"""What a pool's worker does between two tasks. A task is in the queue, in a row, or its outcome is there."""

from __future__ import annotations

from typing import Any

from operation import BOUND, LAST, LATE, Operation, Verdict

from lightwork import _native


class Worker(Operation):
    """Its native calls, in the order of `pool/_worker.py`. Each victim has a row of its own."""

    JOB = 7
    TASKS = (0, 1)

    def __init__(self) -> None:
        self.tasks, self.results = _native.TaskQueue(recalled=True), _native.TaskQueue()
        self.rows = _native.Rows(2)
        for index in self.TASKS:
            self.tasks.put(self.JOB, index, 0, b"", (1, 2))

    def take(self) -> None:
        self.rows.begin(self.victims - 1)
        self.tasks.take(self.rows, self.victims - 1)

    def indices(self, queue: _native.TaskQueue) -> list[int]:
        """Of the job's messages in the queue. Raises TimeoutError if it gives nothing at all."""
        queue.put(self.JOB + 1, 0, 0, b"", LAST)
        found: list[Any] = []
        while not any(job != self.JOB for job, *_ in found):
            if not queue.receive(found.append, BOUND):
                raise TimeoutError
        while queue.receive(found.append, LATE):
            pass
        return [index for job, index, *_ in found if job == self.JOB]

    def check(self) -> Verdict:
        self.tasks.recall(self.rows)
        rows = [self.rows.read(row) for row in range(2)]
        claimed = [index for job, index, *_ in rows if job == self.JOB]
        try:
            queued, replied = self.indices(self.tasks), self.indices(self.results)
        except TimeoutError:
            return Verdict(False, stuck=1)
        return Verdict(
            effect=bool(self.effect(claimed, replied)),
            lost=len({*self.TASKS} - {*claimed, *queued, *replied}),
            doubled=sum(len(found) - len(set(found)) for found in (queued, replied)) + len({*claimed} & {*queued}),
        )

    def effect(self, claimed: list[int], replied: list[int]) -> list[int]:
        raise NotImplementedError


class Claim(Worker):
    """The worker takes a task."""

    def act(self) -> None:
        self.take()

    def effect(self, claimed: list[int], replied: list[int]) -> list[int]:
        return claimed


class Result(Worker):
    """The worker has a task and sends its outcome."""

    def ready(self) -> None:
        self.take()

    def act(self) -> None:
        self.results.reply(self.rows, self.victims - 1, 0, (3, 4))

    def effect(self, claimed: list[int], replied: list[int]) -> list[int]:
        return replied
