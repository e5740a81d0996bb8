"""Tells when another process sleeps, which no event can tell: it is inside the call in which it is to be killed."""

import time
from pathlib import Path

LOOK_SECONDS = 0.01
LOOKS = 20


def until_asleep(pid: int) -> None:
    """Return once the process was found asleep (state S) at 20 looks in a row."""
    looks = 0
    while looks < LOOKS:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        looks = looks + 1 if state == "S" else 0
        time.sleep(LOOK_SECONDS)  # between two looks: the kernel announces nobody's sleep
