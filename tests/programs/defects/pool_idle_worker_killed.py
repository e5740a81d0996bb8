"""A pool whose idle workers are all killed works on with new ones (CPython issue 96062: it hangs)."""

import os
import select
import sys
from typing import Any

import lightwork as mp


def pid(_: int) -> int:
    return os.getpid()


def main(ctx: Any) -> str | None:
    with ctx.Pool(2) as pool:
        pool.map(pid, range(4))
        for worker in mp.active_children():
            worker.kill()
            select.select([worker.sentinel], [], [])
        try:
            pool.apply_async(pid, (0,)).get(timeout=5)
        except mp.TimeoutError:
            return "no task is done any more"
    return None


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
