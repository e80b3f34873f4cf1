"""What the loop needs from the outside, as Protocols; adapters provide them.

Delivery rests on one idea: the detector is a deterministic state machine over a log. A `Log` is read from our own
position, and a `Commit` moves the position and appends what the events up to it caused, in one atomic step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, overload

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

ENTRY_BYTES_MAX = 2**20  # what is read of an entry; a larger one is refused


class EntryId(NamedTuple):
    """The id of a log entry: `ms-seq` as Redis Streams write it; a file counts its lines in `seq`, from 1."""

    ms: int
    seq: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"


BEFORE_ALL = EntryId(0, 0)


class Position(NamedTuple):
    """How far a stream has been applied.

    entry: the last entry applied. ordinal: how many entries the stream had up to it, ever. digest: the CRC-32 of all
    entries applied, as they stand in the log; it does not depend on how they were cut into batches.
    """

    entry: EntryId = BEFORE_ALL
    ordinal: int = 0
    digest: int = 0


Offsets = dict[int, Position]
"""For each stream (its index in the program) how far it has been applied; absent where nothing was applied yet."""


@dataclass(slots=True)
class Lines(Sequence[Sequence[bytes]]):
    """Entries of one field each, which stand in one buffer and are cut out of it when somebody asks.

    spans: (entries, 2), where each value begins and ends in the data; LF or CR LF stands behind it. names: the same of
    the fields' names, which are not followed by anything; None: they have none.
    """

    data: bytes
    spans: Ints
    names: Ints | None = None

    @classmethod
    def of(cls, values: Sequence[bytes]) -> Lines:
        """From values apart."""
        sizes = np.fromiter(map(len, values), np.int64, len(values))
        ends = np.cumsum(sizes + 1) - 1
        return cls(b"\n".join([*values, b""]), np.column_stack((ends - sizes, ends)))

    def __len__(self) -> int:
        return len(self.spans)

    @overload
    def __getitem__(self, at: int) -> Sequence[bytes]: ...
    @overload
    def __getitem__(self, at: slice) -> Lines: ...
    def __getitem__(self, at: int | slice) -> Sequence[bytes] | Lines:
        if isinstance(at, slice):
            return Lines(self.data, self.spans[at], None if self.names is None else self.names[at])
        begin, end = self.spans[at]
        if self.names is None:
            return [b"", self.data[begin:end]]
        first, last = self.names[at]
        return [self.data[first:last], self.data[begin:end]]

    def longest(self) -> int:
        """The length of the longest value."""
        return int((self.spans[:, 1] - self.spans[:, 0]).max(initial=0))


@dataclass(slots=True)
class Entries:
    """Entries of one stream in log order.

    ms, seq: shape (n,), their ids. `fields[i]` is the flat list [name, value, name, value, …] of entry i. digest: that
    of the position behind them, where they come from a log. prepared: what a detector has made of them ahead.
    """

    stream: int
    ms: Ints
    seq: Ints
    fields: Sequence[Sequence[bytes]]
    digest: int = 0
    prepared: object = None

    @classmethod
    def of(cls, stream: int, entries: Iterable[tuple[EntryId, Sequence[bytes]]]) -> Entries:
        """From pairs of id and fields."""
        pairs = list(entries)
        return cls(
            stream,
            np.array([entry.ms for entry, _ in pairs], np.int64),
            np.array([entry.seq for entry, _ in pairs], np.int64),
            [fields for _, fields in pairs],
        )

    def __len__(self) -> int:
        return len(self.fields)

    def id(self, row: int) -> EntryId:
        """The id of one entry; -1 is the last."""
        return EntryId(int(self.ms[row]), int(self.seq[row]))


Prepare = Callable[[Entries], object]  # what may be done with entries that are read ahead, in any thread
Data = bytes | memoryview
Frozen = AbstractContextManager[Data]  # a copy of a state, whose bytes are had by entering it, once, in any thread


@dataclass(frozen=True, slots=True)
class BadEvent:
    """An event that could not be read: where it stood, why, where in it, and its first KiB.

    `index` is its place in its entry, `path` a JSON path, "" where the event has none. `count` is more than one where
    one record stands for many bad lines of one entry. Of a stream with private fields `excerpt` is empty, and `detail`
    does not say what stood there.
    """

    stream: int
    entry: EntryId
    index: int
    reason: str  # "json", "type", "field", "time", "size", "encoding"
    path: str
    detail: str
    excerpt: bytes
    count: int = 1


@dataclass(frozen=True, slots=True)
class LateEvent:
    """An event that came after its time had passed, as it came; of a stream with private fields `raw` is empty."""

    stream: int
    entry: EntryId
    index: int
    raw: bytes


@dataclass(slots=True)
class Commit:
    """What one turn of the loop caused.

    offsets: of every stream that has moved. shadow: alerts of rules on trial, which are kept apart. idle: streams that
    held nothing back in it. until_us: to where time has moved on without events. is_aside: the entries were not applied
    but put aside. gaps: of a stream that has lost entries before they were applied, how many; None if nobody knows.
    """

    offsets: Offsets
    alerts: list[bytes] = field(default_factory=list)
    dead: list[BadEvent] = field(default_factory=list)
    late: list[LateEvent] = field(default_factory=list)
    shadow: list[bytes] = field(default_factory=list)
    idle: frozenset[int] = frozenset()
    until_us: int | None = None
    is_aside: bool = False
    gaps: dict[int, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Point:
    """A moment in the history of a log: what had been applied after commit `seq`.

    chain: the digest of that commit and, through its predecessor's, of all before it. idle: the streams that held
    nothing back at last.
    """

    seq: int = 0
    chain: str = ""
    offsets: Offsets = field(default_factory=dict)
    idle: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Turn:
    """A commit as a log remembers it: the point that it led to, and what of it is no function of the entries."""

    point: Point
    until_us: int | None = None
    is_aside: bool = False
    gaps: dict[int, int | None] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether the entries say it all, so that it may be repeated together with its neighbours."""
        return not self.point.idle and self.until_us is None and not self.is_aside and not self.gaps


