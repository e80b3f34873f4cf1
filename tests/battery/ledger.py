"""What became of each entry, one by one: applied (as late events and dead letters are, too), or lost and counted.

What is lost is known from whoever took it away, in one step of the server; what was applied from the journal, whose
every turn has the number and the digest of the entries that it brought. So no entry can be in two of these, or in none.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import redis

from cep.adapters.redis.keys import Keys
from cep.adapters.redis.words import entry_id
from cep.ports import EntryId, Position, Turn
from tests.battery.history import on_the_wire, turns_of
from tests.test_kill import Entry


@dataclass(frozen=True, slots=True)
class Taken:
    """What somebody took from a stream: entries that were not applied yet. seq: after how many commits.

    end: the last entry that a stream had when it was deleted and so begun anew, otherwise None.
    """

    stream: str
    seq: int
    ids: frozenset[str]
    end: EntryId | None = None


@dataclass(slots=True)
class _Stream:
    """One stream. gaps: what was noted, the number of the turn and of entries; begun: the count with which it goes on
    where it was begun anew."""

    name: str
    sent: Sequence[Entry]
    taken: Sequence[Taken]
    gaps: list[tuple[int, int]] = field(default_factory=list)
    begun: int = 0
    applied: int = 0
    at: Position = field(default_factory=Position)
    place: int = 0

    @property
    def lost(self) -> set[str]:
        return {entry for taken in self.taken for entry in taken.ids}

    def turn(self, turn: Turn, number: int) -> None:
        """What one turn says of it."""
        position = turn.point.offsets.get(number, self.at)
        if number in turn.gaps:
            assert position.entry == self.at.entry, f"{self.name}: turn {turn.point.seq} goes on over a gap"
            self._gap(turn.point.seq, turn.gaps[number], position)
        elif position != self.at:
            self._entries(turn.point.seq, position)
        self.at = position

    def _gap(self, seq: int, lost: int | None, position: Position) -> None:
        if lost is None:
            self.begun, self.gaps = position.ordinal, []
            return
        assert position.ordinal - self.at.ordinal == lost > 0, f"{self.name}: turn {seq} counts {lost}"
        self.gaps.append((seq, lost))
        ends = [taken.end for taken in self.taken if taken.end is not None and taken.seq < seq]
        if not ends:
            noted = sum(number for _, number in self.gaps)
            least, most = (sum(len(t.ids) for t in self.taken if t.seq < limit) for limit in (seq - 1, seq))
            assert least <= noted <= most, f"{self.name}: {noted} counted up to turn {seq}, {least} to {most} are lost"

    def _entries(self, seq: int, position: Position) -> None:
        """A turn brings all entries up to its position that were not taken away before."""
        lost, digest, count = self.lost, self.at.digest, 0
        while self.place < len(self.sent) and entry_id(self.sent[self.place][1]) <= position.entry:
            _, entry, text = self.sent[self.place]
            self.place += 1
            if entry not in lost:
                digest, count = zlib.crc32(on_the_wire(entry, text), digest), count + 1
        brought = position.ordinal - self.at.ordinal
        assert brought == count, f"{self.name}: turn {seq} counts {brought} entries, there were {count}"
        assert digest == position.digest, f"{self.name}: turn {seq} had other entries"
        self.applied += count

    def balance(self, added: int) -> Counter[str]:
        """In the end all must add up. added: how many entries the stream says that it had."""
        lost, noted = self.lost, sum(number for _, number in self.gaps)
        assert self.place == len(self.sent), f"{self.name}: {len(self.sent) - self.place} entries are in no turn"
        assert self.applied + len(lost) == len(self.sent), f"{self.name}: an entry is applied and lost, or neither"
        assert added == self.at.ordinal, f"{self.name}: {added} entries were added, {self.at.ordinal} accounted for"
        ends = [taken.end for taken in self.taken if taken.end is not None]
        since = len(lost) if not ends else sum(entry_id(entry) > max(ends) for entry in lost)
        assert self.begun + noted == since, f"{self.name}: {since} lost, {self.begun} and {noted} counted"
        return Counter({"entries": len(self.sent), "applied": self.applied, "lost": len(lost)})


def balance(
    client: redis.Redis, keys: Keys, streams: Sequence[str], sent: Sequence[Entry], taken: Iterable[Taken]
) -> Counter[str]:
    """Go through the journal, which must be whole. Raises AssertionError where an entry is unaccounted for."""
    taken, found, noted = list(taken), Counter[str](), 0
    turns = turns_of(client, keys, keys.of_streams(streams))
    assert turns[0].point.seq == 1, "the journal has lost its beginning"
    for number, name in enumerate(streams):
        stream = _Stream(name, [e for e in sent if e[0] == name], [t for t in taken if t.stream == name])
        for turn in turns:
            stream.turn(turn, number)
            noted += turn.gaps.get(number) or 0
        found += stream.balance(int(client.xinfo_stream(name)["entries-added"]))
    return found + Counter({"lost, counted": noted, "lost, number unknown": found["lost"] - noted})
