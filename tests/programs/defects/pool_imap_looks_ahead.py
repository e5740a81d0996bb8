"""imap() takes a bounded number of items ahead of its results (CPython issue 64192: it swallows the whole input)."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import lightwork as mp

ITEMS = 200_000
ALLOWED = 1_000


def identity(value: int) -> int:
    return value


def main(ctx: Any) -> str | None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(ITEMS):
            taken += 1
            yield number

    with ctx.Pool(1) as pool:
        next(pool.imap(identity, items()))
        time.sleep(0.5)  # time in which an unbounded pool takes the rest; a bounded one has nothing to tell
        return f"{taken} items were taken for one result" if taken > ALLOWED else None


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
