"""Start several processes at the same moment and time them until the last one is done."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def race(library: Any, *lanes: Callable[[], Any]) -> tuple[float, list[Any]]:
    """Run each lane in a forked process of `library`; return the seconds from the start signal until all lanes were
    done, and what each lane returned.

    The signal comes when every process has said that it is ready, so creating the processes is not timed; each lane
    takes its own end time (CLOCK_MONOTONIC is one clock for all processes), so reporting back is not timed either.
    The signals go over pipes of the standard library, whichever library is measured. Raises RuntimeError if a lane
    fails; its traceback is on stderr.
    """
    context = library.get_context("fork")
    reports: list[Connection] = []
    runners: list[Any] = []
    for lane in lanes:
        ours, theirs = multiprocessing.Pipe()
        runner = context.Process(target=_run, args=(lane, theirs))
        runner.start()
        theirs.close()  # the runner holds the only other end: recv() below ends if it dies
        runners.append(runner)
        reports.append(ours)
    completed = False
    try:
        for report in reports:
            report.recv()
        start = time.perf_counter()
        for report in reports:
            report.send("go")
        done = [report.recv() for report in reports]
        completed = True
    except EOFError:
        raise RuntimeError("a process of the benchmark failed, see above") from None
    finally:
        for runner, report in zip(runners, reports, strict=True):
            if not completed:  # the others may wait for ever for the one that failed
                runner.kill()
            report.close()
            runner.join()
    return max(end for end, _ in done) - start, [result for _, result in done]


def _run(lane: Callable[[], Any], report: Connection) -> None:
    report.send("ready")
    report.recv()
    result = lane()
    report.send((time.perf_counter(), result))
