"""`lightwork doctor`: what of this machine matters to Lightwork, and what to change.

Each check reads a `Machine` and yields findings. A machine is the files under a root folder (/proc, /sys) and a few
answers of the running program, so that any other can be described by a folder of files.
"""

from __future__ import annotations

import json
import mmap
import os
import platform
import re
import sys
import sysconfig
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from . import arena
from .context import _default_context
from .cpus import NATIVE_THREADS, usable_cpus

__all__ = ["Finding", "Machine", "examine", "report"]

State = Literal["ok", "note", "problem"]

WIDTH = 80

WIPE_ON_FORK, POPULATE_WRITE = 18, 23
"""Of madvise."""

ARENA = 1 << 40
"""Addresses that the arena wants (`src/arena/family.rs`); with less it makes do."""

FILES_OF_A_WORKER = 4
"""Descriptors in the parent: its sentinel, its pidfd, and two while it starts."""

FILES_OF_OURS = 32
"""Descriptors of an interpreter with an arena, a forkserver and a resource tracker, and some to spare."""

STDLIB_SHM = 256 << 20
"""Bytes of /dev/shm under which the standard library's shared_memory, or torch's workers, soon have none."""

SOCKET_PATH = 107 - len("/pymp-12345678/listener-12345678")
"""The longest folder for temporary files in which the address of a forkserver's or a manager's socket has room."""


@dataclass(frozen=True)
class Finding:
    state: State
    subject: str
    found: str
    advice: str = ""


def _numpy() -> str | None:
    try:
        return version("numpy")
    except PackageNotFoundError:
        return None


def _budget() -> int | None:
    try:
        return arena.stats().budget
    except OSError:
        return None


def _has(open_one: Callable[[], int]) -> bool:
    try:
        os.close(open_one())
    except OSError:
        return False
    return True


def _has_advice(advice: int, flags: int) -> bool:
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=flags | mmap.MAP_ANONYMOUS)
    try:
        page.madvise(advice)
    except OSError:
        return False
    finally:
        page.close()
    return True


@dataclass
class Machine:
    """Where to look. The defaults are this machine and this program."""

    root: Path = Path("/")
    cpus: int = field(default_factory=lambda: os.cpu_count() or 1)
    usable: int = field(default_factory=usable_cpus)
    budget: int | None = field(default_factory=_budget)
    """Of shared memory; None: there can be none."""
    start_method: str = field(default_factory=lambda: str(_default_context.get_start_method()))
    threads: int = field(default_factory=lambda: len(os.listdir("/proc/self/task")))
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    temporary: str = field(default_factory=tempfile.gettempdir)
    numpy: str | None = field(default_factory=_numpy)
    free_threaded: bool = field(default_factory=lambda: bool(sysconfig.get_config_var("Py_GIL_DISABLED")))
    pidfd: bool = field(default_factory=lambda: _has(lambda: os.pidfd_open(os.getpid())))
    memfd: bool = field(default_factory=lambda: _has(lambda: os.memfd_create("lightwork")))
    wipe_on_fork: bool = field(default_factory=lambda: _has_advice(WIPE_ON_FORK, mmap.MAP_PRIVATE))
    populate_write: bool = field(default_factory=lambda: _has_advice(POPULATE_WRITE, mmap.MAP_SHARED))

    def read(self, path: str) -> str | None:
        """A file of the kernel's, None if there is none such."""
        try:
            return (self.root / path.lstrip("/")).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None

    def limit(self, name: str) -> int | None:
        """A resource limit of this process; None: there is none."""
        for line in (self.read("/proc/self/limits") or "").splitlines():
            if line.startswith(name):
                soft = line.removeprefix(name).split()[0]
                return int(soft) if soft.isdigit() else None
        return None

    def in_cgroups(self, controller: str, new: str, old: str) -> Iterator[int]:
        """The limits of the cgroups around this process, of which `new` is the file in version 2 and `old` in 1. In a
        container the path may be the host's: then only the mount is there."""
        for line in (self.read("/proc/self/cgroup") or "").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                mount, file = Path("/sys/fs/cgroup"), new
            elif controller in controllers.split(","):
                mount, file = Path("/sys/fs/cgroup") / controller, old
            else:
                continue
            here = mount / path.lstrip("/")
            for folder in (here, *here.parents):
                if folder.is_relative_to(mount) and (text := self.read(str(folder / file)) or "").isdigit():
                    yield int(text)

    def memory(self) -> int:
        """Bytes that this machine has, or a cgroup grants."""
        total = re.search(r"^MemTotal:\s+(\d+) kB", self.read("/proc/meminfo") or "", re.MULTILINE)
        machine = [int(total[1]) * 1024] if total else []
        return min([*machine, *self.in_cgroups("memory", "memory.max", "memory.limit_in_bytes")], default=0)


