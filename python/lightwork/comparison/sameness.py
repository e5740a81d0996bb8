"""Do two ways give the same results?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..errors import summary

CLOSE = 1e-9
"""Floats that differ by less, relatively, differ as sums do that are added up in another order."""


#: Of a class without an `__eq__` of its own.
_NO_EQ: Any = object.__eq__


class Likeness(Enum):
    """How two results compare, what is worst last."""

    CLOSE = "close"
    UNKNOWN = "unknown"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Difference:
    """What sets two results apart, in words."""

    likeness: Likeness
    text: str


def difference(expected: Sequence[Any], found: Sequence[Any]) -> Difference | None:
    """The worst difference between the results of two ways; None if there is none.

    Equal is what `==` calls so. Besides, NaN equals NaN, and arrays are equal if all their elements are. Floats that
    are close, in lists, tuples and dicts, too, are told apart from different ones.
    """
    worst: Difference | None = None
    for number, (one, other) in enumerate(zip(expected, found, strict=True)):
        apart = _apart(one, other)
        if apart is not None and (worst is None or _severity(apart) > _severity(worst)):
            worst = Difference(apart.likeness, f"result {number} {apart.text}")
    return worst


def _severity(difference: Difference) -> int:
    return list(Likeness).index(difference.likeness)


def _apart(one: Any, other: Any) -> Difference | None:
    if _is_array(one) and _is_array(other):
        return _arrays_apart(one, other)
    try:
        if bool(one == other):
            return None
    except Exception as e:
        if not _is_nested(one, other):
            return Difference(Likeness.UNKNOWN, f"cannot be compared: == raised {summary(e)}")
    if isinstance(one, float | complex) and isinstance(other, float | complex):
        return _numbers_apart(one, other)
    if _is_nested(one, other):
        return _parts_apart(one, other)
    if type(one) is type(other) and type(one).__eq__ is _NO_EQ:
        name = type(one).__qualname__
        return Difference(Likeness.UNKNOWN, f"cannot be compared: the type {name} has no __eq__ of its own")
    return Difference(Likeness.DIFFERENT, f"is {_short(other)} instead of {_short(one)}")


def _is_array(value: Any) -> bool:
    return any(cls.__module__ == "numpy" and cls.__name__ == "ndarray" for cls in type(value).__mro__)


def _arrays_apart(one: Any, other: Any) -> Difference | None:
    if one.shape != other.shape or one.dtype != other.dtype:
        text = f"is an array {other.dtype}{other.shape} instead of {one.dtype}{one.shape}"
        return Difference(Likeness.DIFFERENT, text)
    unequal = (one != other) & ((one == one) | (other == other))
    if not unequal.any():
        return None
    if one.dtype.kind in "fc":
        at = abs(one - other)[unequal].argmax()
        return _numbers_apart(one[unequal][at].item(), other[unequal][at].item())
    return Difference(Likeness.DIFFERENT, f"is an array with {int(unequal.sum())} other elements")


def _numbers_apart(one: complex, other: complex) -> Difference | None:
    if one != one and other != other:
        return None
    by = abs(one - other)
    if not math.isfinite(by) or by > CLOSE * max(abs(one), abs(other)):
        return Difference(Likeness.DIFFERENT, f"is {other!r} instead of {one!r}")
    return Difference(Likeness.CLOSE, f"is {other!r} instead of {one!r}: they differ by {by:.1g}")


def _is_nested(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or not isinstance(one, list | tuple | Mapping):
        return False
    return one.keys() == other.keys() if isinstance(one, Mapping) else len(one) == len(other)


def _parts_apart(one: Any, other: Any) -> Difference | None:
    pairs = [(one[k], other[k]) for k in one] if isinstance(one, Mapping) else list(zip(one, other, strict=True))
    found = [apart for a, b in pairs if (apart := _apart(a, b)) is not None]
    if not found:
        return None
    worst = max(found, key=_severity)
    return Difference(worst.likeness, f"has a part that {worst.text}")


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__qualname__}"
    return text if len(text) <= 40 else f"{text[:37]}..."
