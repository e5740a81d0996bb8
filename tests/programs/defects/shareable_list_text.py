"""A ShareableList gives back what was put in (CPython issues 106939: trailing null bytes are cut, and 145261)."""

import sys
from typing import Any

import lightwork as mp
from lightwork.queues import SimpleQueue
from lightwork.shared_memory import ShareableList

VALUES: tuple[Any, ...] = (b"a\0", "a\0", "0\U00010000\U00010000")


def read(shared: ShareableList, outcome: SimpleQueue) -> None:
    try:
        outcome.put(next(iter(shared)))
    except UnicodeDecodeError as error:
        outcome.put(error)


def main(ctx: Any) -> str | None:
    outcome = ctx.SimpleQueue()
    for value in VALUES:
        shared = ShareableList([value])
        reader = ctx.Process(target=read, args=(shared, outcome))
        reader.start()
        came = outcome.get()
        reader.join()
        shared.shm.close()
        shared.shm.unlink()
        if came != value:
            return f"{value!r} came as {came!r}"
    return None


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
