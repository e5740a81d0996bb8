"""`lightwork doctor` on machines that are described by a folder of files."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lightwork import doctor
from lightwork.doctor import Machine

GIB = 1 << 30

LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max file size             unlimited            unlimited            bytes
Max processes             {processes}          96365                processes
Max open files            {files}              1048576              files
Max locked memory         8388608              8388608              bytes
Max address space         {addresses}          unlimited            bytes
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine that is well."""
    for path, text in {
        "proc/sys/kernel/osrelease": "6.8.0-45-generic\n",
        "proc/meminfo": f"MemTotal:       {16 * GIB >> 10} kB\nMemFree:        1 kB\n",
        "proc/self/limits": LIMITS.format(processes=63000, files=1024, addresses="unlimited"),
        "proc/self/cgroup": "0::/user.slice/here\n",
        "proc/self/mounts": "tmpfs /dev/shm tmpfs rw,nosuid,nodev,inode64 0 0\n",
        "sys/fs/cgroup/memory.max": "max\n",
        "sys/kernel/mm/transparent_hugepage/shmem_enabled": "always within_size advise [never] deny force\n",
    }.items():
        write(tmp_path, path, text)
    return Machine(
        root=tmp_path,
        cpus=8,
        usable=8,
        budget=12 * GIB,
        start_method="forkserver",
        threads=1,
        environment={},
        temporary="/tmp",
        numpy="2.0.0",
        free_threaded=False,
        pidfd=True,
        memfd=True,
        wipe_on_fork=True,
        populate_write=True,
    )


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def limits(processes: object = 63000, files: object = 1024, addresses: object = "unlimited") -> dict[str, str]:
    return {"proc/self/limits": LIMITS.format(processes=processes, files=files, addresses=addresses)}


def test_a_machine_that_is_well(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    findings = doctor.examine(machine)
    assert {finding.state for finding in findings} == {"ok"}
    assert len(findings) == len(doctor.CHECKS)
    assert doctor.report(machine=machine) == 0
    assert capsys.readouterr().out.endswith("\n\nall is well\n")


CASES = [
    ("kernel", "problem", {"memfd": False}, {}, "there is no shared memory"),
    ("kernel", "problem", {"wipe_on_fork": False}, {}, "Linux 4.14 has it"),
    ("kernel", "note", {"pidfd": False}, {}, "Linux 6.8.0-45-generic has no pidfd"),
    ("kernel", "note", {"populate_write": False}, {}, "Linux 5.14 has it"),
    ("python", "note", {"free_threaded": True}, {}, "free-threaded"),
    ("processors", "note", {"usable": 2}, {}, "2 of 8 may be used"),
    ("memory", "problem", {}, {"sys/fs/cgroup/user.slice/memory.max": str(GIB)}, f"set_budget({GIB * 3 // 4})"),
    ("memory", "problem", {}, {"sys/fs/cgroup/memory.max": str(GIB)}, "12 GiB for shared memory at most, 1 GiB in all"),
    (
        "memory",
        "problem",
        {},
        {"proc/self/cgroup": "4:cpu,memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": str(GIB)},
        "1 GiB in all",
    ),
    ("memory", "problem", {"budget": None}, {}, "shared memory cannot be made"),
    ("memory", "note", {}, {"proc/meminfo": ""}, "cannot be seen"),
    ("open files", "problem", {}, limits(files=60), "enough for a pool of 7, and 8 are usual"),
    ("processes", "problem", {}, limits(processes=20), "at most 20 processes"),
    ("processes", "problem", {}, {"sys/fs/cgroup/user.slice/here/pids.max": "16"}, "--pids-limit"),
    ("addresses", "note", {}, limits(addresses=40 * GIB), "`ulimit -v` allows 40 GiB: shared memory has 32 GiB"),
    ("addresses", "problem", {}, limits(addresses=GIB // 8), "has 128 MiB or less"),
    ("/dev/shm", "note", {}, {"proc/self/mounts": "shm /dev/shm tmpfs rw,size=65536k 0 0\n"}, "64 MiB"),
    (
        "huge pages",
        "note",
        {},
        {"sys/kernel/mm/transparent_hugepage/shmem_enabled": "[always] within_size advise never"},
        "shmem_enabled is always",
    ),
    ("start method", "note", {"start_method": "fork"}, {}, "set_start_method('forkserver')"),
    ("start method", "note", {"start_method": "fork", "threads": 5}, {}, "5 threads run"),
    ("BLAS threads", "note", {"environment": {"OMP_NUM_THREADS": "4"}}, {}, "have 32 threads for 8 processors"),
    ("BLAS threads", "ok", {"environment": {"OMP_NUM_THREADS": "1"}}, {}, "as you chose"),
    ("numpy", "note", {"numpy": None}, {}, "pip install numpy"),
    ("temporary files", "problem", {"temporary": "/tmp/" + "x" * 90}, {}, "has 95 characters"),
]


@pytest.mark.parametrize(("subject", "state", "answers", "files", "words"), CASES)
def test_what_is_not_as_it_should_be_is_said(
    machine: Machine, subject: str, state: str, answers: dict[str, object], files: dict[str, str], words: str
) -> None:
    for path, text in files.items():
        write(machine.root, path, text)
    findings = doctor.examine(replace(machine, **answers))  # type: ignore[arg-type]
    (finding,) = [f for f in findings if f.subject == subject]
    assert finding.state == state
    assert words in f"{finding.found} {finding.advice}"
    assert {f.state for f in findings if f.subject != subject} == {"ok"}


def test_without_proc_and_sys_it_still_reports(machine: Machine, tmp_path: Path) -> None:
    findings = doctor.examine(replace(machine, root=tmp_path / "nowhere"))
    assert [finding.subject for finding in findings if finding.state != "ok"] == ["memory"]


def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    code = doctor.report()
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert code == ("\nproblem " in "\n" + out)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command(as_json: bool) -> None:
    command = [sys.executable, "-m", "lightwork", "doctor", *["--json"] * as_json]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    if as_json:
        findings = json.loads(done.stdout)
        assert all(set(finding) == {"state", "subject", "found", "advice"} for finding in findings)
        assert done.returncode == any(finding["state"] == "problem" for finding in findings)
    else:
        assert done.returncode in (0, 1)
        assert done.stdout.startswith(("ok ", "note ", "problem "))