def size(nbytes: int) -> str:
    """Bytes in a unit that makes a short number."""
    exponent = max(0, min(4, (nbytes.bit_length() - 1) // 10))
    number = nbytes / 1024**exponent
    return f"{number:.0f} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[exponent]}"


# -- the checks, in the order of the report


def check_python(machine: Machine) -> Iterator[Finding]:
    found = f"{platform.python_implementation()} {platform.python_version()}"
    if not machine.free_threaded:
        yield Finding("ok", "python", found)
        return
    locked = getattr(sys, "_is_gil_enabled", lambda: True)()
    yield Finding(
        "note",
        "python",
        f"{found}, free-threaded, the GIL is {'on' if locked else 'off'}",
        "Threads can do the work of processes here: compare them, with `lightwork compare`.",
    )


def check_kernel(machine: Machine) -> Iterator[Finding]:
    release = machine.read("/proc/sys/kernel/osrelease") or "of unknown version"
    features: list[tuple[State, bool, str, str, str]] = [
        ("problem", machine.memfd, "memfd", "3.17", "there is no shared memory"),
        ("problem", machine.wipe_on_fork, "MADV_WIPEONFORK", "4.14", "a child could act in its parent's name"),
        ("note", machine.pidfd, "pidfd", "5.3", "a killed process that nobody has reaped counts as alive"),
        ("note", machine.populate_write, "MADV_POPULATE_WRITE", "5.14", "a lack of memory may be a signal, no error"),
    ]
    for state, there, feature, since, without in features:
        if not there:
            yield Finding(
                state,
                "kernel",
                f"Linux {release} has no {feature}: {without}",
                f"Linux {since} has it; in a container, allow it in the seccomp profile.",
            )
    if all(there for _, there, *_ in features):
        yield Finding("ok", "kernel", f"Linux {release}, with all that is used")


def check_processors(machine: Machine) -> Iterator[Finding]:
    if machine.usable < machine.cpus:
        yield Finding(
            "note",
            "processors",
            f"{machine.usable} of {machine.cpus} may be used (affinity, or a container's quota)",
            f"Pool() starts {machine.usable} workers; what counts processors with os.cpu_count() starts too many.",
        )
    else:
        yield Finding("ok", "processors", f"{machine.cpus}, and all may be used")


def check_memory(machine: Machine) -> Iterator[Finding]:
    there = machine.memory()
    if machine.budget is None:
        yield Finding("problem", "memory", "shared memory cannot be made", "lightwork.Lock() raises what says why.")
        return
    found = f"{size(machine.budget)} for shared memory at most, {size(there)} in all"
    if not there:
        yield Finding("note", "memory", "it cannot be seen how much there is")
    elif machine.budget > there:
        yield Finding(
            "problem",
            "memory",
            f"{found}: processes are killed before the limit is reached",
            f"lightwork.arena.set_budget({there * 3 // 4}), before the first use.",
        )
    else:
        yield Finding("ok", "memory", found)


def check_open_files(machine: Machine) -> Iterator[Finding]:
    limit, needed = machine.limit("Max open files"), FILES_OF_OURS + FILES_OF_A_WORKER * machine.usable
    if limit is None:
        yield Finding("ok", "open files", "no limit")
        return
    workers = max(0, limit - FILES_OF_OURS) // FILES_OF_A_WORKER
    found = f"at most {limit}: enough for a pool of {workers}"
    if limit < needed:
        yield Finding(
            "problem", "open files", f"{found}, and {machine.usable} are usual", f"`ulimit -n {max(1024, needed)}`."
        )
    else:
        yield Finding("ok", "open files", found)


def check_processes(machine: Machine) -> Iterator[Finding]:
    limits = [*machine.in_cgroups("pids", "pids.max", "pids.max")]
    mine = machine.limit("Max processes")
    limit = min(limits + ([mine] if mine is not None else []), default=None)
    if limit is None:
        yield Finding("ok", "processes", "no limit")
    elif limit < 4 * machine.usable:
        yield Finding(
            "problem",
            "processes",
            f"at most {limit} processes and threads: a pool of {machine.usable} and its threads may not start",
            "`ulimit -u`, or a container's --pids-limit.",
        )
    else:
        yield Finding("ok", "processes", f"at most {limit} processes and threads")


def check_addresses(machine: Machine) -> Iterator[Finding]:
    for name, command in (("Max address space", "ulimit -v"), ("Max file size", "ulimit -f")):
        limit = machine.limit(name)
        if limit is not None and limit < ARENA:
            had = 1 << (limit.bit_length() - 1)
            yield Finding(
                "problem" if had < 1 << 28 else "note",
                "addresses",
                f"`{command}` allows {size(limit)}: shared memory has {size(had)} or less, not {size(ARENA)}",
                f"`{command} unlimited`: the addresses cost nothing, used memory has its own limit.",
            )
            return
    yield Finding("ok", "addresses", f"no limit: {size(ARENA)} are reserved, and cost nothing until used")


def check_locked_memory(machine: Machine) -> Iterator[Finding]:
    limit = machine.limit("Max locked memory")
    yield Finding("ok", "locked memory", f"{'no limit' if limit is None else size(limit)}; Lightwork locks none")


def check_dev_shm(machine: Machine) -> Iterator[Finding]:
    for line in (machine.read("/proc/self/mounts") or "").splitlines():
        _, where, _, options, *_ = line.split()
        given = re.search(r"\bsize=(\d+)([kmg]?)", options) if where == "/dev/shm" else None
        if given is None:
            continue
        nbytes = int(given[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[given[2]]
        if nbytes < STDLIB_SHM:
            yield Finding(
                "note",
                "/dev/shm",
                f"{size(nbytes)}. Lightwork uses none of it, but multiprocessing.shared_memory and torch do",
                "A container's --shm-size.",
            )
            return
    yield Finding("ok", "/dev/shm", "Lightwork uses none of it")


def check_huge_pages(machine: Machine) -> Iterator[Finding]:
    setting = machine.read("/sys/kernel/mm/transparent_hugepage/shmem_enabled") or ""
    chosen = re.search(r"\[(\w+)\]", setting)
    if chosen and chosen[1] in ("always", "within_size", "force"):
        yield Finding(
            "note",
            "huge pages",
            f"shmem_enabled is {chosen[1]}: each part of shared memory that is touched takes up to 2 MiB",
            "Good for large arrays; else echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled",
        )
    else:
        yield Finding("ok", "huge pages", "not for shared memory: small objects take little")


def check_start_method(machine: Machine) -> Iterator[Finding]:
    method = machine.start_method
    if method != "fork":
        yield Finding("ok", "start method", method)
        return
    running = f", and {machine.threads} threads run" if machine.threads > 1 else ""
    yield Finding(
        "note",
        "start method",
        f"fork{running}: a lock that another thread has at that moment stays taken in the child",
        "In a program with threads of its own, set_start_method('forkserver').",
    )


def check_native_threads(machine: Machine) -> Iterator[Finding]:
    chosen = {name: machine.environment[name] for name in NATIVE_THREADS if name in machine.environment}
    if not chosen:
        yield Finding("ok", "BLAS threads", "shared by the workers of a pool, one for each processor")
        return
    said = ", ".join(f"{name}={value}" for name, value in chosen.items())
    threads = max((int(value) for value in chosen.values() if value.isdigit()), default=1)
    if threads > 1:
        yield Finding(
            "note",
            "BLAS threads",
            f"{said}: {machine.usable} workers have {threads * machine.usable} threads for {machine.usable} processors",
            "Unset it, and a pool shares the processors among its workers.",
        )
    else:
        yield Finding("ok", "BLAS threads", f"{said}: as you chose")


def check_numpy(machine: Machine) -> Iterator[Finding]:
    if machine.numpy:
        yield Finding("ok", "numpy", machine.numpy)
    else:
        yield Finding("note", "numpy", "it is not installed: ndarray() and share() need it", "pip install numpy")


def check_temporary(machine: Machine) -> Iterator[Finding]:
    folder = machine.temporary
    if len(folder) > SOCKET_PATH:
        yield Finding(
            "problem",
            "temporary files",
            f"the path of their folder has {len(folder)} characters: no room for the address of a socket of a "
            "forkserver or manager",
            f"A TMPDIR of at most {SOCKET_PATH} characters.",
        )
    else:
        yield Finding("ok", "temporary files", f"in {folder}")


CHECKS: list[Callable[[Machine], Iterator[Finding]]] = [
    check_python,
    check_kernel,
    check_processors,
    check_memory,
    check_open_files,
    check_processes,
    check_addresses,
    check_locked_memory,
    check_dev_shm,
    check_huge_pages,
    check_start_method,
    check_native_threads,
    check_numpy,
    check_temporary,
]


def examine(machine: Machine | None = None) -> list[Finding]:
    """All findings about a machine; this one by default."""
    where = machine if machine is not None else Machine()
    return [finding for check in CHECKS for finding in check(where)]


def table(findings: list[Finding]) -> str:
    """Lines of at most 80 columns: state, subject, what was found; what to do below it."""
    head = 9 + 1 + max(len(finding.subject) for finding in findings) + 2
    lines = []
    for finding in findings:
        begin = f"{finding.state:10}{finding.subject}".ljust(head)
        lines += textwrap.wrap(finding.found, WIDTH, initial_indent=begin, subsequent_indent=" " * head)
        if finding.advice:
            indent = " " * head
            lines += textwrap.wrap(
                finding.advice, WIDTH, initial_indent=indent + "-> ", subsequent_indent=indent + "   "
            )
    counts = {state: sum(finding.state == state for finding in findings) for state in ("problem", "note")}
    said = [f"{count} {state}{'s' * (count != 1)}" for state, count in counts.items() if count]
    return "\n".join([*lines, "", " and ".join(said) if said else "all is well"])


def report(as_json: bool = False, machine: Machine | None = None) -> int:
    """Print the findings; returns the exit code: 1 if there is a problem."""
    findings = examine(machine)
    print(json.dumps([asdict(finding) for finding in findings], indent=2) if as_json else table(findings))
    return int(any(finding.state == "problem" for finding in findings))
