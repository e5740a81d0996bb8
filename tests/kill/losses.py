"""What a death may cost, by the protocols: src/*/README.md say "lost until the family ends" of each."""

from __future__ import annotations

#: States of a block's owner word: src/arena/blocks.rs.
CELL, LETTER, QUEUED, ATTACHED, HELD = 1, 2, 3, 4, 9
STATES = {CELL, LETTER, QUEUED, ATTACHED, HELD}

#: The state of the one block that stays, by the point of the death.
BLOCKS = {
    "arena.block.1": CELL,  # a segment or a table that nobody knows yet; a message's block is a LETTER: it comes back
    "queue.grow.3": CELL,  # the new segment
    "queue.leave.3": CELL,  # the segment that was left
    "cells.grow.1": CELL,  # a piece of a table
    "cells.hold.1": CELL,  # the table of an array's holders
    "cells.untable.1": CELL,
    "queue.get.done": QUEUED,  # the message's block
}


#: Larger arrays have a descriptor that says when they were made, so they are freed after their maker's death.
LARGEST_SMALL = 32 << 10

Blocks = dict[int, tuple[int, int, bool]]


def unexpected(left: Blocks, points: list[str], maker: bool) -> Blocks:
    """The blocks in use that no death at one of these points explains, each at most one. `maker`: the dead had made
    primitives, which stay, and what is in their queues with them."""
    may_stay = [BLOCKS[point] for point in points if point in BLOCKS]
    rest = {}
    for offset, (nbytes, state, dead) in left.items():
        cell_or_content = state in (QUEUED, ATTACHED) or (state == CELL and nbytes <= LARGEST_SMALL)
        if maker and dead and cell_or_content:
            continue
        if state in may_stay:
            may_stay.remove(state)
        else:
            rest[offset] = (nbytes, state, dead)
    return rest


def rows(points: list[str]) -> int:
    """How many rows of members may stay: reserved for a child of which nobody knows whether it was born."""
    return points.count("members.reserve.4")
