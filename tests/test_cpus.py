"""How many processors a program may use, and how pools share them with native libraries."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pool_tasks import SOON

import lightwork as mp
import lightwork.cpus
from lightwork.context import BaseContext

Run = Callable[..., subprocess.CompletedProcess[str]]
Program = Callable[[str], Path]

MAIN = """
import os, sys
import lightwork as mp

def setting(name):
    return os.environ.get(name)

if __name__ == "__main__":
    context = mp.get_context(sys.argv[1])
"""

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture
def own_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name in list(os.environ):
        if name.endswith("_NUM_THREADS"):
            monkeypatch.delenv(name)
    yield monkeypatch


def test_native_threads_are_shared_among_workers(
    run: Run, program: Program, method: str, own_settings: pytest.MonkeyPatch
) -> None:
    text = f"""
    for workers in (1, 4):
        with context.Pool(workers) as pool:
            print(*pool.map(setting, {VARIABLES}))
    assert setting("OMP_NUM_THREADS") is None
"""
    done = run(program(MAIN + text), method)
    cpus = mp.usable_cpus()
    shares = [str(cpus), str(max(1, cpus // 4))]
    assert done.stdout.splitlines() == [" ".join([share] * 3) for share in shares]


def test_the_users_number_of_native_threads_stays(
    run: Run, program: Program, method: str, own_settings: pytest.MonkeyPatch
) -> None:
    text = f"""
    with context.Pool(2) as pool:
        print(*pool.map(setting, {VARIABLES}))
"""
    assert run(program(MAIN + text), method, OMP_NUM_THREADS="3").stdout == "3 None None\n"


def test_loaded_libraries_take_their_share(
    run: Run, program: Program, method: str, own_settings: pytest.MonkeyPatch
) -> None:
    text = """
    import numpy
    from threadpoolctl import threadpool_info
    here = threadpool_info()
    with context.Pool(4) as pool:
        most = max(1, mp.usable_cpus() // 4)
        for library in pool.apply(threadpool_info):
            assert library["num_threads"] <= most, library
    assert threadpool_info() == here
"""
    run(program(MAIN + text), method)


def usable_with(cpus: set[int]) -> tuple[int, int]:
    os.sched_setaffinity(0, cpus)
    with mp.get_context("fork").Pool() as pool:
        return mp.usable_cpus(), len(pool._pool)


def test_usable_cpus_follow_affinity(ctx: BaseContext) -> None:
    all_cpus = os.sched_getaffinity(0)
    assert 1 <= mp.usable_cpus() <= len(all_cpus)
    for cpus in [{min(all_cpus)}, {max(all_cpus)}]:
        process = ctx.Process(target=usable_with, args=(cpus,))
        process.start()
        assert process.result(SOON) == (1, 1)
    assert os.sched_getaffinity(0) == all_cpus


@pytest.mark.parametrize(("quota", "most"), [("50000 100000", 1), ("100000 100000", 1), ("150000 100000", 2)])
def test_usable_cpus_follow_the_cgroups_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, most: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(os, "process_cpu_count", lambda: 64, raising=False)
    monkeypatch.setattr(lightwork.cpus, "_CGROUPS", tmp_path)
    limit, period = quota.split()
    (tmp_path / "cpu").mkdir()
    assert mp.usable_cpus() == 64
    for unlimited in ("max 100000", "-1 100000"):
        (tmp_path / "cpu.max").write_text(unlimited)
        assert mp.usable_cpus() == 64
    (tmp_path / "cpu.max").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(limit)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text(period)
    assert mp.usable_cpus() == most
