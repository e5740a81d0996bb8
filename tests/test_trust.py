"""What docs/trust.md promises: who gets the shared memory, and what listens."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lightwork as mp
from lightwork import _native
from lightwork.util import get_temp_dir

LIST = "import os; print(*[os.readlink(entry) for entry in os.scandir('/proc/self/fd')])"


def arena() -> str:
    """Its path, for those who may look into this process."""
    return f"/proc/{os.getpid()}/fd/{_native.family()[1]}"


def sockets() -> set[str]:
    """Inodes of the sockets that this process has."""
    found = (os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return {link.removeprefix("socket:[").removesuffix("]") for link in found if link.startswith("socket:")}


def double(n: int) -> int:
    return 2 * n


def test_its_size_is_sealed() -> None:
    seals = fcntl.fcntl(_native.family()[1], fcntl.F_GET_SEALS)
    assert seals == fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
    with pytest.raises(PermissionError):
        os.truncate(arena(), 0)


def test_it_is_its_users_only() -> None:
    assert stat.S_IMODE(os.stat(arena()).st_mode) == 0o600


def test_it_has_no_name_and_is_in_no_core_dump() -> None:
    os.stat(arena())
    queue, fork = mp.SimpleQueue(), mp.get_context("fork")
    kept = []
    for _ in range(3):  # after a fork they are mapped apart; one that is dropped then is mapped as the rest again
        queue.put(np.zeros(1 << 17))
        kept.append(queue.get())
    child = fork.Process(target=double, args=(1,))
    child.start()
    child.join()
    del kept[1]
    regions = Path("/proc/self/smaps").read_text().split("/memfd:lightwork (deleted)\n")[1:]
    assert regions
    for region in regions:
        flags = next(line for line in region.splitlines() if line.startswith("VmFlags:"))
        assert "dd" in flags.split()  # "do not include area into core dump"


@pytest.mark.parametrize("close_fds", [True, False])
def test_programs_that_are_started_do_not_get_it(close_fds: bool) -> None:
    mp.Lock()
    done = subprocess.run([sys.executable, "-c", LIST], capture_output=True, text=True, check=True, close_fds=close_fds)
    assert "/dev/null" in done.stdout or "pipe:" in done.stdout
    assert "lightwork" not in done.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_other_users_do_not_get_it() -> None:
    # The shell, which they may run, wherever this interpreter is installed.
    command = ["/bin/sh", "-c", 'exec 3<>"$1"', "sh", arena()]
    same = subprocess.run(command, capture_output=True, text=True, check=False)
    assert same.returncode == 0, same.stderr
    other = subprocess.run(command, capture_output=True, text=True, check=False, user=65534, group=65534)
    assert other.returncode != 0
    assert "ermission denied" in other.stderr


def test_nothing_listens_under_fork_and_spawn() -> None:
    before = sockets()
    for method in ("fork", "spawn"):
        context: Any = mp.get_context(method)
        with context.Pool(1) as pool:
            assert pool.apply(double, (2,)) == 4
            assert sockets() == before


def test_the_forkservers_socket_is_its_users_alone() -> None:
    context: Any = mp.get_context("forkserver")
    with context.Pool(1) as pool:
        assert pool.apply(double, (2,)) == 4
    folder = Path(get_temp_dir())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
