"""Cells that somebody else freed: what lies in their blocks since is left alone."""

from __future__ import annotations

import random
from typing import Any

from processes import used

import lightwork as mp
from lightwork.arrays import _block_of

#: Bytes of an array whose block, with its 64 bytes of head, is of the same size as a queue's cell.
AS_A_QUEUE = 160


def drop_all(q: Any, back: Any) -> None:
    """Be the last to drop each array that comes."""
    while (array := q.get()) is not None:
        del array
        back.put(None)


class Reader:
    """A process that is older than the arrays it gets: no heir of theirs, so it frees what it drops last."""

    def __init__(self, ctx: Any) -> None:
        self._q, self._back = ctx.Queue(), ctx.Queue()
        self._process = ctx.Process(target=drop_all, args=(self._q, self._back))
        self._process.start()
        self._q.put(0)
        self._back.get()

    def take(self, array: Any) -> None:
        self._q.put(array)

    def has_dropped(self) -> None:
        self._back.get()

    def end(self) -> None:
        self._q.put(None)
        self._process.result(20)


def test_queues_in_the_blocks_of_arrays_that_a_reader_freed(ctx: Any) -> None:
    reader = Reader(ctx)
    for _ in range(300):
        array = mp.ndarray(AS_A_QUEUE // 8)
        reader.take(array)
        del array
        reader.has_dropped()
    queues = [ctx.Queue(10) for _ in range(200)]
    mp.arena.stats()  # looks for what nobody has
    for q in queues:
        q.put("x" * 100)
        assert q.get() == "x" * 100
    before = used()
    q = None
    queues.clear()
    assert used() <= before
    reader.end()


def test_messages_in_the_blocks_of_arrays_that_a_reader_freed(ctx: Any) -> None:
    reader, box = Reader(ctx), ctx.Queue()
    stamps = {}
    for _ in range(500):
        array = mp.ndarray(AS_A_QUEUE // 8)
        _, offset, stamp = _block_of(array)._handle(False)
        stamps[offset] = stamp
        reader.take(array)
        del array
        reader.has_dropped()
    dice = random.Random(1)
    # The first word of each message is some array's number, as the first word of its cell was.
    sent = [[dice.choice(list(stamps.values())), 0] + [7] * 23 for _ in range(150)]
    for message in sent:
        box.put(message)
    mp.arena.stats()
    others = ctx.Queue()
    for _ in sent:
        others.put([1] * 25)  # what was freed by mistake is used again
    assert [box.get() for _ in sent] == sent
    reader.end()


def test_a_worker_s_children_keep_nothing_that_their_starter_had_dropped(ctx: Any) -> None:
    before = used()
    array = mp.ndarray(1 << 20)
    go = ctx.Event()
    older = ctx.Process(target=go.wait)
    older.start()
    del array
    done = ctx.Event()
    younger = ctx.Process(target=done.wait)
    younger.start()
    go.set()
    older.result(20)
    assert used() < before + (1 << 20)  # the one child that may have had it is gone
    done.set()
    younger.result(20)
