"""A map with a killed worker ends, and names the item that killed it (CPython issue 66587: it never ends)."""

import os
import signal
import sys
from typing import Any

import lightwork as mp

DEADLY = 3


def die_at_three(value: int) -> int:
    if value == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def main(ctx: Any) -> str | None:
    with ctx.Pool(2) as pool:
        try:
            return f"the map gave {pool.map_async(die_at_three, range(8), chunksize=1).get(timeout=5)!r}"
        except mp.TimeoutError:
            return "the map never ends"
        except Exception as error:
            if "SIGKILL" not in str(error):
                return f"the error does not name the signal: {error!r}"
        rest = [value for value in range(8) if value != DEADLY]
        return None if pool.map_async(die_at_three, rest).get(timeout=5) == rest else "the pool does not go on"


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
