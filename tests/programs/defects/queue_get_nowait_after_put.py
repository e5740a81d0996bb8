"""get_nowait() right after put() finds the item (CPython issue 87302: it raises Empty)."""

import sys
from queue import Empty
from typing import Any

import lightwork as mp

ITEMS = 200


def main(ctx: Any) -> str | None:
    queue = ctx.Queue()
    missed = 0
    for number in range(ITEMS):
        queue.put(number)
        try:
            queue.get_nowait()
        except Empty:
            missed += 1
            queue.get(timeout=5)
    return f"get_nowait() after put() raised Empty {missed} times of {ITEMS}" if missed else None


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
