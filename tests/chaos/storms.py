"""What a machine does to programs on a bad day, drawn at random; nothing may hang, crash, be lost or be left behind.

    python tests/chaos/storms.py --seconds 60 --seed 7
    python tests/chaos/storms.py stops handlers

    stops        workers, and holders of locks, are stopped and go on (SIGSTOP, SIGCONT): none of them is taken for dead
    forks        children that fork children, all with the same queue and lock, some of them killed
    addresses    under `ulimit -v`: what does not fit is a MemoryError, and the rest goes on
    descriptors  none are left: what needs one is an OSError, locks and queues go on
    handlers     signal handlers use the primitives that they interrupt
    memory       in a memory cgroup: a task that takes too much is a WorkerDied, and the pool goes on. Needs a cgroup
                 that may be made: skipped where it may not

Each storm has a process of its own and a share of the time. Exit code 0 if all is well; the seed is printed first, and
fixes what is drawn, though not how the kernel schedules it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import faulthandler
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import Empty, Full
from typing import Any

from chaos import Holdings, check

import lightwork
import lightwork.arena
from lightwork.errors import WorkerDied

PATIENCE = 60.0
"""Seconds that a storm may take longer than it was told to."""

fork: Any = lightwork.get_context("fork")


class Skipped(Exception):
    """This machine cannot have that storm."""


def triple(n: int) -> int:
    return 3 * n


# -- stops


def counts(lock: Any, value: Any, rounds: int) -> None:
    warnings.simplefilter("error")  # a take-over from somebody who lives
    for _ in range(rounds):
        with lock:
            value.value += 1


def stops(dice: random.Random, until: float) -> int:
    rounds = 0
    while time.monotonic() < until:
        lock, value, each = fork.Lock(), fork.Value("i", 0), dice.randint(500, 3000)
        processes = [fork.Process(target=counts, args=(lock, value, each)) for _ in range(3)]
        for process in processes:
            process.start()
        with fork.Pool(2) as pool:
            result = pool.map_async(triple, range(20_000))
            victims = [*processes, *pool._pool]
            while not result.ready() or any(process.is_alive() for process in processes):
                victim = dice.choice(victims)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim.pid, signal.SIGSTOP)
                    time.sleep(dice.expovariate(1 / 0.01))  # so long it is stopped
                    os.kill(victim.pid, signal.SIGCONT)
            check(result.get() == [3 * n for n in range(20_000)], "the map has wrong results")
        for process in processes:
            process.join()
            check(process.exitcode == 0, f"a process that was only stopped ended with {process.exitcode}")
        check(value.value == 3 * each, f"{value.value} rounds were counted, not {3 * each}")
        rounds += 1
    return rounds


# -- forks


def branch(queue: Any, lock: Any, depth: int, name: tuple[int, ...], seed: int) -> None:
    dice = random.Random(seed)
    children = []
    for i in range(dice.randint(0, 3) if depth else 0):
        child = fork.Process(target=branch, args=(queue, lock, depth - 1, (*name, i), dice.getrandbits(32)))
        child.start()
        children.append(child)
    with lock:
        queue.put(("here", name))
    if dice.random() < 0.1:
        lock.acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    for child in children:
        child.join()
    queue.put(("done", name, [child.exitcode for child in children]))


def forks(dice: random.Random, until: float) -> int:
    """Who was killed has its children behind it; each other tells how its children ended."""
    warnings.simplefilter("ignore")  # locks are taken over
    rounds = 0
    while time.monotonic() < until:
        queue, lock = fork.Queue(), fork.Lock()
        root = fork.Process(target=branch, args=(queue, lock, 4, (), dice.getrandbits(32)))
        root.start()
        root.join()
        here: list[Any] = []
        done: dict[Any, list[int]] = {}
        with contextlib.suppress(Empty):
            while True:
                # The orphans of the killed may still be at work.
                what, name, *codes = queue.get(timeout=1)
                if what == "here":
                    here.append(name)
                else:
                    done[name] = codes[0]
        check(len(here) == len(set(here)), "a process was heard twice")
        check((() in here), "the first process was not heard")
        for name, codes in done.items():
            for i, code in enumerate(codes):
                check((*name, i) in here, f"{(*name, i)} was not heard")
                check(code in (0, -signal.SIGKILL), f"{(*name, i)} ended with {code}")
                check(((*name, i) in done) == (code == 0), f"{(*name, i)} ended with {code}, but not its last word")
        rounds += 1
    return rounds


# -- addresses


def addresses(dice: random.Random, until: float) -> int:
    """The arena is made under the limit: this process must not have one before."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = taken + dice.randint(300, 3000) * (1 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    queue, rounds = lightwork.Queue(), 0
    while time.monotonic() < until:
        size = int(2 ** dice.uniform(10, 31))
        with contextlib.suppress(MemoryError, Full):
            queue.put(b"x" * size, timeout=0)
            check(len(queue.get(timeout=10)) == size, "a message has another length")
        queue.put(rounds)
        while (found := queue.get(timeout=10)) != rounds:
            check(len(found) == size, "a message has another length")  # for the second `get` there was memory
        rounds += 1
    try:
        with fork.Pool(2) as pool:
            check(pool.map(triple, range(100)) == [3 * n for n in range(100)], "the map has wrong results")
    except RuntimeError as e:  # the arena has the larger part of the addresses: some limits leave none for a thread
        check("can't start new thread" in str(e), f"a pool raised {e!r}")
    return rounds


