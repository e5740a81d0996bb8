"""Interrupt starts of processes and pools at random moments (argument: a start method): nobody is left running."""

import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from alarms import Alarm, interrupt
from conftest import wait_until

import lightwork as mp


def begin(ctx, turn, clock):
    p = None
    try:
        clock.set()
        if turn % 2:
            with ctx.Pool(2):
                clock.off = True
        else:
            p = ctx.Process(target=abs, args=(1,))
            p.start()
        clock.off = True
    except KeyboardInterrupt:
        clock.off = True
    if p is not None and p.pid is not None:
        p.join()


def children():
    """Those that run. (One of spawn's whose pid an interrupt has swallowed ends by itself, and stays unreaped.)"""
    pids = {pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()}
    return {pid for pid in pids if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"}


def living():
    """Without those whose start was interrupted, which are in no state of theirs."""
    return [thread for thread in threading.enumerate() if thread.is_alive()]


if __name__ == "__main__":
    method = sys.argv[1]
    ctx = mp.get_context(method)
    for _ in range(2):  # the resource tracker, the forkserver
        p = ctx.Process(target=abs, args=(1,))
        p.start()
        p.join()
    lasting = children()
    with Alarm(interrupt, 4e-3) as clock:
        for turn in range(200 if method == "fork" else 40):
            begin(ctx, turn, clock)
        assert clock.rung > 5
    assert wait_until(lambda: len(living()) == 1), living()
    assert wait_until(lambda: children() <= lasting), children() - lasting
