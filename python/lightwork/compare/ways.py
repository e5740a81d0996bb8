"""Three ways to do the same thing several times: one after another, on threads, on processes.

A way takes a function that leaves its result in a queue, as the tutorial's does, calls it `workers` times and returns
the results. Everything a way needs is made and ended inside the call, so timing the call times what a user would pay.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import lightwork as mp

Target = Callable[..., object]
Way = Callable[[Target, tuple[Any, ...], int], list[Any]]


def serial(target: Target, args: tuple[Any, ...], workers: int) -> list[Any]:
    """Call `target(queue, *args)` `workers` times in this thread; return the `workers` results."""
    q = mp.Queue()
    for _ in range(workers):
        target(q, *args)
    return [q.get() for _ in range(workers)]


def threads(target: Target, args: tuple[Any, ...], workers: int) -> list[Any]:
    """Call `target(queue, *args)` on `workers` threads at once; return the results in the order they came.

    Raises what `target` raised, if it did. Interrupted, it returns at once; its threads are daemons, because a thread
    cannot be stopped from outside and the program must be able to end without it.
    """
    q = mp.Queue()
    crew = [mp.Thread(target=target, args=(q, *args), daemon=True) for _ in range(workers)]
    for thread in crew:
        thread.start()
    _join(crew)
    return [q.get() for _ in crew]


def processes(target: Target, args: tuple[Any, ...], workers: int) -> list[Any]:
    """Call `target(queue, *args)` on `workers` processes at once; return the results in the order they came.

    Raises what `target` raised, `WorkerDied` if a process died, OSError if one could not be started. However it ends,
    none of its processes is left.
    """
    q = mp.Queue()
    crew = [mp.Process(target=target, args=(q, *args)) for _ in range(workers)]
    try:
        with _interrupt_blocked():
            for process in crew:
                process.start()
        _join(crew)
    finally:
        for process in crew:
            if process.pid is not None and process.is_alive():
                process.kill()
                process.join()
    return [q.get() for _ in crew]


WAYS: Mapping[str, Way] = MappingProxyType({"serial": serial, "threads": threads, "processes": processes})


def _join(crew: list[Any]) -> None:
    for worker in crew:
        worker.join()
    # Whoever failed left nothing in the queue, and a get() would wait for it forever: raise its exception instead.
    for worker in crew:
        worker.result()


@contextmanager
def _interrupt_blocked() -> Iterator[None]:
    """Block SIGINT here; children inherit the mask and keep it.

    A terminal sends Ctrl-C to the whole process group. Only the parent shall act on it: it ends the children without a
    word, where each child by itself would print a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
