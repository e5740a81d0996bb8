"""Starts a program under test in its own session, with a time limit that nothing can outlast."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field

DUMP_SECONDS = 3.0  # for a program that hangs to write its stacks


@dataclass
class Ended:
    """How a program ended; `code` is None if it was killed at its time limit. `str` shows all that it wrote."""

    command: Sequence[str]
    code: int | None
    out: str = field(repr=False)
    err: str = field(repr=False)

    def __str__(self) -> str:
        how = "HANG" if self.code is None else f"exit code {self.code}"
        return f"{' '.join(self.command)}: {how}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def launch(command: Sequence[str], seconds: float, **environment: str) -> Ended:
    """Run `command`. Its output goes to files, so that no surviving child can keep us waiting at a pipe's end.

    At the limit it gets SIGABRT, on which PYTHONFAULTHANDLER writes every stack to stderr; then its session is killed.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=os.environ | {"PYTHONFAULTHANDLER": "1"} | environment,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            process.send_signal(signal.SIGABRT)
            try:
                process.wait(DUMP_SECONDS)
            except subprocess.TimeoutExpired:
                pass  # not even a signal reaches it; SIGKILL does
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # the usual case: all of them have ended
            process.wait()
        out.seek(0)
        err.seek(0)
        return Ended(command, code, out.read().decode(errors="replace"), err.read().decode(errors="replace"))
