"""Runs worker.py under watch: nothing a test does can block, and nothing it started outlives its class.

A worker leads its own session. It shows progress by appending to its events file; if the file stays unchanged for the
time limit the worker is told to dump its stacks and die, every process of the session is killed, the running test
counts as HANG (or CRASH, if the worker died on its own) and a new worker goes on with the tests that remain.
"""

import asyncio
import json
import os
import select
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")
GRACE_SECONDS = 3.0  # for a resource tracker or fork server to see that its session's leader has ended
DUMP_SECONDS = 5.0  # for a hung worker and its children to write their stacks
LOG_TAIL = 6000


@dataclass
class Outcome:
    """What became of one test: pass, fail, error, skip, HANG or CRASH."""

    what: str
    text: str = ""
    seconds: float = 0.0


@dataclass
class ClassReport:
    """What became of one test class; `left` counts processes that were still there when its worker had ended."""

    name: str
    tests: dict[str, Outcome] = field(default_factory=dict)
    seconds: float = 0.0
    left: int = 0

    def count(self, what: str) -> int:
        return sum(outcome.what == what for outcome in self.tests.values())


@dataclass
class _Run:
    """What one worker did: its events, and "done", "HANG" or "CRASH" with a word on why."""

    events: list[dict[str, Any]]
    end: str
    why: str
    left: int


class Runner:
    """Starts workers for the tests of one start method; files go below `work`."""

    def __init__(self, work: Path, module: str, timeout: float) -> None:
        self.work = work
        self.module = module
        self.timeout = timeout
        self._started = 0

    async def classes(self) -> dict[str, list[str]]:
        """All test classes with their tests. Raises RuntimeError, with the log, if the suite cannot be imported."""
        run = await self._run({})
        for event in run.events:
            if "classes" in event:
                found: dict[str, list[str]] = event["classes"]
                return found
        raise RuntimeError(f"{run.end} ({run.why}) while the tests were imported")

    async def run_class(self, name: str, tests: list[str]) -> ClassReport:
        report = ClassReport(name)
        began = time.monotonic()
        todo = list(tests)
        while todo:
            run = await self._run({"class": name, "tests": todo})
            report.left += run.left
            _settle(report, todo, run)
            todo = [test for test in todo if test not in report.tests]
        report.seconds = time.monotonic() - began
        return report

    async def _run(self, job: dict[str, object]) -> _Run:
        self._started += 1
        events = self.work / f"{self._started}.jsonl"
        log = self.work / f"{self._started}.log"
        events.touch()
        job = job | {"work": str(self.work), "module": self.module, "events": str(events)}
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-X", "faulthandler", str(WORKER), json.dumps(job)),
                stdin=DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.work,
                env=os.environ | {"TMPDIR": str(self.work)},
                start_new_session=True,
            )
        left = 0
        try:
            hung = not await _finished(process, events, self.timeout)
            if hung:
                await _dump_stacks(process.pid)
            else:
                left = await _leftovers(process.pid)
        finally:
            await _kill_session(process)
        seen = [json.loads(line) for line in events.read_text().splitlines()]
        if hung:
            return _Run(seen, "HANG", f"no progress for {self.timeout:g} s{_tail(log)}", left)
        if process.returncode or not seen or "end" not in seen[-1]:
            return _Run(seen, "CRASH", f"the interpreter ended with {process.returncode}{_tail(log)}", left)
        return _Run(seen, "done", "", left)


def _settle(report: ClassReport, todo: list[str], run: _Run) -> None:
    """Enter what one worker did. At least one of `todo` gets an outcome, so that the class comes to its end."""
    running: str | None = None
    set_up: Outcome | None = None
    for event in run.events:
        if "start" in event:
            running = event["start"]
        elif "test" in event:
            running = None
            report.tests[event["test"]] = Outcome(event["outcome"], event["text"], event["seconds"])
        elif "fixture" in event and event["fixture"].startswith("setUp"):
            set_up = Outcome(event["outcome"], f"{event['fixture']}: {event['text']}")
        elif "fixture" in event:
            report.tests[event["fixture"].split()[0]] = Outcome(event["outcome"], event["text"])
    missing = [test for test in todo if test not in report.tests]
    if run.end != "done" and running is not None:
        report.tests[running] = Outcome(run.end, run.why)
    elif run.end != "done" and not missing:
        report.tests["(after the last test)"] = Outcome(run.end, run.why)
    elif run.end != "done" and len(missing) < len(todo):
        report.tests[missing[0]] = Outcome(run.end, f"before it began: {run.why}")
    elif run.end != "done":
        report.tests.update(dict.fromkeys(missing, Outcome(run.end, f"in set-up: {run.why}")))
    else:  # a fixture kept the worker from them
        report.tests.update(dict.fromkeys(missing, set_up or Outcome("error", "no outcome recorded")))


async def _finished(process: Process, events: Path, timeout: float) -> bool:
    """True when the process has ended, False when its events file stayed unchanged for `timeout` seconds."""
    ended = asyncio.ensure_future(process.wait())
    while (remaining := timeout - (time.time() - events.stat().st_mtime)) > 0:
        if (await asyncio.wait({ended}, timeout=remaining))[0]:
            return True
    ended.cancel()
    return False


async def _dump_stacks(leader: int) -> None:
    """Have each process of the session write its stacks, one after the other: they share one log."""
    deadline = time.monotonic() + DUMP_SECONDS
    for pid in sorted(_session(leader), key=lambda pid: pid != leader):
        _kill(pid, signal.SIGUSR2)
        await asyncio.to_thread(_await_end, [pid], min(1.0, deadline - time.monotonic()))


async def _leftovers(session: int) -> int:
    """How many processes of the session are there after its leader's end and a moment of grace."""
    await asyncio.to_thread(_await_end, _session(session), GRACE_SECONDS)
    return len(_session(session))


async def _kill_session(process: Process) -> None:
    deadline = time.monotonic() + DUMP_SECONDS
    while (members := _session(process.pid)) and time.monotonic() < deadline:  # again: one may have forked meanwhile
        for pid in members:
            _kill(pid, signal.SIGKILL)
        _await_end(members, 1.0)
    await process.wait()


def _session(session: int) -> list[int]:
    """The living processes of a session."""
    members = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text(errors="replace")
            except OSError:
                continue  # it ended meanwhile
            state, _parent, _group, its_session = stat.rpartition(")")[2].split()[:4]
            if int(its_session) == session and state not in "ZX":
                members.append(int(entry))
    return members


def _await_end(pids: list[int], seconds: float) -> None:
    """Return when all of them have ended, or after `seconds`."""
    deadline = time.monotonic() + seconds
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        finally:
            os.close(fd)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _tail(log: Path) -> str:
    text = log.read_text(errors="replace")[-LOG_TAIL:].strip()
    return f"; its last output:\n{text}" if text else ""
