"""Kills processes at every step of every protocol, and checks that nothing is lost, doubled, stuck or leaked.

    python tests/kill/run.py                       every case; minutes
    python tests/kill/run.py --quick               a sample
    python tests/kill/run.py --only "put, block"   operations whose names contain this
    python tests/kill/run.py --case "get, block" queue.get.done 2

The core has to be built with the feature `kill_points`; if the installed one is not, a wheel that has it is built into a
temporary environment. README.md says what a case is. Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from lightwork import _native as native

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

#: The features of an ordinary build, which maturin leaves out when others are named, and ours.
FEATURES = "pyo3/extension-module,kill_points"

def run_with_feature(arguments: list[str]) -> int:
    """Build the core with its kill points into a temporary environment, and run this there."""
    with tempfile.TemporaryDirectory() as folder:
        print("the installed core has no kill points: building one that has", flush=True)
        wheels = Path(folder) / "wheels"
        build = [sys.executable, "-m", "maturin", "build", "--quiet", "--release", "--features", FEATURES]
        subprocess.run([*build, "--interpreter", sys.executable, "--out", wheels], cwd=ROOT, check=True)
        venv.create(Path(folder) / "env", with_pip=True)
        python = Path(folder) / "env" / "bin" / "python"
        install = [python, "-m", "pip", "install", "--quiet", *wheels.iterdir(), "numpy"]
        subprocess.run(install, check=True)
        return subprocess.run([python, __file__, *arguments]).returncode


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a sample of the cases")
    parser.add_argument("--only", default="", metavar="TEXT", help="operations whose names contain this")
    parser.add_argument("--case", nargs="+", metavar="NAME", help="operation point [nth [point nth]]: this case alone")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    if not hasattr(native, "kill_points"):
        return run_with_feature(arguments)

    from campaign import Campaign
    from operations import OPERATIONS
    from stage import Case

    if chosen.case:
        name, point, nth, then, then_nth = (chosen.case + ["", "1", "", "1"][len(chosen.case) - 1 :])[:5]
        return Campaign(OPERATIONS).run_one(Case(name, point, int(nth), then, int(then_nth)))
    wanted = [operation for operation in OPERATIONS if chosen.only in operation.name]
    campaign = Campaign(wanted, random.Random(chosen.seed) if chosen.quick else None)
    return campaign.run(complete=not chosen.only and not chosen.quick)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    sys.exit(main(sys.argv[1:]))
