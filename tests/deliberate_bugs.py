"""Are the harnesses any good? Breaks the recovery on purpose, builds that, and each harness has to find it.

    python tests/deliberate_bugs.py      # some minutes; changes a copy of the project

Exit code 0 if all found what they should. The READMEs of `kill` and `step` name more bugs that were tried by hand.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "kill"))

from run import FEATURES  # noqa: E402 - after the path


@dataclass(frozen=True)
class Bug:
    """What is broken, the line it stands in, what that becomes, and who has to find it: (script, arguments, a word that
    it must print)."""

    name: str
    file: str
    line: str
    broken: str
    harnesses: tuple[tuple[str, list[str], str], ...]


BUGS = [
    Bug(
        "nobody takes a lock over from the dead",
        "src/sync/lock.rs",
        "let owner = Member::of(word).filter(|&m| is_dead(m))?;",
        "let owner = Member::of(word).filter(|&m| is_dead(m) && false)?;",
        (
            ("kill/run.py", ["--case", "Lock", "sync.take.1"], "stuck"),
            ("step/run.py", ["acquire", "--every", "40"], "stuck"),
            ("chaos/storms.py", ["forks", "--seconds", "20"], "forks"),
        ),
    ),
    Bug(
        "a reader that inherits the queue does not put back what the dead one had begun to take",
        "src/queue/recover.rs",
        "segment.slot(h).word.store(members::me().word(STAGED), Release); // [unget.1]",
        "let _ = (segment.slot(h), STAGED);",
        (
            ("kill/run.py", ["--only", "get, inline"], "doubled"),
            ("step/run.py", ["get", "--every", "2"], "doubled"),
        ),
    ),
    Bug(
        "a pool does not give back what a dead worker had taken",
        "python/lightwork/pool/_wire.py",
        "        self.tasks.recall(self.rows)",
        "        pass",
        (("kill/run.py", ["--only", "pool's worker"], "stuck"),),
    ),
]


def main() -> int:
    missed = []
    for bug in BUGS:
        print(f"== {bug.name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            python = build(bug, Path(folder))
            for script, arguments, word in bug.harnesses:
                command = [python, ROOT / "tests" / script, *arguments]
                done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                found = done.returncode != 0 and word in done.stdout
                print(f"{script} {' '.join(arguments)}: {'found' if found else 'NOT FOUND'}", flush=True)
                print(*[f"    {line}" for line in done.stdout.splitlines()[-4:]], sep="\n", flush=True)
                if not found:
                    missed.append(f"{bug.name}: {script}")
    print("", *([f"not found: {what}" for what in missed] or ["each was found by all that should"]), sep="\n")
    return int(bool(missed))


def build(bug: Bug, folder: Path) -> Path:
    """An interpreter that has Lightwork with this bug."""
    copy = folder / "project"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("target", ".git", "__pycache__"))
    file = copy / bug.file
    source = file.read_text()
    if source.count(bug.line) != 1:
        raise SystemExit(f"{bug.file} has not one line {bug.line!r}: BUGS is out of date")
    file.write_text(source.replace(bug.line, bug.broken))
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--config-settings", FEATURES, copy, "numpy"]
    subprocess.run(install, check=True)
    return python


if __name__ == "__main__":
    sys.exit(main())
