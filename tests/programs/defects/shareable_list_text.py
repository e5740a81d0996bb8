"""A ShareableList gives back what was put in (CPython issues 106939: trailing null bytes are cut, and 145261)."""

import sys
from typing import Any

from lightwork.shared_memory import ShareableList

VALUES: tuple[Any, ...] = (b"a\0", "a\0", "0\U00010000\U00010000")


def main() -> str | None:
    for value in VALUES:
        shared = ShareableList([value])
        try:
            if shared[0] != value:
                return f"{value!r} came back as {shared[0]!r}"
        except UnicodeDecodeError as error:
            return f"{value!r} cannot be read: {error}"
        finally:
            shared.shm.close()
            shared.shm.unlink()
    return None


if __name__ == "__main__":
    sys.exit(main())
