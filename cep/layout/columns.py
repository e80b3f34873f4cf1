"""Streams, events and the columns that are decoded; what null is in them, and the bounds of values and times."""

from __future__ import annotations

from dataclasses import dataclass

NULL = -(2**63)  # null in a column of integers (text ids, money, times, flags too); in a column of floats it is NaN
NAN_WORD = 0x7FF8000000000000  # the bits of the NaN that is null
MONEY_UNITS = 10_000  # money is in 1/10,000
MONEY_LIMIT = 10**11 * MONEY_UNITS  # a larger amount is a bad event, so that window sums stay inside 64 bits
ALERTS = -1  # the stream of the events that alerts are: no log has it
END_OF_TIME = 2**61  # µs; later than any event, and far from where sums would overflow
TIME_SLOT = 0  # the event time's row in Batch.words
KEY_PARTS_MAX = 4


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A stream: `type_path` () when all its entries are of one event."""

    name: str
    time_path: tuple[str, ...]
    type_path: tuple[str, ...]
    late_us: int
    idle_us: int | None
    private: bool = False  # some field of its events may not leave in clear


@dataclass(frozen=True, slots=True)
class EventSpec:
    """A root event and the slot of each of its fields that some rule names.

    stream: `ALERTS` for the alerts of some rules. private: the fields that may not leave in clear, each "mask" or
    "hash". of: the events whose rows are its rows too.
    """

    name: str
    stream: int
    wire_type: str
    slots: tuple[tuple[str, int], ...]
    private: tuple[tuple[str, str], ...] = ()
    of: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """A decoded column: slot = place in Program.columns; slot 0 is the event time.

    `events` are the root events that have it: entries of other events hold null there. `kind` is text, number, integer,
    money, flag or time.
    """

    stream: int
    path: tuple[str, ...]
    kind: str
    events: tuple[int, ...]
