"""Three ways to do the same thing several times: one after another, on threads, on processes.

A way takes a function that leaves its result in a queue, as the tutorial's does, calls it `workers` times and returns
the results. Everything a way needs is made and ended inside the call, so timing the call times what a user would pay.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from queue import Empty
from types import MappingProxyType
from typing import Any

import lightwork as mp

Target = Callable[..., object]
Way = Callable[[Target, tuple[Any, ...], int], list[Any]]


def serial(target: Target, args: tuple[Any, ...], workers: int) -> list[Any]:
    """Call `target(queue, *args)` `workers` times in this thread; return the `workers` results.

    Raises what `target` raised, and LightworkError if it put no result into the queue.
    """
    q = mp.Queue()
    for _ in range(workers):
        target(q, *args)
    return _results(q, target, workers)


def threads(target: Target, args: tuple[Any, ...], workers: int) -> list[Any]:
    """Call `target(queue, *args)` on `workers` threads at once; return the results in the order they came.

    Raises what `target` raised, and LightworkError if it put no result into the queue. Interrupted, it returns at
    once; its threads are daemons, because a thread cannot be stopped from outside and the program must be able to end
    without it.
    """
    q = mp.Queue()
    crew = [mp.Thread(target=target, args=(q, *args), daemon=True) for _ in range(workers)]
    for thread in crew:
        thread.start()
    _join(crew)
    return _results(q, target, workers)


def processes(target: Target, args: tuple[Any, ...], workers: int) -> list[Any]:
    """Call `target(queue, *args)` on `workers` processes at once; return the results in the order they came.

    Raises what `target` raised, `WorkerDied` if a process died, LightworkError if it put no result into the queue,
    OSError if a process could not be started. However it ends, none of its processes is left.
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
    return _results(q, target, workers)


WAYS: Mapping[str, Way] = MappingProxyType({"serial": serial, "threads": threads, "processes": processes})


def name_of(target: Target) -> str:
    """What to call it in a message."""
    return getattr(target, "__qualname__", None) or repr(target)


def _results(q: Any, target: Target, count: int) -> list[Any]:
    """The results of calls that have ended: whatever they put is there."""
    try:
        return [q.get_nowait() for _ in range(count)]
    except Empty:
        raise mp.LightworkError(f"{name_of(target)} put no result into the queue that it was given") from None


def _join(crew: list[Any]) -> None:
    for worker in crew:
        worker.join()
    # Whoever failed left nothing in the queue; its exception says why.
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
