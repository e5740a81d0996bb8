"""Kills processes at every step of every protocol, and checks that nothing is lost, doubled, stuck or leaked.

    python tests/kill/run.py                       every case; some minutes
    python tests/kill/run.py --quick               a sample, in less than a minute
    python tests/kill/run.py --only "put, block"   operations whose names contain this
    python tests/kill/run.py --case "get, block" queue.get.done 2

README.md says what a case is. The core has to be built with the feature `kill_points`; if the installed one is not,
it is built into a temporary environment. Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

#: maturin leaves out the ordinary build's features when others are named.
FEATURES = "build-args=--features=pyo3/extension-module,kill_points"


def has_kill_points() -> bool:
    from lightwork import _native

    return hasattr(_native, "kill_points")


def run_in_an_environment_of_its_own(arguments: list[str]) -> int:
    print("the installed core has no kill points: building one that has them", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        install = [python, "-m", "pip", "install", "--quiet", "--config-settings", FEATURES, ROOT, "numpy"]
        subprocess.run(install, check=True)
        return subprocess.run([python, __file__, "--no-build", *arguments]).returncode


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a sample of the cases")
    parser.add_argument("--only", default="", metavar="TEXT", help="operations whose names contain this")
    parser.add_argument("--case", nargs="+", metavar="NAME", help="operation point [nth [point nth]]: this case alone")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    parser.add_argument("--no-build", action="store_true", help="fail if the installed core has no kill points")
    chosen = parser.parse_args(arguments)
    if not has_kill_points():
        if chosen.no_build:
            parser.error("the installed core was built without the feature kill_points")
        return run_in_an_environment_of_its_own(arguments)

    from campaign import Campaign
    from operations import OPERATIONS
    from stage import Case

    if chosen.case:
        name, point, nth, then, then_nth = [*chosen.case, *["", "1", "", "1"][len(chosen.case) - 1 :]]
        return Campaign(OPERATIONS).run_one(Case(name, point, int(nth), then, int(then_nth)))
    wanted = [operation for operation in OPERATIONS if chosen.only in operation.name]
    campaign = Campaign(wanted, random.Random(chosen.seed) if chosen.quick else None)
    return campaign.run(complete=not chosen.only and not chosen.quick)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    sys.exit(main(sys.argv[1:]))
