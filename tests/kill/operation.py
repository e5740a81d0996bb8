"""What an operation is to the harness."""

from __future__ import annotations

import gc
from typing import ClassVar

from actor import Actor, Note

Faults = list[tuple[str, str]]


class Operation:
    """Objects, and what processes do with them. One instance plays one case."""

    name: ClassVar[str]
    #: Is there a process that waits for something all the time, and has to get it in the end?
    has_bystander: ClassVar[bool] = False

    #: Does `act` arm the process that is to die by itself (`Note.arm`)?
    arms: ClassVar[bool] = False
    #: Does the victim make primitives? Those of the dead stay, but for large arrays: nobody knows who has them.
    makes: ClassVar[bool] = False
    #: May the victim die between a child's reservation and its birth? The row stays then: src/members/README.md.
    reserves: ClassVar[bool] = False

    def prepare(self) -> None:
        """Make the objects, in the process that drops them in the end."""

    def act(self, note: Note) -> None:
        """What the victim does."""
        raise NotImplementedError

    def meanwhile(self, victim: Actor) -> None:
        """What happens while it does that."""

    def after(self, victim: Actor) -> None:
        """The victim has ended."""

    def recover(self, note: Note) -> None:
        """What the next two processes do, one after the other: they come upon what the dead one left."""
        raise NotImplementedError

    def bystander(self, note: Note) -> None:
        """What a process does that waits."""

    def release_bystander(self) -> None:
        """It must have what it waits for after this, if not before."""

    def judge(self, actors: dict[str, Actor]) -> Faults:
        """What is wrong. May use the objects once more."""
        return []

    def drop(self) -> None:
        """Let go of the objects."""
        self.__dict__.clear()
        gc.collect()

    def victim(self, point: str, nth: int) -> Actor:
        """Start the victim."""
        return Actor(self.act, point, nth, self.arms)
