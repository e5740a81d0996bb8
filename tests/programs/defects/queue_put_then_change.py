"""What is put is what is got, even if the object is changed afterwards (stdlib's feeder thread pickles it later)."""

import sys
from typing import Any

import lightwork as mp

ITEMS = 200


def main(ctx: Any) -> str | None:
    queue = ctx.Queue()
    for _ in range(ITEMS):
        item = [0]
        queue.put(item)
        item[0] = 1
    changed = sum(queue.get(timeout=5)[0] for _ in range(ITEMS))
    return f"{changed} of {ITEMS} items show a change made after put()" if changed else None


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
