"""The work that is measured: section 4 of the tutorial."""

from __future__ import annotations

from typing import Any, Protocol

FORMULA = "res += i + i**2 + i**3"


class Sink(Protocol):
    """Where a job leaves its result: any queue."""

    def put(self, item: Any, /) -> object: ...


def job(q: Sink, n: int) -> None:
    """Put the sum of i + i**2 + i**3 over 0 <= i < n into `q`.

    Pure Python on purpose: it holds the interpreter lock from beginning to end, so threads cannot help it. It stands at
    the top level of an importable module because a spawned child finds it by name.
    """
    res = 0
    for i in range(n):
        res += i + i**2 + i**3
    q.put(res)
