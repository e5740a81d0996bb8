"""A process that put a large item ends before anyone reads it (CPython issue 73983: join() before get() deadlocks)."""

import sys
from typing import Any

import lightwork as mp
from lightwork.queues import Queue

SIZE = 1_000_000


def put(queue: Queue) -> None:
    queue.put(bytes(SIZE))


def main(ctx: Any) -> str | None:
    queue = ctx.Queue()
    producer = ctx.Process(target=put, args=(queue,))
    producer.start()
    producer.join(10)
    if producer.is_alive():
        producer.kill()
        return "the producer cannot end before its item is read"
    item = queue.get(timeout=5)
    return None if len(item) == SIZE else f"{len(item)} of {SIZE} bytes came"


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
