"""sys.exit() in a task is that task's exception (CPython pull request 101081: its job never ends)."""

import sys
from typing import Any

import lightwork as mp


def leave(code: int) -> None:
    sys.exit(code)


def identity(value: int) -> int:
    return value


def main(ctx: Any) -> str | None:
    with ctx.Pool(2) as pool:
        job = pool.apply_async(leave, (3,))
        try:
            return f"the task gave {job.get(timeout=5)!r}"
        except mp.TimeoutError:
            return "the job never ends"
        except SystemExit as error:
            if error.code != 3:
                return f"SystemExit came with {error.code!r} instead of 3"
        return None if pool.apply_async(identity, (1,)).get(timeout=5) == 1 else "the next task fails"


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
