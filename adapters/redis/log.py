"""Redis Streams as a `Log`: XREAD from our own offsets, and a commit that is one function call.

Key names: an input stream's key is its name; `cep:{group}:meta` holds the offsets and who may move them; alerts, dead
letters, late events and the alerts of shadow rules go to the streams `alerts`, `alerts:dlq`, `alerts:late` and
`alerts:shadow` (or another name for `alerts`), which belong to one group alone. Their ids are `<seq>-<i>`, output i of
commit seq.

Nobody else may trim or delete what has not been applied yet.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from cep.adapters.redis.reply import of_range, of_streams
from cep.adapters.redis.server import check_server, check_streams, load_library
from cep.adapters.redis.session import BLOCK_S, ReplyError, Session
from cep.errors import ConfigurationError
from cep.ports import BadEvent, Commit, Entries, EntryId, LateEvent, LogError, Offsets

COUNT_MIN, COUNT_MAX = 1, 8000
REPLY_BYTES = 4 * 2**20  # what a reply should not exceed: COUNT follows the size of the entries seen
COUNT_FIRST = 1000
_START = EntryId(0, 0)
_OFFSET = "offset:"
ID_MAX = 2**63 - 1  # XADD takes any id up to 2^64, and a larger one than this reads as this


class RedisLog:
    """A `Log` of the streams named, by their index. `group` names the detector: one owner at a time."""

    def __init__(
        self, url: str, streams: Sequence[str], group: str, alerts: str = "alerts", allow_volatile: bool = False
    ) -> None:
        self._url, self._streams, self._allow_volatile = url, list(streams), allow_volatile
        self._keys = [f"cep:{{{group}}}:meta", alerts, *(f"{alerts}:{part}" for part in ("dlq", "late", "shadow"))]
        self._session: Session | None = None
        self._reader: Session | None = None  # of its own, so that no commit waits behind a read that waits for entries
        self._asked: list[str] | None = None  # the ids behind which the reader has been asked for entries
        self._token, self._seq = "", 0
        self._count = COUNT_FIRST

    def open(self) -> Offsets:
        """Take the log over and fence who had it. Raises ConfigurationError where the promise could not hold."""
        self.close()
        session = self._session = Session(self._url)
        check_server(session, self._allow_volatile)
        check_streams(session, [*self._streams, *self._keys[1:]])
        load_library(session)
        self._token = os.urandom(16).hex()
        try:
            reply = session.call("FCALL", "cep_v2_acquire", len(self._keys), *self._keys, self._token)
        except ReplyError as error:
            raise self._refusal(error) from error
        meta = {key.decode(): value.decode() for key, value in zip(reply[::2], reply[1::2], strict=True)}
        self._seq = int(meta.get("seq", 0))
        offsets = {n: _entry_id(meta[_OFFSET + s]) for n, s in enumerate(self._streams) if _OFFSET + s in meta}
        for number, offset in offsets.items():
            self._check_history(session, self._streams[number], offset)
        return offsets

    def read(self, after: Offsets, upto: Offsets | None) -> Sequence[Entries]:
        """The next entries of each stream: after waiting half a second at most, or up to `upto` without waiting."""
        session = self._opened()
        try:
            batch, size = self._read_live(after) if upto is None else self._read_upto(session, after, upto)
        except LogError:
            self._count = max(COUNT_MIN, self._count // 2)  # the reply may have been too long for the server's buffer
            raise
        batch = [entries for entries in batch if len(entries)]
        if any(max(entries.ms.max(), entries.seq.max()) == ID_MAX for entries in batch):
            raise ConfigurationError(f"{session.name}: an entry id is beyond 2^63: begin a new stream")
        is_full = any(len(entries) >= self._count for entries in batch)
        self._adapt(size, sum(map(len, batch)))
        if upto is None and is_full:  # there is more; were there not, what comes meanwhile would come entry by entry
            self._ask(after | {entries.stream: entries.id(-1) for entries in batch})
        return batch

    def commit(self, commit: Commit) -> None:
        """Move the offsets and append the outputs. A commit repeated in the same session is applied once."""
        offsets = [(_OFFSET + self._streams[stream], str(entry)) for stream, entry in commit.offsets.items()]
        lists = [
            [text.encode() for pair in offsets for text in pair],
            [word for alert in commit.alerts for word in (b"alert", alert)],
            [word for bad in commit.dead for word in self._dead_letter(bad)],
            [word for late in commit.late for word in self._late_event(late)],
            [word for alert in commit.shadow for word in (b"alert", alert)],
        ]
        words = [word for part in lists for word in (b"%d" % len(part), *part)]
        digest = hashlib.blake2b(b"\0".join(words), digest_size=16).hexdigest()
        head = (self._token, self._seq + 1, digest)
        try:
            self._opened().call("FCALL", "cep_v2_commit", len(self._keys), *self._keys, *head, *words)
        except ReplyError as error:
            raise self._refusal(error) from error
        self._seq += 1

    def close(self) -> None:
        """Let go of the connections. May be called more than once."""
        for session in (self._session, self._reader):
            if session is not None:
                session.close()
        self._session = self._reader = self._asked = None

    def _opened(self) -> Session:
        if self._session is None:
            raise LogError("the log is not open")
        return self._session

    def _read_live(self, after: Offsets) -> tuple[list[Entries], int]:
        """What has been asked for when the entries before were read, so that the server had it ready meanwhile."""
        if self._reader is not None and self._asked is not None and self._asked != self._behind(after):
            self._reader.close()  # with the answer to another question
            self._reader = self._asked = None
        if self._asked is None:
            self._ask(after)
        assert self._reader is not None
        self._asked = None
        reply = self._reader.receive_bytes()
        return of_streams(reply, self._streams), len(reply)

    def _ask(self, after: Offsets) -> None:
        """Ask for the entries behind `after`."""
        if self._reader is None:
            self._reader = Session(self._url)
        last, block = self._behind(after), int(BLOCK_S * 1000)
        self._reader.send([("XREAD", "COUNT", self._count, "BLOCK", block, "STREAMS", *self._streams, *last)])
        self._asked = last

    def _behind(self, after: Offsets) -> list[str]:
        return [str(after.get(number, _START)) for number in range(len(self._streams))]

    def _read_upto(self, session: Session, after: Offsets, upto: Offsets) -> tuple[list[Entries], int]:
        batch, size = [], 0
        for number, last in upto.items():
            if after.get(number, _START) < last:
                span = (f"({after.get(number, _START)}", str(last))
                session.send([("XRANGE", self._streams[number], *span, "COUNT", self._count)])
                reply = session.receive_bytes()
                batch.append(of_range(reply, number))
                size += len(reply)
        return batch, size

    def _adapt(self, size: int, entries: int) -> None:
        """Let COUNT follow the size of entries: less at once, more step by step."""
        if entries:
            self._count = max(COUNT_MIN, min(COUNT_MAX, REPLY_BYTES * entries // size, self._count * 2))

    def _check_history(self, session: Session, stream: str, offset: EntryId) -> None:
        """The stream must not have gone back behind what was applied: new entries would be skipped silently."""
        last = _START
        if session.call("EXISTS", stream):
            info = session.call("XINFO", "STREAM", stream)
            last = _entry_id(dict(zip(info[::2], info[1::2], strict=True))[b"last-generated-id"].decode())
        if last < offset:
            raise ConfigurationError(
                f"{session.name}: stream {stream!r} ends at {last}, but entries up to {offset} were applied: it was "
                f"deleted, or a failover lost its end; to begin anew, delete {self._keys[0]} and {self._keys[1]}"
            )

    def _refusal(self, error: ReplyError) -> Exception:
        """What the operator has to hear of an answer of our functions, or the error itself."""
        key = str(error).partition(" ")[2]
        if error.code == "CEPFOREIGN":
            return ConfigurationError(
                f"stream {key!r} has entries that this group did not write (or {self._keys[0]!r} was deleted): "
                "name another alert stream, or delete it"
            )
        return ConfigurationError(f"{key}: rename one of the two") if error.code == "CEPTYPE" else error

    def _dead_letter(self, bad: BadEvent) -> list[bytes]:
        stream = self._streams[bad.stream]
        texts = {"stream": stream, "id": bad.entry, "index": bad.index, "reason": bad.reason, "path": bad.path}
        texts |= {"detail": bad.detail, "count": bad.count}
        words = [str(word).encode(errors="replace") for pair in texts.items() for word in pair]
        return [*words, b"excerpt", bad.excerpt]

    def _late_event(self, late: LateEvent) -> list[bytes]:
        texts = {"stream": self._streams[late.stream], "id": late.entry, "index": late.index}
        return [*(str(word).encode() for pair in texts.items() for word in pair), b"event", late.raw]


def _entry_id(text: str) -> EntryId:
    ms, _, seq = text.partition("-")
    return EntryId(int(ms), int(seq))
