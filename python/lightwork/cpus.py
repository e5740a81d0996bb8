"""How many processors this program may use, and how it shares them with native libraries."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

__all__ = ["usable_cpus"]

_CGROUPS = Path("/sys/fs/cgroup")

#: What the native libraries read when they are loaded.
_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


#: Packages that bring them along.
_NATIVE = ("numpy", "scipy", "sklearn", "torch")
_found: tuple[tuple[str, ...], Any] | None = None


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


def share_cpus(processes: int, forked: bool) -> None:
    """In one of so many worker processes: let native libraries (BLAS, OpenMP) start no more threads than its share of
    the processors. What the user chose by an environment variable stays. `forked`: under `sharing_cpus`."""
    if not chosen_by_user():
        for name in _VARIABLES:
            os.environ[name] = str(_share(processes))  # for those that are loaded later
        if not forked and (libraries := native_libraries()) is not None:
            libraries.limit(limits=_share(processes))


@contextmanager
def sharing_cpus(processes: int) -> Iterator[None]:
    """While this process forks so many workers: its native libraries have a worker's share of the processors. A child
    begins with what its parent has; to set it in the child would start the library's threads there, some 5 ms."""
    libraries = None if chosen_by_user() else native_libraries()
    with nullcontext() if libraries is None else libraries.limit(limits=_share(processes)):
        yield


def _share(processes: int) -> int:
    return max(1, usable_cpus() // processes)


def chosen_by_user() -> bool:
    """Do environment variables say how many threads native libraries have?"""
    return any(name in os.environ for name in _VARIABLES)


def native_libraries() -> Any:
    """threadpoolctl's view of the native libraries that are loaded, or None. Finding them takes milliseconds, so what
    was found is kept."""
    global _found
    loaded = tuple(name for name in _NATIVE if name in sys.modules)
    if not loaded:
        return None
    if _found is None or _found[0] != loaded:
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

        _found = loaded, ThreadpoolController()
    return _found[1]
