"""A lock, an event and a queue can be a task's arguments (CPython issue 73981: "only through inheritance")."""

import sys
from typing import Any

import lightwork as mp
from lightwork.queues import Queue
from lightwork.synchronize import Event, Lock


def use(lock: Lock, event: Event, queue: Queue) -> bool:
    free: bool = lock.acquire(block=False)
    event.set()
    queue.put("from the task")
    return free


def main(ctx: Any) -> str | None:
    lock, event, queue = ctx.Lock(), ctx.Event(), ctx.Queue()
    with ctx.Pool(1) as pool:
        with lock:
            if pool.apply_async(use, (lock, event, queue)).get(timeout=10):
                return "the task acquired a lock that is held"
        if not event.is_set():
            return "the task set another event"
        return None if queue.get(timeout=5) == "from the task" else "the task's item did not come"


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
