"""Run CPython's own multiprocessing tests, those of this interpreter, against lightwork.

    python tests/stdlib/run_suite.py 'WithProcesses*' --method spawn --jobs 2
    python tests/stdlib/run_suite.py WithProcessesTestLock 'WithProcessesTestQueue.test_get*'
    python tests/stdlib/run_suite.py --suite executor

Exit code 0: every failure is named, with its reason, in differences.toml, and so is every hang; nothing crashed.
1: something else failed. 2: nothing could be run.
"""

import argparse
import asyncio
import json
import platform
import sys
import sysconfig
import tempfile
from dataclasses import asdict
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

import expectations
from rewrite import METHODS, SUITE, SUITES, build, find_suite
from watch import ClassReport, Outcome, Runner

WHATS = ("pass", "fail", "error", "HANG", "CRASH", "skip")
FAILED = ("fail", "error", "HANG", "CRASH")
FATAL = ("HANG", "CRASH")


def main() -> int:
    args = parse_arguments()
    folder = find_suite(args.suite)
    if folder is None:
        print(f"not run: {sys.executable} has no test/{SUITES[args.suite]} (its distribution or version is without it)")
        return 2 if args.require else 0
    if find_spec(args.package) is None:
        print(f"{args.package} is not installed for {sys.executable}")
        return 2
    with tempfile.TemporaryDirectory(prefix=f"{SUITE}-", ignore_cleanup_errors=True) as work:
        build(folder, Path(work), args.package, [work, *where_installed(args.package)])
        runner = Runner(Path(work), f"{SUITE}.test_{args.suite}_{args.method}", args.timeout)
        try:
            reports = asyncio.run(run(runner, args))
        except RuntimeError as error:
            print(error)
            return 2
    if not reports:
        print("no test matches", *args.patterns)
        return 2
    return 0 if args.list else conclude(reports, args)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"], help="classes or Class.test, with * and ? (default: all)")
    parser.add_argument(
        "--suite", choices=SUITES, default="multiprocessing", help="executor: the tests of ProcessPoolExecutor"
    )
    parser.add_argument("--method", choices=METHODS, default="fork", help="start method (default: fork)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="classes at a time (default: 1)")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds without progress (60)")
    parser.add_argument("--quick", action="store_true", help="leave out the tests named in slow.toml")
    parser.add_argument("--require", action="store_true", help="fail if this interpreter has no such tests")
    parser.add_argument("--list", action="store_true", help="only name the chosen tests")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome to FILE")
    parser.add_argument("--package", default="lightwork", help="what to test; multiprocessing passes")
    return parser.parse_args()


def where_installed(package: str) -> list[str]:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    return [str(Path(spec.origin).parent.parent), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]


async def run(runner: Runner, args: argparse.Namespace) -> list[ClassReport]:
    """Run the chosen classes, `args.jobs` at a time, and print a row for each as it ends."""
    chosen = choose(await runner.classes(), args)
    if args.list or not chosen:
        for name, tests in chosen.items():
            print(*(f"{name}.{test}" for test in tests), sep="\n")
        return [ClassReport(name) for name in chosen]
    print(f"{args.package} on {platform.python_version()}, {args.method}, at most {args.timeout:g} s without progress")
    print(f"{'class':48} {'tests':>5}", *(f"{what:>5}" for what in WHATS), f"{'sec':>6} left", flush=True)
    slots = asyncio.Semaphore(args.jobs)

    async def one(name: str, tests: list[str]) -> ClassReport:
        async with slots:
            report = await runner.run_class(name, tests)
        print(row(report.name, [report]), flush=True)
        return report

    return await asyncio.gather(*(one(name, tests) for name, tests in chosen.items()))


def choose(classes: dict[str, list[str]], args: argparse.Namespace) -> dict[str, list[str]]:
    patterns = [pattern if "." in pattern else f"{pattern}.*" for pattern in args.patterns]
    slow = expectations.slow() if args.quick else []
    chosen = {}
    for name, tests in classes.items():
        wanted = [
            test
            for test in tests
            if any(fnmatchcase(f"{name}.{test}", pattern) for pattern in patterns)
            and not expectations.find(slow, f"{name}.{test}", args.method)
        ]
        if wanted:
            chosen[name] = wanted
    return chosen


def row(title: str, reports: list[ClassReport]) -> str:
    counts = [sum(report.count(what) for report in reports) for what in WHATS]
    cells = [f"{count or '.':>5}" for count in counts]
    seconds = sum(report.seconds for report in reports)
    left = sum(report.left for report in reports)
    return " ".join([f"{title:48} {sum(counts):5}", *cells, f"{seconds:6.1f} {left or '.':>4}"])


def conclude(reports: list[ClassReport], args: argparse.Namespace) -> int:
    """Print the total and every failing test, write the JSON file, and return the exit code."""
    listed = expectations.differences()
    unlisted: dict[str, list[str]] = {report.name: [] for report in reports}
    surprises = []
    print(row("TOTAL", reports))
    for report in reports:
        for test, outcome in report.tests.items():
            name = f"{report.name}.{test}"
            entry = expectations.find(listed, name, args.method)
            if entry is not None and (outcome.what in ("fail", "error") or (entry.hangs and outcome.what == "HANG")):
                print(f"{outcome.what:5} {name}: listed: {entry.reason}")
            elif outcome.what in FAILED:
                unlisted[report.name].append(f"{outcome.what} {name}: {outcome.text}")
                print(f"{outcome.what:5} {name}: {brief(outcome)}")
            elif outcome.what == "pass" and entry is not None:
                surprises.append(name)
    for name in surprises:
        print(f"passes, though differences.toml lists it: {name}")
    if args.json:
        args.json.write_text(json.dumps(as_json(reports, unlisted, args), indent=1))
    bad = sum(map(len, unlisted.values()))
    print(f"{bad} failed and are not in differences.toml" if bad else "no failure but the listed ones")
    return 1 if bad else 0


def brief(outcome: Outcome) -> str:
    """The last line of a failure, all of a hang's or crash's log."""
    return outcome.text if outcome.what in FATAL else outcome.text.strip().rpartition("\n")[2]


def as_json(reports: list[ClassReport], unlisted: dict[str, list[str]], args: argparse.Namespace) -> dict[str, object]:
    return {
        "package": args.package,
        "python": platform.python_version(),
        "suite": args.suite,
        "method": args.method,
        "classes": {
            report.name: {
                "seconds": round(report.seconds, 2),
                "left": report.left,
                "unlisted": unlisted[report.name],
                "tests": {test: asdict(outcome) for test, outcome in report.tests.items()},
            }
            for report in reports
        },
    }


if __name__ == "__main__":
    sys.exit(main())
