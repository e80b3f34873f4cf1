"""What a server stores, as values that can be copied: a copy is what a replica, or a disk, has of it at a moment.

Beside what a server would store it remembers what nobody can take away: `added`, every entry that a stream was ever
given, and `removed`, which of them were taken out of it, and when. Time is told in turns of the detector, of which the
entries of `journal` are the count. The checker looks at these; the detector cannot.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

Id = tuple[int, int]
ZERO: Id = (0, 0)
WORD_MAX = 2**64 - 1
LAST: Id = (WORD_MAX, WORD_MAX)


class Added(NamedTuple):
    """An entry that was once added, after how many turns."""

    id: Id
    fields: list[bytes]
    turns: int


@dataclass
class Stream:
    """ids: ascending; rows: the fields of each."""

    ids: list[Id] = field(default_factory=list)
    rows: list[list[bytes]] = field(default_factory=list)
    last: Id = ZERO
    count: int = 0
    deleted: Id = ZERO

    def copy(self) -> Stream:
        return Stream(self.ids[:], self.rows[:], self.last, self.count, self.deleted)

    def between(self, first: Id, last: Id) -> range:
        """The places of the entries with these ids and those between them."""
        return range(bisect_left(self.ids, first), bisect_right(self.ids, last))

    def entry(self, place: int) -> list:
        ms, seq = self.ids[place]
        return [b"%d-%d" % (ms, seq), self.rows[place]]


class Hash(dict[bytes, bytes]):
    pass


class Scores(dict[bytes, float]):
    pass


Value = Stream | Hash | Scores | bytes
KINDS = {Stream: b"stream", Hash: b"hash", Scores: b"zset", bytes: b"string"}


class Data:
    """All keys of a server. expires: when some of them go, in ms of its clock. libraries: function code by name."""

    def __init__(self, journal: bytes = b"") -> None:
        self.keys: dict[bytes, Value] = {}
        self.expires: dict[bytes, int] = {}
        self.libraries: dict[bytes, bytes] = {}
        self.journal = journal
        self.added: dict[bytes, list[Added]] = {}
        self.removed: dict[bytes, dict[Id, int]] = {}

    def copy(self) -> Data:
        other = Data(self.journal)
        other.keys = {key: _copied(value) for key, value in self.keys.items()}
        other.expires, other.libraries = dict(self.expires), dict(self.libraries)
        other.added = {key: entries[:] for key, entries in self.added.items()}
        other.removed = {key: dict(ids) for key, ids in self.removed.items()}
        return other

    def turns(self) -> int:
        return len(self.added.get(self.journal, ()))

    def note_added(self, key: bytes, entry: Id, fields: list[bytes]) -> None:
        turns = self.turns()
        self.added.setdefault(key, []).append(Added(entry, fields, turns))

    def note_removed(self, key: bytes, ids: list[Id]) -> None:
        turns, removed = self.turns(), self.removed.setdefault(key, {})
        for entry in ids:
            removed[entry] = turns

    def drop(self, key: bytes) -> bool:
        """Remove a key."""
        value = self.keys.pop(key, None)
        self.expires.pop(key, None)
        if isinstance(value, Stream):
            self.note_removed(key, value.ids)
        return value is not None


def _copied(value: Value) -> Value:
    if isinstance(value, bytes):
        return value
    return value.copy() if isinstance(value, Stream) else type(value)(value)
