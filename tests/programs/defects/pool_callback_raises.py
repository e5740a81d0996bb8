"""A callback that raises fails its job, not the pool (CPython issue 83371: the result thread dies of it)."""

import sys
from typing import Any

import lightwork as mp


def identity(value: int) -> int:
    return value


def callback(_: int) -> None:
    raise ValueError("from the callback")


def main(ctx: Any) -> str | None:
    with ctx.Pool(2) as pool:
        job = pool.apply_async(identity, (1,), callback=callback)
        try:
            return f"the callback's error is lost: get() gave {job.get(timeout=5)!r}"
        except mp.TimeoutError:
            return "the job never ends"
        except ValueError:
            pass
        return None if pool.apply_async(identity, (1,)).get(timeout=5) == 1 else "the next task fails"


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
