"""Events as values, and the batches that the engine takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cep.engine.batch import Batch, blank
from cep.engine.state import null_words
from cep.engine.strings import Strings
from cep.engine.values import Value
from cep.layout.columns import TIME_SLOT
from cep.layout.program import Program


@dataclass(frozen=True, slots=True)
class VirtualEvent:
    """An event by its values: root field → value in its kind's unit; a field that is not there is null."""

    event: int
    time_us: int
    values: Mapping[str, Value]


def batch_of(program: Program, strings: Strings, events: Sequence[VirtualEvent], first: int = 0) -> Batch:
    """The batch of some events in the order given; entry i has the id 0-(first + i + 1)."""
    batch = blank(len(program.columns), len(events))
    batch.words[:] = null_words(program)[: len(program.columns), None]
    batch.words[TIME_SLOT] = [e.time_us for e in events]
    batch.event[:] = [e.event for e in events]
    batch.stream[:] = [program.events[e.event].stream for e in events]
    batch.entry_ms[:] = 0
    batch.entry_seq[:] = np.arange(first + 1, first + 1 + len(events))
    batch.entry_index[:] = 0
    for row, event in enumerate(events):
        for name, slot in program.events[event.event].slots:
            value = event.values.get(name)
            if value is not None:
                batch.words[slot, row] = word(value, program.columns[slot].kind, strings)
    return batch


def word(value: str | float | int | bool, kind: str, strings: Strings) -> int:
    """A value of some kind as columns and keys hold it."""
    if kind == "text":
        return strings.id(str(value))
    if kind == "number":
        return int(np.float64(value).view(np.int64))
    return int(value)
