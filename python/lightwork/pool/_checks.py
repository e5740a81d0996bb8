"""What callers may say: each check returns the value, or raises an error that names the argument."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from numbers import Real
from typing import Any


def whole(name: str, value: int) -> int:
    """A whole number. Raises TypeError if it is none."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} has to be an int, not {value!r}") from None


def count(name: str, value: int, least: int = 1) -> int:
    """A whole number. Raises TypeError if it is none, ValueError if it is less than `least`."""
    number = whole(name, value)
    if number < least:
        raise ValueError(f"{name} has to be at least {least}, not {value!r}")
    return number


def positive(name: str, unit: str, value: float | None) -> float | None:
    """A number of some unit, or None for no limit. Raises TypeError if it is no number, ValueError if it is not
    positive."""
    if value is None:
        return None
    if not isinstance(value, Real):
        raise TypeError(f"{name} has to be a number of {unit} or None, not {value!r}")
    if not value > 0:
        raise ValueError(f"{name} has to be a positive number of {unit} or None, not {value!r}")
    return value


def timeout(value: float | None) -> float | None:
    """Seconds that a call may take, or None."""
    return positive("timeout", "seconds", value)


def memory_limit(value: int | None) -> int | None:
    """Bytes that a worker may use, or None."""
    limit = positive("memory_limit", "bytes", value)
    return None if limit is None or limit == math.inf else math.ceil(limit)


def initializer(value: Callable[..., object] | None) -> Callable[..., object] | None:
    """A function or None. Raises TypeError for anything else."""
    if value is not None and not callable(value):
        raise TypeError(f"initializer has to be callable or None, not {value!r}")
    return value


def context(value: Any) -> Any:
    """Something that makes processes, or None. Raises TypeError for anything else, such as a start method's name."""
    if value is not None and not hasattr(value, "Process"):
        raise TypeError(f"a context is what get_context() returns, or None, not {value!r}")
    return value
