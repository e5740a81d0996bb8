"""The work that is measured where no other is named: section 4 of the tutorial."""

from __future__ import annotations

FORMULA = "res += i + i**2 + i**3"


def job(n: int) -> int:
    """The sum of i + i**2 + i**3 over 0 <= i < n.

    Pure Python on purpose: it holds the interpreter lock from beginning to end, so threads cannot help it. It stands at
    the top level of an importable module because a spawned child finds it by name.
    """
    res = 0
    for i in range(n):
        res += i + i**2 + i**3
    return res
