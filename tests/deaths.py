"""All that kills processes, one after another: at every step, at every machine instruction, in storms.

    python tests/deaths.py --quick             # a sample of each: some minutes
    python tests/deaths.py --minutes 60        # all steps, all instructions (an hour), storms and killed workers

Each prints its counts; the last lines say which of them found something. Exit code 0 if none did.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="a sample")
    options.add_argument("--minutes", type=float, default=1, help="of storms, and of each chaos (default: %(default)s)")
    chosen = options.parse_args()
    seconds = ["--seconds", str(chosen.minutes * 60)]
    harnesses = {
        "steps": ["kill/run.py", *(["--quick"] if chosen.quick else [])],
        "instructions": ["step/run.py", *(["--every", "100"] if chosen.quick else [])],
        "storms": ["chaos/storms.py", *seconds],
        **{f"chaos, {method}": ["chaos/chaos.py", *seconds, "--method", method] for method in ("fork", "forkserver")},
    }
    failed, lines = False, []
    for name, (script, *arguments) in harnesses.items():
        print(f"== {name}: {script} {' '.join(arguments)}", flush=True)
        begin = time.monotonic()
        code = subprocess.call([sys.executable, str(HERE / script), *arguments])
        found = f"exit code {code}" if code else "nothing found"
        lines.append(f"{name}: {found}, {time.monotonic() - begin:.0f} s")
        failed = failed or code != 0
    print("", *lines, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
