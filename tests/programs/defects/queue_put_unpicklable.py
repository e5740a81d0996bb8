"""put() of an object that cannot be pickled raises, and the queue goes on (bpo-30414: it vanishes in silence)."""

import sys
import threading
from queue import Empty
from typing import Any

import lightwork as mp


def main(ctx: Any) -> str | None:
    queue = ctx.Queue()
    try:
        queue.put(threading.Lock())
    except Exception:
        pass
    else:
        return "put() of an object that cannot be pickled returned as if all were well"
    queue.put("next")
    try:
        item = queue.get(timeout=5)
    except Empty:
        return "the queue does not go on after a failed put()"
    return None if item == "next" else f"got {item!r} instead of the next item"


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
