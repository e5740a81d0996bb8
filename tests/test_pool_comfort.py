"""Pool: progress bars, random numbers, pools in pools."""

import os
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pool_tasks import SOON, Watched, die, fail, meet_all, square

import lightwork as mp
from lightwork.context import BaseContext
from lightwork.errors import WorkerDied

Run = Callable[..., subprocess.CompletedProcess[str]]
Program = Callable[[str], Path]

MAIN = """
import random, sys
import lightwork as mp

def draw(_):
    return random.random()

def square(x):
    return x * x

def fail(x):
    if x == 3:
        raise KeyError(x)

if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
"""


# -- progress


@pytest.mark.parametrize("chunksize", [None, 1, 7])
def test_progress_counts_items(run: Run, program: Program, method: str, chunksize: int | None) -> None:
    text = f"""
    with context.Pool(2) as pool:
        assert pool.map(square, range(100), {chunksize}, progress=True) == [x * x for x in range(100)]
"""
    done = run(program(MAIN + text), method)
    counts = [int(n) for n in re.findall(r"(\d+)/100 \[", done.stderr)]
    assert counts[0] == 0
    assert counts[-1] == 100
    assert counts == sorted(counts)
    assert done.stderr.endswith("\n")
    assert "square()" in done.stderr
    assert done.stdout == ""


def test_progress_of_other_maps(run: Run, program: Program) -> None:
    text = """
    with context.Pool(2) as pool:
        assert pool.starmap_async(pow, [(2, 3)] * 30, progress=True).get() == [8] * 30
        assert pool.map(square, [], progress=True) == []
        try:
            pool.map(fail, range(10), chunksize=1, progress=True)
        except KeyError:
            print("raised")
    with context.Pool(2, backend="threads") as pool:
        assert pool.map(square, range(50), 4, progress=True)[-1] == 49 * 49
"""
    done = run(program(MAIN + text), "fork")
    assert "30/30 [" in done.stderr
    assert "10/10 [" in done.stderr  # what failed is over, too
    assert "50/50 [" in done.stderr
    assert done.stdout == "raised\n"


# -- random numbers


def draw(_: object) -> tuple[float, float]:
    import numpy as np

    return random.random(), float(np.random.random())


def draw_one(_: object) -> float:
    return random.random()


@pytest.mark.parametrize("starred", [False, True])
def test_random_numbers_depend_on_seed_and_item_alone(ctx: BaseContext, starred: bool) -> None:
    import numpy as np  # noqa: F401 - so that workers may expect it

    items: Any = [(x,) for x in range(24)] if starred else range(24)
    found = []
    for workers, chunksize in ((1, 24), (2, 1), (2, 5), (3, None)):
        with ctx.Pool(workers) as pool:
            meet_all(ctx, pool, workers)
            found.append((pool.starmap if starred else pool.map)(draw, items, chunksize, seed=7))
            other = (pool.starmap if starred else pool.map)(draw, items, chunksize, seed=8)
    assert found[1:] == found[:-1]
    assert len({number for pair in found[0] + other for number in pair}) == 4 * 24


def test_random_numbers_do_not_depend_on_what_a_worker_has_imported(run: Run, program: Program, method: str) -> None:
    text = """
    with context.Pool(1) as pool:
        before = pool.map(draw, range(3), seed=7)
        assert pool.apply(eval, ("__import__('numpy').__name__",)) == "numpy"
        assert pool.map(draw, range(3), seed=7) == before
"""
    run(program(MAIN + text), method)


def test_the_parents_random_numbers_are_its_own(ctx: BaseContext) -> None:
    random.seed(3)
    expected = [random.random() for _ in range(3)]
    random.seed(3)
    with ctx.Pool(1) as pool:
        assert pool.map(draw_one, range(3), seed=1) != expected
    assert [random.random() for _ in range(3)] == expected


def test_seed_keeps_errors_and_names(ctx: BaseContext) -> None:
    with ctx.Pool(1) as pool:
        with pytest.raises(KeyError, match="2"):
            pool.map(fail, [2], seed=1)
        with pytest.raises(WorkerDied, match=r"item 0 of _exit\(\)"):
            pool.starmap(os._exit, [(1,)], seed=1)


# -- pools in pools


def sum_of_squares(count: int) -> int:
    with mp.Pool(2) as pool:
        return sum(pool.map(square, range(count)))


def start_process(x: int) -> tuple[int, int]:
    process = mp.Process(target=square, args=(x,))
    process.start()
    return process.result(SOON), process.pid


def nested_twice(count: int) -> list[int]:
    with mp.Pool(1) as pool:
        return pool.map(sum_of_squares, [count])


def test_tasks_may_have_pools_and_processes(ctx: BaseContext) -> None:
    with ctx.Pool(2) as pool:
        assert pool.map(sum_of_squares, [10, 20, 30], chunksize=1) == [285, 2470, 8555]
        assert pool.apply(nested_twice, (10,)) == [285]
        result, child = pool.apply(start_process, (7,))
        assert result == 49
        assert child not in meet_all(ctx, pool) | {os.getpid()}


def leave_a_pool_and_tell(pids: Any, go: Any) -> None:
    pool = mp.Pool(2)
    for number in meet_all(mp.get_context(), pool):
        pids.put(number)
    assert go.wait(SOON)
    die()


def test_a_nested_pools_workers_die_with_it(ctx: BaseContext) -> None:
    pids, go = ctx.SimpleQueue(), ctx.Event()
    with ctx.Pool(1) as pool:
        result = pool.apply_async(leave_a_pool_and_tell, (pids, go))
        inner = Watched({pids.get(), pids.get()})
        go.set()
        with pytest.raises(WorkerDied):
            result.get(SOON)
        assert inner.end()
