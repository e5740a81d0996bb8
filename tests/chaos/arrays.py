"""Workers are killed at random while arrays go to and from them: nothing of the arena may be left in use.

    python tests/chaos/arrays.py --arrays 1000000 --method fork --seed 7

Rounds of arrays of 72 KB go through a pool with retries as arguments, results, shared arrays and shared results, and
through a queue that is dropped half full; each is checked. After each round, its pool gone, no large block is in use
that was not before. Exit code 0 if all is well; the seed is printed first, and fixes what is drawn, though not how the
kernel schedules it.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from chaos import CREW, PATIENCE, SPANS, TRIES, Killer, check, sound_alarm

import lightwork
import lightwork.arena

ITEMS = 9_000
"""Numbers in an array: 72 KB."""

BATCH = 50
"""Arrays under way at once."""


def add_one(array: Any) -> Any:
    return array + 1


def last(array: Any) -> float:
    return float(array[-1])


def shared(value: float) -> Any:
    return lightwork.ndarray(ITEMS, fill=value)


def full(value: float) -> Any:
    return np.full(ITEMS, value)


def holds(array: Any, value: float) -> None:
    check(array.shape == (ITEMS,), f"an array of shape {array.shape}")
    check(bool((array == value).all()), f"an array of {array.min()} to {array.max()} and not of {value}")


# -- the ways: each sends and checks a batch


def as_arguments(pool: Any, queue: Any) -> None:
    for i, result in enumerate([pool.apply_async(add_one, (full(i),)) for i in range(BATCH)]):
        holds(result.get(), i + 1)


def as_results_of_a_map(pool: Any, queue: Any) -> None:
    for i, array in enumerate(pool.map(full, range(BATCH))):
        holds(array, i)


def as_shared_arguments(pool: Any, queue: Any) -> None:
    array = shared(7)
    results = [pool.apply_async(last, (array[i:],)) for i in range(BATCH)]
    check([r.get() for r in results] == [7] * BATCH, "a shared array has other numbers")


def as_shared_results(pool: Any, queue: Any) -> None:
    for i, array in enumerate(pool.imap(shared, range(BATCH))):
        holds(array, i)


def by_queue(pool: Any, queue: Any) -> None:
    for i in range(BATCH):
        queue.put((i, full(i), shared(i)))
    for _ in range(BATCH // 2):
        i, *arrays = queue.get()
        for array in arrays:
            holds(array, i)


WAYS = [as_arguments, as_results_of_a_map, as_shared_arguments, as_shared_results, by_queue]


def run_round(context: Any, way: Callable[[Any, Any], None], batches: int, dice: random.Random) -> str:
    pool, queue = context.Pool(dice.randint(1, CREW), retries=TRIES), context.Queue()
    killer = Killer(pool, dice, dice.uniform(0.002, 0.02), float("inf"))
    call_off = sound_alarm(pool, PATIENCE + batches)
    killer.start()
    try:
        for _ in range(batches):
            way(pool, queue)
        killer.stop()
        pool.close()
        pool.join()
    finally:
        killer.stop()
        pool.terminate()
        call_off()
    return f"{killer.kills} killed"


def check_given_back(before: int) -> None:
    used = in_use()
    check(used <= before + (CREW + 1) * SPANS, f"{used - before} bytes of the arena are left in use")


def in_use() -> int:
    gc.collect()
    return lightwork.arena.stats().used


def main(arguments: Iterable[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--arrays", type=int, default=100_000, help="in all (default: %(default)s)")
    options.add_argument("--method", choices=["fork", "spawn", "forkserver"], default="fork")
    options.add_argument("--seed", type=int, default=None, help="default: another each time")
    chosen = options.parse_args(None if arguments is None else list(arguments))
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"arrays: {chosen.method}, seed {seed}", flush=True)
    dice = random.Random(seed)
    context = lightwork.get_context(chosen.method)
    batches = max(1, min(200, chosen.arrays // BATCH // len(WAYS)))
    before, sent, number = in_use(), 0, 0
    while sent < chosen.arrays:
        way = WAYS[number % len(WAYS)]
        number += 1
        begin = time.monotonic()
        told = run_round(context, way, batches, random.Random(dice.random()))
        check_given_back(before)
        sent += batches * BATCH
        print(f"round {number}: {way.__name__}, {time.monotonic() - begin:.1f} s, {told}", flush=True)
    print(f"all is well after {sent} arrays")
    return 0


if __name__ == "__main__":
    sys.exit(main())
