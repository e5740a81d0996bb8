"""What several test files do with processes and shared memory."""

from __future__ import annotations

import gc
from typing import Any

import lightwork as mp


def used() -> int:
    """Bytes of shared memory in use."""
    gc.collect()
    return mp.arena.stats().used


def ended(ctx: Any, target: Any, *args: Any) -> Any:
    """The exit code of a process that ran this."""
    p = ctx.Process(target=target, args=args)
    p.start()
    p.join()
    return p.exitcode


def asleep(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()[0] == "S"


def nothing() -> None:
    """A child's whole work."""
