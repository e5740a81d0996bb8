"""The `lightwork` command, as a user types it: what it accepts, what it refuses, what it hands on."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import metadata, version
from pathlib import Path

import pytest

ECHO = "import sys; print(__name__, sys.argv[1:])\n"


def lightwork(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lightwork", *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_version() -> None:
    done = lightwork("--version")
    assert done.returncode == 0
    assert done.stdout == f"lightwork, version {version('lightwork')}\n"


def test_installed_command_is_the_same() -> None:
    command = Path(sys.executable).with_name("lightwork")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == lightwork("--version").stdout


def test_it_is_described_in_the_words_of_the_readme() -> None:
    claim = "faster, and it does not hang when a process dies"
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    for text in (readme, metadata("lightwork")["Summary"], lightwork("--help").stdout):
        assert claim in " ".join(text.split())


@pytest.mark.parametrize("command", [[], ["compare"], ["run"]])
def test_help_names_what_there_is(command: list[str]) -> None:
    done = lightwork(*command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: {' '.join(['lightwork', *command])}")
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["compare", "-n", "-1"], "'-n': -1 is not in the range x>=0."),
        (["compare", "-n", "many"], "'-n': 'many' is not a number."),
        (["compare", "--workers", "0"], "Invalid value for '--workers': 0 is not in the range x>=1."),
        (["compare", "--workers", "1,1.5"], "Invalid value for '--workers': 1.5 is not a whole number."),
        (["compare", "--backends", "fibres"], "'fibres' is not one of serial, threads, processes."),
        (["compare", "--repeat", "0"], "Invalid value for '--repeat': 0 is not in the range x>=1."),
        (["compare", "--json", "no/such/folder/f.json"], "there is no folder 'no/such/folder'."),
        (["compare", "--json", "."], "File '.' is a directory."),
        (["run"], "Missing argument 'SCRIPT'."),
        (["run", "no_such_script.py"], "lightwork run: cannot run 'no_such_script.py': No such file or directory"),
        (["run", "--bogus", "script.py"], "--bogus"),
        (["nonsense"], "No such command 'nonsense'."),
    ],
)
def test_bad_input_gets_one_sentence(args: list[str], sentence: str) -> None:
    done = lightwork(*args)
    assert done.returncode == 2
    assert sentence in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


OPTIONS = ["-n", "3", "--version", "--help", "-m", "--", "-x", "file"]


def test_run_leaves_every_option_to_the_script(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    done = lightwork("run", "echo.py", *OPTIONS, cwd=tmp_path)
    assert done.stdout == f"__main__ {OPTIONS}\n", done.stderr


def test_run_leaves_every_option_to_the_module(tmp_path: Path) -> None:
    (tmp_path / "echopack").mkdir()
    (tmp_path / "echopack" / "__init__.py").touch()
    (tmp_path / "echopack" / "__main__.py").write_text(ECHO)
    done = lightwork("run", "-m", "echopack", *OPTIONS, cwd=tmp_path)
    assert done.stdout == f"__main__ {OPTIONS}\n", done.stderr


def test_run_hands_on_the_exit_code(tmp_path: Path) -> None:
    script = tmp_path / "leave.py"
    script.write_text("import sys; sys.exit(7)\n")
    assert lightwork("run", str(script)).returncode == 7


def test_run_shows_no_frame_of_the_command_line(tmp_path: Path) -> None:
    script = tmp_path / "fail.py"
    script.write_text("1 / 0\n")
    done = lightwork("run", str(script))
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "click" not in done.stderr


def test_run_does_not_take_the_scripts_exceptions_for_its_own(tmp_path: Path) -> None:
    # A click application's own Abort and UsageError must not be reported by the click of the command line.
    script = tmp_path / "abort.py"
    script.write_text("import click\nraise click.UsageError('from the script')\n")
    done = lightwork("run", str(script))
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "Usage:" not in done.stderr
