"""Ways to bring a test's events to the engine, none of which may change its alerts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cep.layout.program import Program
from cep.testing.events import VirtualEvent

Cut = Callable[[int], Sequence[int]]  # the number of events → the places at which their batches end


def whole(events: int) -> Sequence[int]:
    """One batch."""
    return [events]


def singly(events: int) -> Sequence[int]:
    """Each event in a batch of its own, and before them an empty one."""
    return range(events + 1)


@dataclass(frozen=True, slots=True)
class Way:
    """How events arrive: in which batches, in which order, and whether the engine starts again at every boundary.

    seed: events arrive out of order, by less than their stream's `late`; None: in order. restart: between two batches
    the state is written to a snapshot and read again.
    """

    name: str
    cut: Cut = whole
    seed: int | None = None
    restart: bool = False

    def order(self, program: Program, events: Sequence[VirtualEvent]) -> list[int]:
        """The places of `events`, which are in order, as they arrive.

        Each is held up by less than `late`, so none comes behind the watermark. Events of one stream and instant stay
        together in their order, since that is the order of law 2.
        """
        if self.seed is None:
            return list(range(len(events)))
        rng = random.Random(self.seed)
        held_up: dict[tuple[int, int], int] = {}
        arrival = []
        for place, event in enumerate(events):
            number = program.events[event.event].stream
            stream = program.streams[number]
            delay = held_up.setdefault((number, event.time_us), rng.randrange(max(stream.late_us, 1)))
            arrival.append((event.time_us + delay, place))
        return [place for _, place in sorted(arrival)]
