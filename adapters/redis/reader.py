"""Reading streams behind our own positions: as they grow, the next reply read ahead, or up to where we were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from cep.adapters.redis.reply import of_range, of_streams
from cep.adapters.redis.session import BLOCK_S, Session
from cep.errors import ConfigurationError
from cep.ports import Entries, LogError, Offsets, Position, Prepare

COUNT_MIN, COUNT_MAX = 1, 16_000
REPLY_BYTES = 8 * 2**20  # what a reply should not exceed: COUNT follows the size of the entries seen
COUNT_FIRST = 1000
ID_MAX = 2**63 - 1  # XADD takes any id up to 2^64, and a larger one than this reads as this


Answer = tuple[list[Entries], int]  # the entries of each stream, and how many bytes they were on the wire


@dataclass(frozen=True, slots=True)
class _Question:
    """What the live session has been asked for: what stands behind some positions; and how to have it."""

    behind: list[Position]
    answer: Callable[[], Answer]


class Reader:
    """Reads the streams with some keys, by their places among these. The session `past` is for what is over.

    in_background: a thread of its own receives what is read ahead and takes it apart; otherwise that is done when it is
    wanted.
    """

    def __init__(
        self,
        connect: Callable[[], Session],
        keys: Sequence[str],
        count: int = COUNT_FIRST,
        *,
        in_background: bool = False,
    ) -> None:
        self._connect, self._keys = connect, keys
        self._live: Session | None = None  # of its own, so that no commit waits behind a read that waits for entries
        self._ahead: _Question | None = None
        self._pool = ThreadPoolExecutor(1, "reader") if in_background else None
        self.count = count

    def read(
        self,
        past: Session,
        after: Offsets,
        upto: Offsets | None,
        limit: int | None,
        prepare: Prepare | None = None,
    ) -> list[Entries]:
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
            self._read_ahead(after | {e.stream: Position(e.id(-1), digest=e.digest) for e in batch}, prepare)
        return batch

    def close(self) -> None:
        """Let go of the connection. May be called more than once."""
        if self._live is not None:
            self._live.close()
        self._live = self._ahead = None

    def _read_live(self, after: Offsets, count: int) -> Answer:
        """What has been asked for when the entries before were read, so that it was ready meanwhile."""
        if self._ahead is not None and self._ahead.behind != self._positions(after):
            self.close()  # with the answer to another question
        question = self._ahead or self._ask(after, count)
        self._ahead = None
        return question.answer()

    def _read_ahead(self, after: Offsets, prepare: Prepare | None) -> None:
        question = self._ask(after, self.count)
        if self._pool is not None:
            question = _Question(question.behind, self._pool.submit(_prepared, question.answer, prepare).result)
        self._ahead = question

    def _ask(self, after: Offsets, count: int) -> _Question:
        """Ask for the entries behind `after`."""
        if self._live is None:
            self._live = self._connect()
        behind, block = self._positions(after), int(BLOCK_S * 1000)
        last = [str(at.entry) for at in behind]
        self._live.send([("XREAD", "COUNT", count, "BLOCK", block, "STREAMS", *self._keys, *last)])
        return _Question(behind, partial(self._answer, self._live, [at.digest for at in behind]))

    def _answer(self, live: Session, digests: Sequence[int]) -> Answer:
        reply = live.receive_bytes()
        return of_streams(reply, self._keys, digests), len(reply)

    def _positions(self, after: Offsets) -> list[Position]:
        """Where reading goes on in each stream; how many entries were before does not matter."""
        return [after.get(number, Position())._replace(ordinal=0) for number in range(len(self._keys))]

    def _read_upto(self, past: Session, after: Offsets, upto: Offsets, count: int) -> Answer:
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


def _prepared(answer: Callable[[], Answer], prepare: Prepare | None) -> Answer:
    batch, size = answer()
    if prepare is not None:
        for entries in batch:
            prepare(entries)
    return batch, size
