"""A task that cannot be unpickled in the worker fails alone (CPython issue 66587: the pool waits for it for ever)."""

import sys
from typing import Any

import lightwork as mp


class FailsToLoad:
    """Pickles well, but loading it raises ValueError."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("not a number",)


def identity(value: object) -> object:
    return value


def main(ctx: Any) -> str | None:
    with ctx.Pool(2) as pool:
        task = pool.apply_async(identity, (FailsToLoad(),))
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