@dataclass(frozen=True, slots=True)
class Standing:
    """How a log was found when it was taken over.

    failures: how often it has been taken over since the last commit, this time apart. suspect: the entry that was about
    to be applied alone, and its stream. tries: how often in a row it was that. gaps: as in `Commit`, with the position
    from which the stream goes on.
    """

    point: Point
    failures: int = 0
    suspect: tuple[int, EntryId] | None = None
    tries: int = 0
    gaps: dict[int, tuple[int | None, Position]] = field(default_factory=dict)


class LogError(Exception):
    """The session with the log has ended; whether a commit under way was applied is not known before `open`."""


class FencedError(LogError):
    """Another process has taken the log over; this one must stop, not retry."""


class OwnedError(LogError):
    """Another process holds the log, and may for a while."""


class Log(Protocol):
    """A source and its transactional outbox. Every method raises `LogError` when the session has ended."""

    def open(self) -> Standing:
        """Take the log over. Raises OwnedError while another process holds it."""

    def read(
        self,
        after: Offsets,
        upto: Offsets | None,
        limit: int | None = None,
        prepare: Prepare | None = None,
    ) -> Sequence[Entries]:
        """The next entries behind `after`, at most up to and including `upto`; may wait a while, may be empty.

        With `upto`, only its streams are read, and nothing is waited for. limit: of entries of each stream. prepare:
        for those that are read ahead.
        """

    def commit(self, before: Point, commit: Commit, after: Point) -> None:
        """Apply atomically, or raise."""

    def turns(self, since: Point, upto: Point) -> Sequence[Turn] | None:
        """The commits behind `since`, in order; None where it is no point of this log's history, or too old."""

    def suspect(self, stream: int, entry: EntryId, tries: int) -> None:
        """Remember the entry that is about to be applied alone, for the how-manieth time in a row."""

    def hold(self) -> None:
        """Make sure that the log is still ours."""

    def settle(self) -> None:
        """All is well: forget failures."""

    def trim(self, oldest: Point) -> None:
        """Forget what was before the oldest point to which anybody will go back."""

    def close(self) -> None:
        """Let go, so that another may take over. May be called more than once."""


class SnapshotStore(Protocol):
    """Where snapshots of the state are kept. A snapshot is a cache of the log: losing all of them costs time only.

    It is used by one thread at a time, not always the same.
    """

    def save(self, point: Point, data: Data) -> None:
        """Keep a snapshot durably."""

    def points(self) -> Sequence[Point]:
        """Of the snapshots that are kept, newest first; some may turn out to be damaged."""

    def oldest(self) -> Point | None:
        """The oldest point whose snapshot is kept and known to be whole."""

    def load(self, point: Point) -> bytes | None:
        """The snapshot of a point; None where it is damaged or gone."""

    def discard(self, point: Point) -> None:
        """Drop a snapshot that is of no use."""


class Sink(Protocol):
    """Where alerts go that need no transaction: a terminal, a file."""

    def write(self, alerts: Sequence[bytes]) -> None:
        """Append alerts, one JSON document each."""

    def close(self) -> None:
        """Make durable and let go. May be called more than once."""
