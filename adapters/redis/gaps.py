"""Entries that a stream has lost before they were applied: how many.

A stream counts all entries that were ever added to it; we count those that were applied. Entries leave it by trimming,
from its beginning, or by XDEL, of which it says only up to where. (The `lag` of consumer groups is no help: it is wrong
once entries have been deleted.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cep.adapters.redis.session import Session
from cep.adapters.redis.words import entry_id
from cep.ports import BEFORE_ALL, EntryId, Position

_COUNT = 1000


@dataclass(frozen=True, slots=True)
class Stream:
    """What a stream is like: `length` entries of the `added` ones; `first`: None where it is empty.

    is_another: whether it was begun anew since it was last looked at.
    """

    length: int
    added: int
    first: EntryId | None
    last: EntryId
    deleted: EntryId
    is_another: bool = False

    @classmethod
    def of(cls, words: Sequence[bytes]) -> Stream:
        """As our function tells it."""
        length, added, first, last, deleted, *another = (word.decode() for word in words)
        begin = entry_id(first) if first else None
        return cls(int(length), int(added), begin, entry_id(last), entry_id(deleted), bool(another))

    def beginning(self) -> Position:
        """Where somebody stands who has applied nothing yet."""
        return Position(BEFORE_ALL, self.added - self.length, 0)


def find_gap(
    session: Session, key: str, stream: Stream, at: Position, is_in_doubt: bool = False
) -> tuple[int | None, Position] | None:
    """What a stream has lost behind a position, and the position from which it goes on; None where it has lost nothing.

    Where the stream was begun anew nobody knows how many. is_in_doubt: all that waits is counted, whatever the stream
    says of itself: one that was begun anew may look like one that goes on.
    """
    is_another = stream.is_another or stream.added < at.ordinal
    if stream.first is None or at.entry < stream.first:
        waiting = stream.length
    elif is_in_doubt or is_another or at.entry < stream.deleted:
        waiting = _waiting(session, key, at.entry, stream.last)
    else:
        return None
    ordinal = stream.added - waiting
    if ordinal == at.ordinal and not is_another:
        return None
    is_known = ordinal > at.ordinal and not is_another  # of another stream's entries nobody knows which are missing
    lost = ordinal - at.ordinal if is_known else None
    return lost, at._replace(ordinal=ordinal)


def _waiting(session: Session, key: str, after: EntryId, last: EntryId) -> int:
    """How many entries stand behind one, up to the last that there was when the stream told of itself."""
    count = 0
    while entries := session.call("XRANGE", key, f"({after}", str(last), "COUNT", _COUNT):
        count, after = count + len(entries), entry_id(entries[-1][0].decode())
    return count
