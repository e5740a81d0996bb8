"""What to compare, as the command line names it: a function, and what to call it with."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import LightworkError, summary


class BadTarget(LightworkError):
    """The command line names no function, or nothing that it could be called with."""


@dataclass(frozen=True)
class Target:
    """A function, and the module whose names its items may use."""

    func: Callable[..., Any]
    module: ModuleType

    def evaluate(self, expression: str, n: float | None) -> Any:
        """The value of a Python expression among the names of the module; `n` is the scale. Raises BadTarget."""
        names = dict(vars(self.module))
        if n is not None:
            names["n"] = n
        try:
            return eval(compile(expression, "<items>", "eval"), names)
        except (Exception, SystemExit) as e:
            hint = "; --scale gives n a value" if isinstance(e, NameError) and e.name == "n" else ""
            raise BadTarget(f"cannot evaluate {expression!r}: {summary(e)}{hint}") from e


def load(name: str) -> Target:
    """The target of `package.module:function` or `path/to/file.py:function`. Raises BadTarget."""
    place, colon, path = name.rpartition(":")
    if not colon or not place or not path:
        raise BadTarget(f"{name!r} names no function: write package.module:function or path/to/file.py:function")
    module = _from_file(Path(place)) if place.endswith(".py") else _imported(place, os.getcwd())
    found: Any = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise BadTarget(f"there is no {path!r} in {place}{_what_there_is(module)}") from None
    if not callable(found):
        raise BadTarget(f"{name} is a {type(found).__qualname__}, which cannot be called")
    return Target(found, module)


def _from_file(path: Path) -> ModuleType:
    """The module of a file, imported by its name: so that workers, which may have to import it too, find it."""
    if not path.is_file():
        raise BadTarget(f"there is no file {str(path)!r}")
    module = _imported(path.stem, str(path.parent.resolve()))
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise BadTarget(f"there is another module of the name {path.stem!r} ({module.__file__}): rename {path}")
    return module


def _imported(name: str, folder: str) -> ModuleType:
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as e:
        if isinstance(e, ModuleNotFoundError) and e.name is not None and f"{name}.".startswith(f"{e.name}."):
            raise BadTarget(f"there is no module {e.name!r}") from None
        raise BadTarget(f"cannot import {name}: {summary(e)}") from e


def _what_there_is(module: ModuleType) -> str:
    functions: Sequence[str] = [
        name
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return f"; it has {', '.join(functions[:10])}" if functions else ""
