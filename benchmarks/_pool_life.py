"""The program that `bench_pool_life.py` measures: a main module that imports numpy, and makes pools of 2.

    python _pool_life.py LIBRARY METHOD COUNT [OPTION]

OPTION: an argument of the pool to set, such as warm_start. Prints the milliseconds of each, the program's first one
first. The library is imported by name, so that the other's children do not import it.
"""

import importlib
import sys
import time

import numpy as np


def total(n: int) -> int:
    return int(np.arange(n).sum())


def life(context, options) -> float:  # type: ignore[no-untyped-def]
    """Make a pool, get the first result, close it, join it."""
    start = time.perf_counter()
    pool = context.Pool(2, **options)
    value = pool.apply(total, (1000,))
    pool.close()
    pool.join()
    seconds = time.perf_counter() - start
    if value != 499_500:
        raise RuntimeError(f"the sum is {value}")
    return seconds * 1e3


if __name__ == "__main__":
    library, method, count, *names = sys.argv[1:]
    chosen = importlib.import_module(library).get_context(method)
    print(*(life(chosen, dict.fromkeys(names, True)) for _ in range(int(count))))
