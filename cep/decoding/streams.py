"""What is known of a stream before any entry is seen: its events, their columns, where time and type stand."""

from __future__ import annotations

import re
from typing import Protocol

import numpy as np

from cep.decoding.projection import Projection
from cep.decoding.values import word
from cep.engine.strings import Strings
from cep.layout.columns import TIME_SLOT, ColumnSpec, EventSpec, StreamSpec


class Schema(Protocol):
    """The part of a program that decoding needs."""

    @property
    def streams(self) -> tuple[StreamSpec, ...]:
        """By index."""

    @property
    def events(self) -> tuple[EventSpec, ...]:
        """Root events, by index."""

    @property
    def columns(self) -> tuple[ColumnSpec, ...]:
        """By slot."""


class Stream:
    """One stream of a program.

    columns: for each set of events, who is in it, shape (events,), and the (slot, column) pairs that it has. types: the
    index of an event by its type as text, as bytes, and as a number where it is written like one. only: the event of a
    stream without a type path, -1 where there is none.
    """

    def __init__(self, program: Schema, number: int) -> None:
        stream = program.streams[number]
        self.number, self.slots = number, len(program.columns)
        self.time_path, self.type_path, self.private = stream.time_path, stream.type_path, stream.private
        own = [(slot, c) for slot, c in enumerate(program.columns) if c.stream == number]
        self.columns = [
            (np.isin(np.arange(len(program.events)), of), [(slot, c) for slot, c in own if c.events == of])
            for of in dict.fromkeys(c.events for _, c in own)
        ]
        events = [index for index, event in enumerate(program.events) if event.stream == number]
        self.only = events[0] if events and not stream.type_path else -1
        self.types: dict[object, int] = {}
        for index in events:
            wire = program.events[index].wire_type
            self.types |= {wire: index, wire.encode(): index}
            if re.fullmatch(r"0|-?[1-9]\d{0,17}", wire, re.ASCII):  # a type may be a number on the wire
                self.types[int(wire)] = index
        self.fields = [(c.path, c.kind) for _, c in own]
        self.fields += [(stream.time_path, "time")] if stream.time_path else []
        self.fields += [(stream.type_path, "type")] if stream.type_path else []
        self.projection = Projection(self.fields)
        nulls = [word(c.kind, None, Strings()) for c in program.columns[TIME_SLOT + 1 :]]
        self.nulls = np.array(nulls, np.int64)[:, None]
