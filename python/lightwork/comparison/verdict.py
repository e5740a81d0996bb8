"""What the figures mean: the way to choose, from how many calls on it pays, and what to change.

Each cause is read from something measured, never guessed from the function's name:

    processors that the threads could use        near 1: one at a time has the interpreter lock; near N: all N work
    the same of the serial way                   far below 1: the calls wait; far above: a library has threads itself
    sending / work of an item                    what processes pay and threads do not
    start / what an item gains                   from how many items on a new pool pays
"""

from __future__ import annotations

from . import words
from .figures import NATIVE, PROCESSES, SERIAL, THREADS, WAITS, Figures, Timing

TAKE_TURNS = 1.3
"""Processors that threads can use, if they take turns at the interpreter lock."""

DEAR = 0.2
"""Sending that takes this part of the work's time, or more, is worth a word; and so is a start."""

TINY = 5e-6
"""Seconds: a call that takes less is about as quick as taking it from a queue."""

LARGE = 32 * 1024
"""Bytes from which on an array gets a block of shared memory of its own, when it is sent."""

BRIEF = 0.001
"""Seconds: below this the figures of processor time say little."""

HOPELESS = 0.9
"""Of work of which more is not shared, Amdahl's law has nothing to add."""

BUSY = 0.1
"""If workers, no more than there are processors, wait for one for this part of the time, others run programs, too."""

LONG = 1.2
"""A call is worth a word if it takes so many times what each worker would do of the work, were it shared evenly."""

NOISY = 0.15
"""A spread (half of the range, over the median) from which on a way's rounds say little."""


def verdict(figures: Figures) -> str:
    """Two sentences: the way to choose, and what to change."""
    return f"{_choice(figures)} {_advice(figures)}".rstrip()


def _choice(figures: Figures) -> str:
    best, started = figures.best, figures.best_started
    if best.backend != SERIAL:
        text = f"Use {best.way}: {figures.speed_up(best):.2f} times as fast as serial"
        with_start = figures.serial.median / best.with_start
        if figures.speed_up(best) - with_start > 0.005:
            text += f" ({with_start:.2f} with the start of the pool)"
        return f"{text}, and a new pool pays from {figures.pays_from(best):,} calls on."
    if started.backend == SERIAL:
        return f"Stay serial: no other way was faster for {words.count(figures.items, 'call')}."
    pays_from = figures.pays_from(started)
    if pays_from is None or pays_from <= figures.items:
        return (
            f"Stay serial for {words.count(figures.items, 'call')}: {started.way} would be "
            f"{figures.speed_up(started):.2f} times as fast, but with the start of the pool that is hardly a gain."
        )
    return (
        f"Stay serial for {words.count(figures.items, 'call')}, since a pool takes {words.seconds(started.start)} to "
        f"start: in one that is there {started.way} would be {figures.speed_up(started):.2f} times as fast, and a new "
        f"one pays from {pays_from:,} calls on."
    )


def _advice(figures: Figures) -> str:
    best, serial = figures.best, figures.serial
    if best is serial:
        best = figures.best_started
    call = serial.median / figures.items
    if figures.longest is not None and figures.longest > LONG / _most_shares(figures):
        return _advice_on_long_call(figures.items, figures.longest)
    if serial.demand < WAITS:
        return _advice_on_waiting(figures)
    if figures.cpus == 1:
        return "This program may use one processor only, so nothing that calculates gets faster."
    if figures.sending is not None and figures.sending.seconds > DEAR * call and best.backend != THREADS:
        return _advice_on_sending(figures, call)
    if best.backend == THREADS:
        return _why_threads(figures, best)
    if best.backend == PROCESSES:
        return _advice_on_processes(figures, best)
    if serial.demand > NATIVE and serial.median > BRIEF:
        return (
            f"A single call uses {serial.cpu_use:.1f} processors already (a library's own threads), so little is left "
            f"to share."
        )
    if call < TINY:
        return f"A call takes {words.seconds(call)}, less than taking it from a queue: give each more to do."
    if serial.median < max((t.start for t in figures.timings), default=0.0):
        return f"All the work takes {words.seconds(serial.median)}: less than it takes to start a pool."
    return ""


def _most_shares(figures: Figures) -> int:
    return min(figures.items, max(timing.workers for timing in figures.timings))


def _advice_on_long_call(items: int, longest: float) -> str:
    return (
        f"One of the {items:,} items takes {longest:.0%} of the time: no number of workers can be faster than that "
        f"item alone ({1 / longest:.2g} times as fast as serial). Split it."
    )


def _advice_on_waiting(figures: Figures) -> str:
    best = figures.best_started
    text = f"The calls wait for {1 - figures.serial.demand:.0%} of their time"
    if best.backend == SERIAL:
        return f"{text}, for something that does not get faster if several wait."
    most = max(timing.workers for timing in figures.timings)
    if best.workers == most and most < figures.items:
        return f"{text}, so more workers than processors pay: try --workers {most * 4}."
    return f"{text}, and waiting needs no processor."


