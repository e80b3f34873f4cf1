"""Reading streams behind our own positions: as they grow, with the next reply under way, or up to where we were."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cep.adapters.redis.reply import of_range, of_streams
from cep.adapters.redis.session import BLOCK_S, Session
from cep.errors import ConfigurationError
from cep.ports import Entries, LogError, Offsets, Position

COUNT_MIN, COUNT_MAX = 1, 8000
REPLY_BYTES = 4 * 2**20  # what a reply should not exceed: COUNT follows the size of the entries seen
COUNT_FIRST = 1000
ID_MAX = 2**63 - 1  # XADD takes any id up to 2^64, and a larger one than this reads as this


class Reader:
    """Reads the streams with some keys, by their places among these. The session `past` is for what is over."""

    def __init__(self, connect: Callable[[], Session], keys: Sequence[str], count: int = COUNT_FIRST) -> None:
        self._connect, self._keys = connect, keys
        self._live: Session | None = None  # of its own, so that no commit waits behind a read that waits for entries
        self._asked: list[str] | None = None  # what the live session has been asked for
        self.count = count

    def read(self, past: Session, after: Offsets, upto: Offsets | None, limit: int | None) -> list[Entries]:
        """The next entries of each stream: after waiting half a second at most, or up to `upto` without waiting."""
        count = self.count if limit is None else min(limit, self.count)
        try:
            if upto is None:
                batch, size = self._read_live(after, count)
            else:
                batch, size = self._read_upto(past, after, upto, count)
        except LogError:
            self.count = max(COUNT_MIN, count // 2)  # the reply may have been too long for the server's buffer
            raise
        batch = [entries for entries in batch if len(entries)]
        if any(max(entries.ms.max(), entries.seq.max()) == ID_MAX for entries in batch):
            raise ConfigurationError(f"{past.name}: an entry id is beyond 2^63: begin a new stream")
        is_full = any(len(entries) >= count for entries in batch)
        self._adapt(size, sum(map(len, batch)))
        if upto is None and is_full and limit is None:  # there is more, which else would come entry by entry
            at = {e.stream: after.get(e.stream, Position())._replace(entry=e.id(-1)) for e in batch}
            self._ask(after | at, self.count)
        return batch

    def close(self) -> None:
        """Let go of the connection. May be called more than once."""
        if self._live is not None:
            self._live.close()
        self._live = self._asked = None

    def _read_live(self, after: Offsets, count: int) -> tuple[list[Entries], int]:
        """What has been asked for when the entries before were read, so that the server had it ready meanwhile."""
        if self._asked is not None and self._asked != self._behind(after):
            self.close()  # with the answer to another question
        if self._asked is None:
            self._ask(after, count)
        assert self._live is not None
        self._asked = None
        reply = self._live.receive_bytes()
        digests = [after.get(number, Position()).digest for number in range(len(self._keys))]
        return of_streams(reply, self._keys, digests), len(reply)

    def _ask(self, after: Offsets, count: int) -> None:
        """Ask for the entries behind `after`."""
        if self._live is None:
            self._live = self._connect()
        last, block = self._behind(after), int(BLOCK_S * 1000)
        self._live.send([("XREAD", "COUNT", count, "BLOCK", block, "STREAMS", *self._keys, *last)])
        self._asked = last

    def _behind(self, after: Offsets) -> list[str]:
        return [str(after.get(number, Position()).entry) for number in range(len(self._keys))]

    def _read_upto(self, past: Session, after: Offsets, upto: Offsets, count: int) -> tuple[list[Entries], int]:
        batch, size = [], 0
        for number, last in upto.items():
            at = after.get(number, Position())
            if at.entry < last.entry:
                past.send([("XRANGE", self._keys[number], f"({at.entry}", str(last.entry), "COUNT", count)])
                reply = past.receive_bytes()
                batch.append(of_range(reply, number, at.digest))
                size += len(reply)
        return batch, size

    def _adapt(self, size: int, entries: int) -> None:
        """Let COUNT follow the size of entries: less at once, more step by step."""
        if entries:
            self.count = max(COUNT_MIN, min(COUNT_MAX, REPLY_BYTES * entries // size, self.count * 2))
