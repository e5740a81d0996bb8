"""`v += 1` on a shared Value loses no addition (CPython issues 106691 and 76187: there is no such operation, and
`v.value += 1` reads and writes apart)."""

import sys
from typing import Any

import lightwork as mp

ADDITIONS = 20_000


def add(value: Any) -> None:
    for _ in range(ADDITIONS):
        value += 1


def main(ctx: Any) -> str | None:
    value = ctx.Value("q", 0)
    processes = [ctx.Process(target=add, args=(value,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    lost = 2 * ADDITIONS - value.value
    return f"{lost} of {2 * ADDITIONS} additions were lost" if lost else None


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
