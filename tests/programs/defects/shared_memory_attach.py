"""A process that only attaches to a SharedMemory does not destroy it at its end (CPython issue 82300)."""

import subprocess
import sys

from lightwork.shared_memory import SharedMemory

ATTACH = "import sys; from lightwork.shared_memory import SharedMemory; SharedMemory(sys.argv[1]).close()"


def main() -> str | None:
    memory = SharedMemory(create=True, size=64)
    try:
        # capturing waits for the end of its resource tracker too, which is what destroys the memory
        subprocess.run([sys.executable, "-c", ATTACH, memory.name], check=True, capture_output=True)
        try:
            SharedMemory(memory.name).close()
        except FileNotFoundError:
            return "a process that only attached destroyed it"
        return None
    finally:
        memory.close()
        try:
            memory.unlink()
        except FileNotFoundError:
            pass


if __name__ == "__main__":
    sys.exit(main())
