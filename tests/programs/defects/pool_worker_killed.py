"""A task whose worker is killed fails, and the pool goes on (CPython issue 66587: its result never comes)."""

import os
import signal
import sys
from typing import Any

import lightwork as mp


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def identity(value: int) -> int:
    return value


def main(ctx: Any) -> str | None:
    with ctx.Pool(2) as pool:
        try:
            return f"the task gave {pool.apply_async(die).get(timeout=5)!r}"
        except mp.TimeoutError:
            return "the task never ends"
        except Exception as error:
            if "SIGKILL" not in str(error):
                return f"the error does not name the signal: {error!r}"
        return None if pool.map_async(identity, range(4)).get(timeout=5) == [0, 1, 2, 3] else "the pool does not go on"


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
