"""What rules speak of: kinds, streams, events and their fields; tables and what stands outside."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

KEYS_MAX = 4  # parts of a rule's key
PARTS_MAX = 60  # steps of a sequence, or sources of a condition: each is a bit of one word
EWMA_HALVINGS = 10  # after so many half-lives without an event an ewma begins afresh
_DAY_US = 86_400_000_000
ALERTS = -1  # the stream of the events that alerts are: no log has it


class Kind(Enum):
    """The type of a field or an expression."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    MONEY = "money"
    FLAG = "flag"
    TIME = "time"
    DURATION = "duration"  # the difference of two times; never a field


@dataclass(frozen=True, slots=True)
class Stream:
    """A declared stream. `index` is its order of declaration, which breaks ties in time (law 2)."""

    name: str
    index: int
    time_path: tuple[str, ...]
    type_path: tuple[str, ...]
    late_us: int
    idle_us: int | None


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a root event: where it stands in the entry, its kind, and whether it may be shown."""

    name: str
    kind: Kind
    path: tuple[str, ...]
    privacy: str | None = None  # None, "mask" or "hash"


@dataclass(frozen=True, slots=True)
class Event:
    """A root event: one declared `event NAME from STREAM (...)`, or in the stream `ALERTS` the alerts of some rules.

    `of`: the other root events that it takes in, as `alert` takes in the alerts of every rule; one of theirs is one of
    its own. The paths of an alert's fields only tell them apart.
    """

    name: str
    index: int
    stream: int
    wire_type: str  # the value at the stream's type path that marks this event
    fields: tuple[Field, ...]
    of: tuple[int, ...] = ()


Value = str | float | int | bool


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by key, all in their kinds' units, read in the kind of key that rules look them up by.

    A list from a file and a roster are tables without columns. What a table holds is no part of a rule's version.
    """

    name: str
    key: Kind
    columns: tuple[tuple[str, Kind], ...]
    rows: tuple[tuple[Value, tuple[Value | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class Outside:
    """A function ("function", source "module:name") or a model ("model", source a file), and what it gives.

    `folder` is that of the rule file, where modules and files are looked for.
    """

    name: str
    what: str
    source: str
    folder: str
    kind: Kind