def _advice_on_sending(figures: Figures, call: float) -> str:
    assert figures.sending is not None
    nbytes, took = figures.sending.nbytes, words.seconds(figures.sending.seconds)
    text = f"Sending costs {took} for each call of {words.seconds(call)}"
    if nbytes >= LARGE:
        return f"{text} ({words.nbytes(nbytes)}): share large arrays (lightwork.share), and only handles are sent."
    return f"{text}: give each call more to do, so that fewer items and results have to be sent."


def _advice_on_processes(figures: Figures, best: Timing) -> str:
    threads = figures.of(THREADS)
    if best.start > DEAR * best.median:
        start = best.start / best.with_start
        return f"Starting the pool is {start:.0%} of the time: make one pool, and use it for all your maps."
    if figures.lock and threads and threads[-1].demand < TAKE_TURNS:
        return f"Threads take turns at the interpreter lock: together they used {threads[-1].cpu_use:.1f} processors."
    return ""


def _why_threads(figures: Figures, threads: Timing) -> str:
    if not figures.lock:
        return "This Python has no interpreter lock, and threads need nothing sent."
    if threads.crowding > BUSY:
        return ""  # other programs hide whether they take turns
    used = f"the threads used {threads.cpu_use:.1f} processors"
    return f"The calls release the interpreter lock ({used}), and threads need nothing sent."


def explanation(figures: Figures) -> list[str]:
    """What was found out about the work, a line for each."""
    pools = [timings[-1] for backend in (THREADS, PROCESSES) if (timings := figures.of(backend))]
    found = [_about_lock(figures), _about_sending(figures)]
    if pools:
        found.append("items in a chunk: " + ", ".join(f"{t.way} {_range(*t.chunks)}" for t in pools))
    found += [_about_law(figures, backend) for backend in (THREADS, PROCESSES)]
    return [line for line in found if line]


def _about_lock(figures: Figures) -> str:
    if not figures.lock:
        return "interpreter lock: this Python has none"
    threads = [t for t in figures.of(THREADS) if 1 < t.workers <= figures.cpus]
    if not threads:
        return ""
    most, waits = threads[-1], 1 - figures.serial.demand
    used = f"threads x {most.workers} used {most.cpu_use:.2f} processors"
    if waits > 1 - WAITS:
        return f"interpreter lock: hardly needed, serial calls wait for {waits:.0%} of their time; {used}"
    if most.crowding > BUSY:
        return f"interpreter lock: cannot be told while other programs run; {used}"
    held = min(1.0, max(0.0, (most.workers - most.demand) / (most.workers - 1)))
    return f"interpreter lock: needed for {held:.0%} of the work; {used}"


def _about_sending(figures: Figures) -> str:
    if figures.sending is None:
        return "sending: items or results cannot be pickled"
    call = words.seconds(figures.serial.median / figures.items)
    took, size = words.seconds(figures.sending.seconds), words.nbytes(figures.sending.nbytes)
    return f"sending: {took} and {size} for each item and its result; the call takes {call}"


def _about_law(figures: Figures, backend: str) -> str:
    fit = figures.fit(backend)
    if fit is None or figures.serial.demand < WAITS or fit.serial_part > HOPELESS:
        return ""
    text = f"Amdahl's law, {backend}: {fit.serial_part:.1%} of the time is not shared"
    if fit.serial_part:
        text += f", so never more than {fit.limit:.3g} times as fast"
    if fit.overhead is not None:
        text += f"; overhead {words.seconds(fit.overhead)} a round"
    return text


def _range(least: int, most: int) -> str:
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"


def warnings(figures: Figures) -> list[str]:
    """What makes the figures doubtful."""
    found = []
    noisiest = max(figures.timings, key=lambda t: t.spread)
    if noisiest.spread > NOISY:
        found.append(
            f"noisy: the rounds of {noisiest.way} took {words.seconds(min(noisiest.seconds))} to "
            f"{words.seconds(max(noisiest.seconds))}; is something else running? More rounds (--repeat) help"
        )
    crowded = max((t for t in figures.timings if t.workers <= figures.cpus), key=lambda t: t.crowding, default=None)
    if crowded is not None and crowded.crowding > BUSY and figures.serial.demand >= WAITS:
        found.append(
            f"busy: {crowded.way} had to wait for processors for {crowded.crowding:.0%} of the time, since other "
            "programs run; on a quiet machine more workers gain more"
        )
    most = max(figures.timings, key=lambda t: t.workers)
    if most.workers > figures.cpus and figures.serial.demand >= WAITS:
        found.append(f"{most.workers} workers, but this program may use {words.count(figures.cpus, 'processor')}")
    return found
