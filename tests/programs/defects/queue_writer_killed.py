"""A queue goes on, with whole items only, after a process was killed while it put (multiprocessing's documentation,
"Avoid terminating processes": the queue is likely to become corrupted)."""

import sys
from queue import Empty
from typing import Any

import lightwork as mp
from lightwork.queues import Queue

ITEM = bytes(range(256)) * 4096  # 1 MiB: the writer is inside put() most of its time
ROUNDS = 5


def write(queue: Queue) -> None:
    while True:
        queue.put(ITEM)


def main(ctx: Any) -> str | None:
    queue = ctx.Queue(8)
    for number in range(ROUNDS):
        writer = ctx.Process(target=write, args=(queue,))
        writer.start()
        for _ in range(3 + number):
            queue.get()
        writer.kill()
        writer.join()
        try:
            while True:
                if queue.get(timeout=0.2) != ITEM:
                    return "a killed writer left half an item"
        except Empty:
            pass
        queue.put(b"next")
        try:
            item = queue.get(timeout=5)
        except Empty:
            return "what is put after a writer's death cannot be got"
        if item != b"next":
            return f"got {len(item)} bytes instead of the item that was put"
    return None


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
