"""Condition.notify_all() returns, and wakes the living, after a waiter was killed (CPython issue 75158)."""

import sys
from typing import Any

from _asleep import until_asleep

import lightwork as mp
from lightwork.synchronize import Condition, Event


def wait(condition: Condition, ready: Event) -> None:
    with condition:
        ready.set()
        condition.wait()


def main(ctx: Any) -> str | None:
    condition = ctx.Condition()
    waiters = []
    for _ in range(2):
        ready = ctx.Event()
        waiter = ctx.Process(target=wait, args=(condition, ready))
        waiter.start()
        ready.wait()
        until_asleep(waiter.pid)
        waiters.append(waiter)
    doomed, living = waiters
    doomed.kill()
    doomed.join()
    with condition:
        condition.notify_all()
    living.join(5)
    return None if living.exitcode == 0 else f"the living waiter was not woken: exit code {living.exitcode}"


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
