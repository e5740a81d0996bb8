"""A queue can be read after a process was killed inside get() (CPython issue 87971: it held the reader's lock)."""

import sys
from queue import Empty
from typing import Any

from _asleep import until_asleep

import lightwork as mp
from lightwork.queues import Queue
from lightwork.synchronize import Event


def read(queue: Queue, ready: Event) -> None:
    ready.set()
    queue.get()


def main(ctx: Any) -> str | None:
    queue, ready = ctx.Queue(), ctx.Event()
    reader = ctx.Process(target=read, args=(queue, ready))
    reader.start()
    ready.wait()
    until_asleep(reader.pid)
    reader.kill()
    reader.join()
    queue.put(7)
    try:
        item = queue.get(timeout=5)
    except Empty:
        return "the item that was put after a reader's death cannot be got"
    return None if item == 7 else f"got {item!r} instead of 7"


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