# -- descriptors


STDLIB_LEAK = 2
"""Descriptors that a failed start leaves open: `multiprocessing.popen_fork` makes two pipes, and if the second cannot
be had it forgets the first."""


def descriptors(dice: random.Random, until: float) -> int:
    queue, lock, rounds = fork.Queue(), fork.Lock(), 0
    failed = 0
    check(fork.Pool(1).apply(triple, (1,)) == 3, "a pool")
    quiet = Holdings.now()
    limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    while time.monotonic() < until:
        resource.setrlimit(resource.RLIMIT_NOFILE, (quiet.descriptors + STDLIB_LEAK * failed + 50, hard))
        files = []
        with contextlib.suppress(OSError):
            while True:
                files.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(min(len(files), dice.randint(0, 8))):
            os.close(files.pop())
        try:
            with lock:
                queue.put(rounds)
                check(queue.get(timeout=10) == rounds, "a queue")
            with fork.Pool(dice.randint(1, 4)) as pool:
                check(pool.apply_async(triple, (2,)).get(PATIENCE) == 6, "a pool's call has a wrong result")
            pool.join()
            process = fork.Process(target=triple, args=(1,))
            process.start()
            check(process.result(PATIENCE) == 3, "a process has a wrong result")
        except OSError as e:
            check(e.errno == errno.EMFILE, f"not for a lack of descriptors: {e!r}")
            failed += 1
        finally:
            for file in files:
                os.close(file)
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        rounds += 1
    held = Holdings.now()
    most = quiet.descriptors + STDLIB_LEAK * failed
    check(held.descriptors <= most, f"{held.descriptors} descriptors are open, more than {most}")
    check(held.children <= quiet.children, f"{held.children} children are left, not {quiet.children}")
    return rounds


# -- handlers


def handlers(dice: random.Random, until: float) -> int:
    queue, lock, event, value = fork.Queue(), fork.RLock(), fork.Event(), fork.Value("i", 0)
    condition, semaphore, pool = fork.Condition(), fork.Semaphore(3), fork.Pool(2)
    put = taken = handled = 0

    def handle(*_: object) -> None:
        nonlocal put, handled
        handled += 1
        queue.put(-handled)
        put += 1
        with lock:
            value.add(1)
        event.set()
        with condition:
            condition.notify_all()
        if semaphore.acquire(False):
            semaphore.release()
        if handled % 10 == 0:
            check(pool.apply(triple, (handled,)) == 3 * handled, "a pool's call in a handler has a wrong result")
        signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.0001, 0.003))

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    rounds = 0
    try:
        while time.monotonic() < until:
            queue.put(rounds)
            put += 1
            while queue.get(timeout=10) != rounds:
                taken += 1
            taken += 1
            with lock:
                value.add(-1)
                value.add(1)
            event.wait(10)
            event.clear()
            with condition:
                condition.wait(0.0005)
            with semaphore:
                pass
            if rounds % 10 == 0:
                check(pool.map(triple, range(50)) == [3 * n for n in range(50)], "a map has wrong results")
            rounds += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    taken += len(queue.get_many(put - taken, timeout=1)) if put > taken else 0
    check(put == taken, f"{put} messages were put and {taken} taken")
    check(value.value == handled, f"{handled} signals were handled, and {value.value} counted")
    check(semaphore.get_value() == 3, f"the semaphore has {semaphore.get_value()}, not 3")
    pool.terminate()
    pool.join()
    return rounds


