"""Every primitive can be sent to a process that already runs (CPython issue 73981: "only through inheritance")."""

import sys
from typing import Any

import lightwork as mp


def use(inbox: Any) -> None:
    """Take each primitive from the queue and use it, so that the sender sees it."""
    lock, rlock, semaphore, condition, event, barrier, queue, simple, joinable, value, array = inbox.get()
    lock.release()
    with rlock, value.get_lock():
        value.value += 1
    array[1] = 7
    semaphore.release()
    queue.put("queue")
    simple.put("simple")
    joinable.get()
    joinable.task_done()
    barrier.wait(10)
    event.set()
    with condition:
        condition.notify_all()


def main(ctx: Any) -> str | None:
    inbox = ctx.Queue()
    child = ctx.Process(target=use, args=(inbox,), daemon=True)
    child.start()
    lock, rlock, semaphore, condition = ctx.Lock(), ctx.RLock(), ctx.Semaphore(0), ctx.Condition()
    event, barrier = ctx.Event(), ctx.Barrier(2)
    queue, simple, joinable = ctx.Queue(), ctx.SimpleQueue(), ctx.JoinableQueue()
    value, array = ctx.Value("i", 41), ctx.Array("d", 3)
    lock.acquire()
    joinable.put("joinable")
    with condition:
        inbox.put((lock, rlock, semaphore, condition, event, barrier, queue, simple, joinable, value, array))
        barrier.wait(10)
        if not condition.wait(10):
            return "the condition was not notified"
    joinable.join()
    child.join(10)
    seen = {
        "the lock was not released": lock.acquire(timeout=5),
        "the semaphore was not released": semaphore.acquire(timeout=5),
        "the event was not set": event.wait(5),
        "the queue is empty": queue.get(timeout=5) == "queue",
        "the simple queue is empty": simple.get() == "simple",
        "the value was not raised": value.value == 42,
        "the array was not written": array[:] == [0.0, 7.0, 0.0],
        "the process failed": child.exitcode == 0,
    }
    return "; ".join(sentence for sentence, good in seen.items() if not good) or None


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
