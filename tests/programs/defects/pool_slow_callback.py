"""A slow callback costs no CPU time (bpo-35493: the pool's threads spin while it runs)."""

import sys
import time
from typing import Any

import lightwork as mp

CALLBACK_SECONDS = 1.0
ALLOWED_SECONDS = 0.2


def identity(value: int) -> int:
    return value


def slow(_: int) -> None:
    time.sleep(CALLBACK_SECONDS)  # the slow callback itself


def main(ctx: Any) -> str | None:
    with ctx.Pool(2) as pool:
        pool.map(identity, range(4))
        before = time.process_time()
        jobs = [pool.apply_async(identity, (0,), callback=slow), pool.apply_async(identity, (1,))]
        for job in jobs:
            job.get(timeout=10)
        used = time.process_time() - before
    return f"{used:.2f} s of CPU time during a callback of 1 s" if used > ALLOWED_SECONDS else None


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