# -- memory


@contextlib.contextmanager
def cgroup(nbytes: int) -> Iterator[Path]:
    """A memory cgroup beside our own, version 2 or 1."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            here, limit = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
        elif not controllers and "memory" in _read("/sys/fs/cgroup/cgroup.subtree_control").split():
            here, limit = Path("/sys/fs/cgroup"), "memory.max"
        else:
            continue
        folder = here / path.lstrip("/") / f"lightwork-storm-{os.getpid()}"
        try:
            folder.mkdir()
            (folder / limit).write_text(str(nbytes))
        except OSError as e:
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise Skipped(f"no memory cgroup may be made: {e}") from None
        try:
            yield folder
        finally:
            folder.rmdir()
        return
    raise Skipped("there is no memory cgroup to make one beside")


def _read(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text()
    return ""


def fill(nbytes: int) -> int:
    return len(bytearray(b"x") * nbytes)


def memory(dice: random.Random, until: float) -> int:
    rounds, limit = 0, 256 << 20
    with cgroup(limit) as folder, fork.Pool(2) as pool:
        for worker in pool._pool:
            (folder / "cgroup.procs").write_text(str(worker.pid))
        try:
            while time.monotonic() < until:
                for worker in list(pool._pool):  # new ones, too
                    with contextlib.suppress(ProcessLookupError):
                        (folder / "cgroup.procs").write_text(str(worker.pid))
                nbytes = dice.choice([1 << 20, 4 * limit])
                result = pool.apply_async(fill, (nbytes,))
                others = pool.map_async(triple, range(100))
                try:
                    check(result.get(PATIENCE) == nbytes, "a wrong size")
                except WorkerDied as e:
                    check(nbytes > limit and e.exitcode == -signal.SIGKILL, f"{nbytes} bytes: {e}")
                with contextlib.suppress(WorkerDied):  # where both shared a worker's end
                    check(others.get(PATIENCE) == [3 * n for n in range(100)], "the map has wrong results")
                rounds += 1
        finally:
            pool.terminate()
            pool.join()
    return rounds


# -- all of them

Storm = Callable[[random.Random, float], int]
STORMS: dict[str, Storm] = {f.__name__: f for f in (stops, forks, addresses, descriptors, handlers, memory)}


def run_one(name: str, seed: int, seconds: float) -> int:
    """In a process of its own."""
    faulthandler.dump_traceback_later(seconds + PATIENCE, exit=True)
    try:
        rounds = STORMS[name](random.Random(f"{name} {seed}"), time.monotonic() + seconds)
    except Skipped as e:
        print(f"{name:12} skipped: {e}", flush=True)
        return 0
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    check(not threads, f"threads are left: {threads}")
    print(f"{name:12} {rounds} rounds, all is well", flush=True)
    return 0


def run_to_the_end_of_all(command: list[str]) -> int:
    """The exit code; whatever processes it leaves behind, in a hang mostly, are ended."""
    process = subprocess.Popen(command, start_new_session=True)
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # the group has its number until it is reaped
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def main(arguments: Iterable[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("storms", nargs="*", metavar="STORM", help=f"default: all of {', '.join(STORMS)}")
    options.add_argument("--seconds", type=float, default=60, help="for all of them together (default: %(default)s)")
    options.add_argument("--seed", type=int, default=None, help="default: another each time")
    options.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args(None if arguments is None else list(arguments))
    if unknown := [name for name in chosen.storms if name not in STORMS]:
        options.error(f"there is no storm {unknown[0]!r}; there are {', '.join(STORMS)}")
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(1 << 32)
    if chosen.alone:
        return run_one(chosen.storms[0], seed, chosen.seconds)
    print(f"storms: seed {seed}", flush=True)
    names = chosen.storms or list(STORMS)
    failed = []
    for name in names:
        seconds = chosen.seconds / len(names)
        command = [sys.executable, __file__, name, "--alone", "--seed", str(seed), "--seconds", str(seconds)]
        if code := run_to_the_end_of_all(command):
            print(f"{name:12} failed with exit code {code}", flush=True)
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all is well")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
