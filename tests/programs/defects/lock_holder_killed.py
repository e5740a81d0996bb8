"""A lock whose holder was killed can be acquired again (CPython issue 88304: it stays locked for ever)."""

import signal
import sys
import warnings
from typing import Any

import lightwork as mp
from lightwork.synchronize import Event, Lock


def hold(lock: Lock, held: Event) -> None:
    lock.acquire()
    held.set()
    signal.pause()


def main(ctx: Any) -> str | None:
    lock, held = ctx.Lock(), ctx.Event()
    holder = ctx.Process(target=hold, args=(lock, held))
    holder.start()
    held.wait()
    holder.kill()
    holder.join()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the take-over may be announced
        if not lock.acquire(timeout=5):
            return "the lock of a killed holder cannot be acquired"
    lock.release()
    return None if lock.acquire(block=False) else "the lock cannot be acquired a second time"


if __name__ == "__main__":
    sys.exit(main(mp.get_context(sys.argv[1])))
