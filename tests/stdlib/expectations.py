"""Which tests may fail and why (differences.toml), and which are left out by --quick (slow.toml)."""

import sys
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

HERE = Path(__file__).parent
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Entry:
    """Tests by pattern, the start methods and Python versions it speaks of (empty: all), and the reason.

    `hangs`: they may also hang, e.g. in a tear-down that waits for what the failed test did not come to.
    """

    tests: tuple[str, ...]
    reason: str
    methods: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()
    hangs: bool = False

    def covers(self, test: str, method: str) -> bool:
        return (
            any(fnmatchcase(test, pattern) for pattern in self.tests)
            and method in (self.methods or (method,))
            and PYTHON in (self.pythons or (PYTHON,))
        )


def differences() -> list[Entry]:
    return _load(HERE / "differences.toml", "difference")


def slow() -> list[Entry]:
    return _load(HERE / "slow.toml", "slow")


def find(entries: list[Entry], test: str, method: str) -> Entry | None:
    """The first entry that covers `Class.test`."""
    return next((entry for entry in entries if entry.covers(test, method)), None)


def _load(path: Path, table: str) -> list[Entry]:
    rows = tomllib.loads(path.read_text(encoding="utf-8"))[table]
    return [
        Entry(
            tuple(row["tests"]),
            row["reason"],
            tuple(row.get("methods", ())),
            tuple(row.get("pythons", ())),
            row.get("hangs", False),
        )
        for row in rows
    ]
