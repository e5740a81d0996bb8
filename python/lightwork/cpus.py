"""How many processors this program may use, and how it shares them with native libraries."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["usable_cpus"]

_CGROUPS = Path("/sys/fs/cgroup")

#: What the native libraries read when they are loaded.
NATIVE_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


#: Packages that bring them along.
_NATIVE = ("numpy", "scipy", "sklearn", "torch")
_found: tuple[tuple[str, ...], list[Any]] = (), []


def usable_cpus() -> int:
    """How many processors this process may use at once: of the machine's those in its affinity mask, and no more than
    the quotas of its cgroups (a container's `--cpus`) allow, rounded up. At least 1.

    `PYTHON_CPU_COUNT` and `-X cpu_count` are honoured from Python 3.13 on.
    """
    counted: Callable[[], int | None] | None = getattr(os, "process_cpu_count", None)
    count = counted() if counted is not None else len(os.sched_getaffinity(0))
    return max(1, min([count or 1, *map(math.ceil, _quotas())]))


def _quotas() -> Iterator[float]:
    """Processors that each cgroup around this process allows it."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _up(_CGROUPS, path, "cpu.max")
        elif "cpu" in controllers.split(","):
            yield from _up(_CGROUPS / "cpu", path, "cpu.cfs_quota_us")


def _up(mount: Path, path: str, file: str) -> Iterator[float]:
    """The quotas from a cgroup up to the root. In a container its path may be the host's: then only the mount is
    there."""
    here = mount / path.lstrip("/")
    for folder in (here, *here.parents):
        if not folder.is_relative_to(mount):
            return
        try:
            quota, *rest = (folder / file).read_text().split()
            period = rest[0] if rest else (folder / "cpu.cfs_period_us").read_text()
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)
        except (OSError, ValueError):
            continue


def share_of_cpus(processes: int) -> int | None:
    """How many threads native libraries (BLAS, OpenMP) may start in each of so many worker processes, so that together
    they have one for each processor; None if the user chose by an environment variable."""
    if any(name in os.environ for name in NATIVE_THREADS):
        return None
    return max(1, usable_cpus() // processes)


def limit_native_threads(most: int) -> None:
    """Have native libraries start at most so many threads in this process, those that will be loaded, too."""
    for name in NATIVE_THREADS:
        os.environ[name] = str(most)
    for library in native_libraries():
        if library.num_threads > most:
            _limit(library, most)


def _limit(library: Any, threads: int) -> None:
    if library.internal_api == "openblas" and library.threading_layer == "pthreads":
        # Its own function would first start all the threads that it lost in a fork, each to spin for a tenth of a
        # second, and then let them lie; all it has to do is to set this.
        try:
            ctypes.c_int.in_dll(library.dynlib, "blas_cpu_number").value = threads
            return
        except ValueError:
            pass  # built without visible names
    library.set_num_threads(threads)


def native_libraries() -> list[Any]:
    """threadpoolctl's view of the native libraries that are loaded. Finding them takes milliseconds, so what was found
    is kept, for forked children, too."""
    global _found
    loaded = tuple(name for name in _NATIVE if name in sys.modules)
    if _found[0] != loaded:
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

        _found = loaded, ThreadpoolController().lib_controllers
    return _found[1]
