"""An exception that cannot be unpickled fails its task alone (CPython issue 103061: the pool hangs for ever)."""

import sys
from typing import Any

import lightwork as mp


class NeedsTwoArguments(Exception):
    """Exceptions pickle as their class and `args`: loading this one raises TypeError."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(first)


def fail(_: int) -> None:
    raise NeedsTwoArguments(1, 2)


def identity(value: int) -> int:
    return value


def main(ctx: Any) -> str | None:
    with ctx.Pool(2) as pool:
        task = pool.apply_async(fail, (1,))
        try:
            return f"the task gave {task.get(timeout=5)!r}"
        except mp.TimeoutError:
            return "the task never ends"
        except Exception as error:
            if "NeedsTwoArguments" not in f"{error!r} {error.__cause__}":
                return f"the error does not say what was raised: {error!r}"
        return None if pool.apply_async(identity, (1,)).get(timeout=5) == 1 else "the next task fails"


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
