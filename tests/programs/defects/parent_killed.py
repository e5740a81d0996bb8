"""A daemonic process ends with its parent, even if that is killed with SIGKILL (CPython issue 80180: it stays)."""

import os
import select
import signal
import subprocess
import sys
from typing import Any

import lightwork as mp


def pause() -> None:
    signal.pause()


def parent(ctx: Any) -> None:
    child = ctx.Process(target=pause, daemon=True)
    child.start()
    print(child.pid, flush=True)
    signal.pause()


def main(method: str) -> str | None:
    with subprocess.Popen([sys.executable, __file__, method, "parent"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        pidfd = os.pidfd_open(child)
        process.kill()
        process.wait()
        ended, _, _ = select.select([pidfd], [], [], 5.0)
        if ended:
            return None
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return "the daemonic child lives on after its parent was killed"


if __name__ == "__main__":
    if sys.argv[2:] == ["parent"]:
        parent(mp.get_context(sys.argv[1]))
    else:
        sys.exit(main(sys.argv[1]))
