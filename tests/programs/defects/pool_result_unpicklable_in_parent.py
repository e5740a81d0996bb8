"""A result that cannot be unpickled fails its task alone (CPython issue 79492: it ends the pool's result thread)."""

import sys
from typing import Any

import lightwork as mp


class FailsToLoad:
    """Pickles well, but loading it raises ValueError."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("not a number",)


def make(_: int) -> FailsToLoad:
    return FailsToLoad()


def identity(value: int) -> int:
    return value


def main(ctx: Any) -> str | None:
    with ctx.Pool(2) as pool:
        task = pool.apply_async(make, (1,))
        try:
            return f"the task gave {task.get(timeout=5)!r}"
        except mp.TimeoutError:
            return "the task never ends"
        except Exception as error:
            if "not a number" not in f"{error} {error.__cause__}":
                return f"the error does not say what failed: {error!r}"
        return None if pool.apply_async(identity, (1,)).get(timeout=5) == 1 else "the next task fails"


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
