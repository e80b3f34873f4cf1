"""What the loop needs from the outside, as Protocols; adapters provide them.

Delivery rests on one idea: the detector is a deterministic state machine over a log. A `Log` is read by our own offset,
and a `Commit` moves the offset and appends what the events up to it caused, in one atomic step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, order=True)
class EntryId:
    """The id of a log entry: `ms-seq` as Redis Streams write it; a file counts its lines in `seq`."""

    ms: int
    seq: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"


@dataclass(slots=True)
class Entries:
    """Entries of one stream in log order. `fields[i]` is the flat list [name, value, name, value, …] of entry i."""

    stream: int
    ids: list[EntryId]
    fields: list[list[bytes]]


@dataclass(frozen=True, slots=True)
class BadEvent:
    """An event that could not be read: where it stood, why, where in it, and its first KiB."""

    stream: int
    entry: EntryId
    index: int
    reason: str  # "json", "type", "field", "time", "size", "encoding"
    detail: str
    excerpt: bytes


@dataclass(slots=True)
class Commit:
    """What one batch caused. `offsets` has the last entry applied of every stream that has moved."""

    offsets: dict[int, EntryId]
    alerts: list[bytes]
    dead: list[BadEvent]
    late: list[tuple[int, EntryId, bytes]]


class Log(Protocol):
    """A source and its transactional outbox."""

    def open(self) -> dict[int, EntryId]:
        """Take the log over; the offset committed for each stream (none: nothing yet)."""

    def read(self, after: dict[int, EntryId], upto: dict[int, EntryId] | None) -> Sequence[Entries]:
        """The next entries behind `after`, at most up to and including `upto`; may wait a while, may be empty."""

    def commit(self, commit: Commit) -> None:
        """Apply atomically, or raise and change nothing."""

    def close(self) -> None:
        """Let go."""


class SnapshotStore(Protocol):
    """Where snapshots of the state are kept. A snapshot is a cache of the log: losing all of them costs time only."""

    def save(self, offsets: dict[int, EntryId], data: bytes) -> None:
        """Keep a snapshot durably."""

    def load(self, upto: dict[int, EntryId]) -> tuple[dict[int, EntryId], bytes] | None:
        """The newest readable snapshot whose offsets are not past `upto`."""


class Sink(Protocol):
    """Where alerts go that need no transaction: a terminal, a file."""

    def write(self, alerts: Sequence[bytes]) -> None:
        """Append alerts, one JSON document each."""
