"""What makes a `map` comfortable: a progress bar, and random numbers that do not depend on the workers."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import Any

from .. import _native
from ._jobs import MapResult
from ._wire import KIND, MAP


def show_progress(job: MapResult[Any], total: int, label: str) -> None:
    """Show a bar (tqdm's; in a notebook a widget) that moves as pieces of the job are settled."""
    from tqdm.auto import tqdm

    bar = tqdm(total=total, desc=label, unit="item")
    lock = threading.Lock()

    def advance(items: int) -> None:
        bar.update(items)
        if bar.n >= total:
            bar.close()

    job.on_progress = partial(_native.holding, lock, advance)
    job.attended = True  # somebody has to read outcomes even if nobody waits for them


class Seeded:
    """A function of numbered items that seeds the random generators before each."""

    def __init__(self, func: Callable[..., Any], seed: int, star: bool) -> None:
        self._func = func
        self._seed = seed
        self._star = star
        self._numpy = "numpy" in sys.modules  # then tasks may use it, also in a worker that has yet to import it

    def __call__(self, number: int, item: Any) -> Any:
        random.seed(f"{self._seed}:{number}")
        other = random.getrandbits(32)  # drawn in any case: what a worker has imported changes nothing
        if self._numpy or "numpy" in sys.modules:
            import_module("numpy").random.seed(other)
        return self._func(*item) if self._star else self._func(item)


def seeded(func: Callable[..., Any], items: Iterable[Any], seed: int, tag: int) -> tuple[Any, Any, int]:
    """Function, items and tag of the same map with seeds."""
    from ._wire import STARMAP

    star = tag & KIND != MAP
    return Seeded(func, seed, star), list(enumerate(items)), STARMAP | tag & ~KIND
