"""Is the way that `lightwork compare` names the best one, and is `Pool(backend="auto")` as fast as the best fixed way?

Each case is a function of which it is known what it does. An exhaustive timing does all of it in each way, with a new
pool each time; the verdict is right if the way it names took at most 1.1 of the best way's median. Targets: at least 9
of 10 verdicts right; auto at most 1.1 of the best fixed way.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from _rounds import header, parser, positive, save

import lightwork as mp

RIGHT = 1.1
SHARE = 0.9
AUTO = "auto"


@dataclass(frozen=True)
class Work:
    """A function and what it is called with."""

    name: str
    func: Callable[[Any], Any]
    items: Sequence[Any]


@dataclass(frozen=True)
class Finding:
    """What one round of verdicts gave for one case: medians in seconds; `named`, what the verdict says; how many times
    the best way's time that way takes, and auto."""

    case: str
    seconds: dict[str, float]
    named: str
    verdict_ratio: float
    auto_ratio: float
    explanation: str

    @property
    def right(self) -> bool:
        return self.verdict_ratio <= RIGHT


def loop(n: int) -> int:
    res = 0
    for i in range(n):
        res += i + i**2 + i**3
    return res


def multiply(size: int) -> float:
    import numpy

    matrix = numpy.full((size, size), 0.5)
    return float((matrix @ matrix)[0, 0])


def digest(number: int) -> str:
    return hashlib.sha256(number.to_bytes(8) * 500_000).hexdigest()


def pause(seconds: float) -> None:
    time.sleep(seconds)  # the work that is judged: it waits


def read(path: str) -> int:
    return Path(path).read_bytes().count(b"\n")


def add(x: int) -> int:
    return x + 1


def total(array: Any) -> float:
    return float(array.sum())


def works(folder: Path) -> list[Work]:
    """The cases; about a second of serial work each, but for those whose point is to be tiny."""
    import numpy

    files = [folder / str(number) for number in range(200)]
    for file in files:
        file.write_bytes(b"a line of text\n" * 100_000)
    arrays = [numpy.arange(1_000_000.0) + number for number in range(20)]
    return [
        Work("pure Python loop", loop, [100_000] * 80),
        Work("two long loops", loop, [4_000_000] * 2),
        Work("numpy matmul", multiply, [400] * 100),
        Work("hashing", digest, range(400)),
        Work("sleep", pause, [0.02] * 50),
        Work("file reading", read, [str(file) for file in files]),
        Work("tiny function", add, range(200_000)),
        Work("tiny work", add, range(1000)),
        Work("huge argument", total, arrays * 50),
        Work("skewed loops", loop, [1_500_000, *[20_000] * 150, 1_500_000]),
    ]


def exhaustive(work: Work, workers: int, rounds: int) -> tuple[dict[str, float], str]:
    """The median of each way, and of auto, with the start of a pool; interleaved. Also auto's last explanation."""
    explanation = ""

    def in_pool(backend: str) -> None:
        nonlocal explanation
        with mp.Pool(workers, backend=backend) as pool:
            pool.map(work.func, work.items)
        explanation = getattr(pool, "explanation", explanation)

    def in_loop() -> None:
        for item in work.items:
            work.func(item)

    ways: dict[str, Callable[[], None]] = {"serial": in_loop}
    ways |= {backend: partial(in_pool, backend) for backend in ("threads", "processes", AUTO)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            begun = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(taken) for name, taken in seconds.items()}, explanation


def judge(work: Work, workers: int, rounds: int) -> Finding:
    named = mp.compare(work.func, work.items, workers=workers, repeat=rounds).best.backend
    seconds, explanation = exhaustive(work, workers, rounds)
    best = min(taken for way, taken in seconds.items() if way != AUTO)
    return Finding(work.name, seconds, named, seconds[named] / best, seconds[AUTO] / best, explanation)


def main() -> None:
    options = parser(__doc__, rounds=5, workers=mp.usable_cpus())
    options.add_argument("--runs", type=positive, default=3, help="times that all is done (default: %(default)s)")
    chosen = options.parse_args()
    about = header()
    found: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        cases = works(Path(folder))
        for run in range(chosen.runs):
            print(f"run {run + 1} of {chosen.runs}")
            for work in cases:
                found.append(judge(work, chosen.workers, chosen.rounds))
                print_finding(found[-1])
    right = sum(finding.right for finding in found)
    met = "met" if right >= SHARE * len(found) else "MISSED"
    print(f"\nverdicts: {right} of {len(found)} right, target >= {SHARE:.0%}: {met}")
    slow = sorted({finding.case for finding in found if finding.auto_ratio > RIGHT})
    print(f"auto: at most {RIGHT} of the best way's time but in {slow}" if slow else f"auto: all within {RIGHT}: met")
    save("verdicts", {**about, "rounds": chosen.rounds, "rows": [asdict(finding) for finding in found]}, chosen)


def print_finding(finding: Finding) -> None:
    ways = "  ".join(f"{way} {taken:.4f}" for way, taken in finding.seconds.items())
    verdict = "right" if finding.right else "WRONG"
    print(f"  {finding.case:<18}{ways}  [s]")
    print(f"      verdict {finding.named}: {finding.verdict_ratio:.2f} of the best, {verdict}; ", end="")
    print(f"auto {finding.auto_ratio:.2f}: {finding.explanation}", flush=True)


if __name__ == "__main__":
    main()
