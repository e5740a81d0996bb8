"""How long do others wait after a process was killed: for its lock, for the message it had, for its task's result?

Each figure is the median of a round's deaths. A lock is waited for while its holder is killed. A message is taken by a
reader that is killed while it unpickles it, and comes to the next, who waits for it. A pool's task kills its worker
once and is tried again: the time is that from the kill to the result. The standard library has no figures here: its
waiters wait for ever, but for those of ProcessPoolExecutor, which breaks.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from _pools import OURS
from _rounds import Case, parser, positive, run

import lightwork

MILLI = 1e3
LOCK_TARGET, POOL_TARGET = 50, 100
CLOCK = time.CLOCK_MONOTONIC

context = lightwork.get_context("fork")


def median_of(death: Callable[[], float], deaths: int) -> float:
    return statistics.median(death() for _ in range(deaths)) * MILLI


def die(killed_at: Any) -> None:
    killed_at.value = time.clock_gettime(CLOCK)
    os.kill(os.getpid(), signal.SIGKILL)


def hold_and_die(lock: Any, held: Any, killed_at: Any) -> None:
    lock.acquire()
    held.set()
    time.sleep(0.02)  # so that the other one sleeps in `acquire`, and does not spin
    die(killed_at)


def lock_of_the_dead() -> float:
    lock, held, killed_at = context.Lock(), context.Event(), context.RawValue("d", 0.0)
    holder = context.Process(target=hold_and_die, args=(lock, held, killed_at))
    holder.start()
    held.wait()
    lock.acquire()
    seconds = time.clock_gettime(CLOCK) - killed_at.value
    lock.release()
    holder.join()
    return float(seconds)


class KillsItsFirstReader:
    def __init__(self, pid: int, killed_at: Any, dying: Any) -> None:
        self.state = pid, killed_at, dying

    def __reduce__(self) -> Any:
        return unpickled, self.state


def unpickled(pid: int, killed_at: Any, dying: Any) -> str:
    if os.getpid() != pid:
        dying.set()
        die(killed_at)
    return "message"


def message_of_the_dead() -> float:
    queue, killed_at, dying = context.Queue(), context.RawValue("d", 0.0), context.Event()
    reader = context.Process(target=queue.get)
    reader.start()
    queue.put(KillsItsFirstReader(os.getpid(), killed_at, dying))
    dying.wait()  # else this process would take the message itself
    if queue.get() != "message":
        raise RuntimeError("another message came")
    seconds = time.clock_gettime(CLOCK) - killed_at.value
    reader.join()
    return float(seconds)


def die_once(killed_at: Any) -> None:
    if not killed_at.value:
        die(killed_at)


def task_of_the_dead(pool: Any) -> float:
    killed_at = context.RawValue("d", 0.0)
    pool.apply(die_once, (killed_at,), retries=1)
    return float(time.clock_gettime(CLOCK) - killed_at.value)


def tasks_of_the_dead(workers: int, deaths: int) -> float:
    with context.Pool(workers) as pool:
        pool.map(abs, range(workers))
        return median_of(partial(task_of_the_dead, pool), deaths)


def main() -> None:
    options = parser(__doc__, rounds=3, workers=2)
    options.add_argument("--deaths", type=positive, default=20, help="per round (default: %(default)s)")
    chosen = options.parse_args()
    warnings.simplefilter("ignore", lightwork.errors.OwnerDiedWarning)  # one for each death
    measures = [
        ("the lock of a killed holder", partial(median_of, lock_of_the_dead, chosen.deaths), LOCK_TARGET),
        ("the message of a killed reader (information)", partial(median_of, message_of_the_dead, chosen.deaths), None),
        (
            "the result of a killed worker's task",
            partial(tasks_of_the_dead, chosen.workers, chosen.deaths),
            POOL_TARGET,
        ),
    ]
    cases = [Case(name, "ms", {OURS: measure}, False, bound=bound) for name, measure, bound in measures]
    run("recovery", cases, chosen)


if __name__ == "__main__":
    main()
