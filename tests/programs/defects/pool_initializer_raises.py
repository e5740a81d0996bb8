"""An initializer that raises breaks the pool with its traceback (CPython issue 87472: workers are started for ever)."""

import sys
from typing import Any

import lightwork as mp


def initialize() -> None:
    raise ValueError("from the initializer")


def identity(value: int) -> int:
    return value


def main(ctx: Any) -> str | None:
    with ctx.Pool(2, initialize) as pool:
        try:
            return f"the task gave {pool.apply_async(identity, (1,)).get(timeout=5)!r}"
        except mp.TimeoutError:
            return "the task never ends"
        except Exception as error:
            if "from the initializer" not in f"{error} {error.__cause__}":
                return f"the error does not say what failed: {error!r}"
    return None


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
