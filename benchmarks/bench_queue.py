"""How many messages a second pass from one producer process to one consumer process?"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any

from _race import race
from _rounds import Case, absent, parser, positive, run

import lightwork

# faster-fifo blocks for 10 s by default and then raises Full or Empty, where the others wait for ever. An hour is for
# ever here: a Full or an Empty is then a failure of the run, not something to retry inside the timed loop.
FOREVER = 3600.0

KIB = bytes(range(256)) * 4


def produce_ints(put: Callable[[Any], Any], count: int) -> None:
    for i in range(count):
        put(i)


def consume_ints(get: Callable[[], Any], count: int) -> int:
    total = 0
    for _ in repeat(None, count):
        total += get()
    return total


def produce_tuples(put: Callable[[Any], Any], count: int) -> None:
    for i in range(count):
        put((i, i + 1, i + 2, i + 3, i + 4))


def consume_tuples(get: Callable[[], Any], count: int) -> int:
    total = 0
    for _ in repeat(None, count):
        total += get()[4]
    return total


def produce_bytes(put: Callable[[Any], Any], count: int) -> None:
    for _ in repeat(None, count):
        put(KIB)


def consume_bytes(get: Callable[[], Any], count: int) -> int:
    total = 0
    for _ in repeat(None, count):
        message = get()
        total += len(message) + message[-1]
    return total


# name: producer, consumer, the consumer's sum for `count` messages
PAYLOADS: dict[str, tuple[Callable[..., None], Callable[..., int], Callable[[int], int]]] = {
    "ints": (produce_ints, consume_ints, lambda count: count * (count - 1) // 2),
    "5-int tuples": (produce_tuples, consume_tuples, lambda count: count * (count + 7) // 2),
    "1 KiB bytes": (produce_bytes, consume_bytes, lambda count: count * (1024 + 255)),
}


def rate(library: Any, make: Callable[[], Any], payload: str, count: int) -> float:
    """Messages per second, from the start signal until the consumer has the last one, through a new queue."""
    produce, consume, expected = PAYLOADS[payload]
    q = make()
    waits_forever = library is not faster_fifo
    put = q.put if waits_forever else partial(q.put, timeout=FOREVER)
    get = q.get if waits_forever else partial(q.get, timeout=FOREVER)
    # faster-fifo has no processes of its own.
    processes = library if waits_forever else multiprocessing
    seconds, (_, total) = race(processes, partial(produce, put, count), partial(consume, get, count))
    if total != expected(count):
        raise RuntimeError(f"{payload}: the consumer's sum is {total}, not {expected(count)}")
    return count / seconds


faster_fifo: Any = importlib.import_module("faster_fifo") if importlib.util.find_spec("faster_fifo") else None


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--messages", type=positive, default=200_000, help="per round (default: %(default)s)")
    options.add_argument(
        "--fifo-bytes",
        type=positive,
        default=1_000_000,
        help="faster-fifo's max_size_bytes (default: %(default)s, its own default)",
    )
    chosen = options.parse_args()
    makers: dict[str, tuple[Any, Callable[[], Any]]] = {
        "lightwork.Queue": (lightwork, lightwork.Queue),
        "multiprocessing.Queue": (multiprocessing, multiprocessing.Queue),
    }
    if faster_fifo is None:
        absent("faster-fifo", "pip install faster-fifo")
    else:
        makers["faster_fifo.Queue"] = (faster_fifo, partial(faster_fifo.Queue, max_size_bytes=chosen.fifo_bytes))
    cases = [
        Case(
            f"one producer, one consumer: {payload}",
            "messages/s",
            {name: partial(rate, *maker, payload, chosen.messages) for name, maker in makers.items()},
            larger_is_better=True,
            targets={"multiprocessing.Queue": 8, "faster_fifo.Queue": 5} if payload == "ints" else {},
        )
        for payload in PAYLOADS
    ]
    run("queue", cases, chosen)


if __name__ == "__main__":
    main()
