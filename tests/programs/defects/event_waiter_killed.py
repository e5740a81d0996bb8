"""Event.set() returns after a waiter was killed (CPython issue 75158: it waits for the dead one for ever)."""

import sys
from typing import Any

from _asleep import until_asleep

import lightwork as mp
from lightwork.synchronize import Event


def wait(event: Event, ready: Event) -> None:
    ready.set()
    event.wait()


def main(ctx: Any) -> str | None:
    event, ready = ctx.Event(), ctx.Event()
    waiter = ctx.Process(target=wait, args=(event, ready))
    waiter.start()
    ready.wait()
    until_asleep(waiter.pid)
    waiter.kill()
    waiter.join()
    event.set()
    return None if event.wait(timeout=5) else "set() returned, but the event is not set"


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
