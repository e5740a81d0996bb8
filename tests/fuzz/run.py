"""Damage what is read, and see that it is refused with an error and nothing else: no crash, no hang, no strange object.

    python tests/fuzz/run.py --seconds 60
    python tests/fuzz/run.py message --seed 7 --case 1234    # the one that failed

Messages in queues, a pool's messages, handles, and the command's arguments are mutated; `targets.py` says how. A target
runs in a process of its own. One that dies, hangs or raises what it should not is a failure: its seed and case are
printed, and the exit code is 1.

Not damaged are the words of a slot that say whose it is, how long the message is and where: who can write these is a
process of the family, and can do anything (docs/trust.md).
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import os
import random
import select
import signal
import struct
import sys
import time
import traceback
from collections.abc import Iterable

from targets import TARGETS, check_layout

PATIENCE = 10
"""Seconds after which a case hangs: each takes less than a hundredth of one."""


def run_case(target: str, seed: int, case: int) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        TARGETS[target](random.Random(f"{target} {seed} {case}"))


def run_cases(target: str, seed: int, seconds: float, told: int) -> None:
    """In a child: case after case, telling each number before it is run."""
    faulthandler.enable()
    end = time.monotonic() + seconds
    case = 0
    while time.monotonic() < end:
        os.write(told, struct.pack("<Q", case))
        run_case(target, seed, case)
        case += 1


def watch(target: str, seed: int, seconds: float) -> tuple[int, str | None]:
    """Run the cases in a child; returns the last one's number, and what was wrong with it."""
    heard, told = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            run_cases(target, seed, seconds, told)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(told)
    case, hangs = 0, False
    while not hangs:
        hangs = not select.select([heard], [], [], PATIENCE)[0]
        numbers = b"" if hangs else os.read(heard, 1 << 16)
        if not numbers:
            break
        (case,) = struct.unpack("<Q", numbers[-8:])
    os.close(heard)
    if hangs:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if hangs:
        return case, "hangs"
    return case, {0: None, 1: "raised what is above"}.get(code, f"died with exit code {code}")


def main(arguments: Iterable[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("targets", nargs="*", metavar="TARGET", help=f"default: all of {', '.join(TARGETS)}")
    options.add_argument("--seconds", type=float, default=60, help="for all of them together (default: %(default)s)")
    options.add_argument("--seed", type=int, default=None, help="default: another each time")
    options.add_argument("--case", type=int, default=None, help="only this one, in this process")
    chosen = options.parse_args(None if arguments is None else list(arguments))
    if unknown := [name for name in chosen.targets if name not in TARGETS]:
        options.error(f"there is no target {unknown[0]!r}; there are {', '.join(TARGETS)}")
    names = chosen.targets or list(TARGETS)
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(1 << 32)
    check_layout()
    if chosen.case is not None:
        for name in names:
            run_case(name, seed, chosen.case)
        return 0
    failures = 0
    for name in names:
        case, wrong = watch(name, seed, chosen.seconds / len(names))
        failures += wrong is not None
        print(
            f"{name:10} {case + 1:8} cases: {f'case {case} {wrong}, seed {seed}' if wrong else 'all is well'}",
            flush=True,
        )
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
