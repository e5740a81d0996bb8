"""A program that only attaches to a SharedMemory does not destroy it at its end (CPython issue 82300)."""

import subprocess
import sys
from typing import Any

import lightwork as mp
from lightwork.shared_memory import SharedMemory


def attach(name: str) -> None:
    SharedMemory(name).close()


def attacher(ctx: Any, name: str) -> int | None:
    child = ctx.Process(target=attach, args=(name,))
    child.start()
    child.join()
    code: int | None = child.exitcode
    return code


def main(method: str) -> str | None:
    memory = SharedMemory(create=True, size=64)
    try:
        # capturing waits for the end of its resource tracker too, which is what destroys the memory
        subprocess.run([sys.executable, __file__, method, memory.name], check=True, capture_output=True)
        try:
            SharedMemory(memory.name).close()
        except FileNotFoundError:
            return "a program that only attached destroyed it"
        return None
    finally:
        memory.close()
        try:
            memory.unlink()
        except FileNotFoundError:
            pass


if __name__ == "__main__":
    if sys.argv[2:]:
        sys.exit(attacher(mp.get_context(sys.argv[1]), sys.argv[2]))
    sys.exit(main(sys.argv[1]))
