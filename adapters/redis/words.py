"""What the functions and the journal are told, in words."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cep.ports import BadEvent, Commit, EntryId, LateEvent, Offsets, Point, Position, Turn

Words = list[bytes | str | int]


class Remembered(msgspec.Struct, omit_defaults=True):
    """A turn in the journal: streams by their keys, each with entry id, ordinal and digest."""

    offsets: dict[str, tuple[str, int, int]] = {}
    idle: list[str] = []
    until_us: int | None = None
    is_aside: bool = False
    gaps: dict[str, int | None] = {}


_decode = msgspec.json.Decoder(Remembered).decode


def entry_id(text: str) -> EntryId:
    """`ms-seq`."""
    ms, _, seq = text.partition("-")
    return EntryId(int(ms), int(seq))


class Wording:
    """Of a log with some input streams."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        self._numbers = {key: number for number, key in enumerate(keys)}

    def commit(self, before: Point, commit: Commit, after: Point) -> Words:
        """A commit, from its number on."""
        turn = Turn(after, commit.until_us, commit.is_aside, commit.gaps)
        is_marked = b"0" if turn.is_plain else b"1"
        head: Words = [after.seq, before.chain, after.chain, self.idle(after.idle), is_marked, self._turn(turn, commit)]
        moved = list[bytes | str | int]()
        for stream, at in commit.offsets.items():
            moved += self._moved(stream, at, before, stream in commit.gaps)
        lists: list[Words] = [
            moved,
            [word for alert in commit.alerts for word in (b"alert", alert)],
            [word for bad in commit.dead for word in self._dead_letter(bad)],
            [word for late in commit.late for word in self._late_event(late)],
            [word for alert in commit.shadow for word in (b"alert", alert)],
        ]
        return head + [word for part in lists for word in (len(part), *part)]

    def idle(self, streams: frozenset[int]) -> bytes:
        """The streams that are idle."""
        return msgspec.json.encode(sorted(self._keys[stream] for stream in streams))

    def point(self, meta: dict[str, str]) -> Point:
        """Where a log stands. Streams that are not ours are left out."""
        offsets = {}
        for number, key in enumerate(self._keys):
            if (last := meta.get(f"offset:{key}")) is not None:
                ordinal, digest = int(meta.get(f"count:{key}", 0)), int(meta.get(f"digest:{key}", 0))
                offsets[number] = Position(entry_id(last), ordinal, digest)
        idle = msgspec.json.decode(meta.get("idle", "[]"), type=list[str])
        return Point(int(meta.get("seq", 0)), meta.get("chain", ""), offsets, self._of(idle))

    def turn(self, seq: int, chain: str, text: bytes, before: Offsets) -> Turn:
        """An entry of the journal. before: where streams stood."""
        found = _decode(text)
        moved = {
            self._numbers[key]: Position(entry_id(last), ordinal, digest)
            for key, (last, ordinal, digest) in found.offsets.items()
            if key in self._numbers
        }
        gaps = {self._numbers[key]: lost for key, lost in found.gaps.items() if key in self._numbers}
        point = Point(seq, chain, before | moved, self._of(found.idle))
        return Turn(point, found.until_us, found.is_aside, gaps)

    def _of(self, keys: Sequence[str]) -> frozenset[int]:
        return frozenset(self._numbers[key] for key in keys if key in self._numbers)

    def _turn(self, turn: Turn, commit: Commit) -> bytes:
        remembered = Remembered(
            {self._keys[s]: (str(at.entry), at.ordinal, at.digest) for s, at in commit.offsets.items()},
            sorted(self._keys[s] for s in turn.point.idle),
            turn.until_us,
            turn.is_aside,
            {self._keys[s]: lost for s, lost in turn.gaps.items()},
        )
        return msgspec.json.encode(remembered)

    def _moved(self, stream: int, at: Position, before: Point, is_gap: bool) -> Words:
        entries = at.ordinal - before.offsets.get(stream, Position()).ordinal
        return [stream + 1, entries, str(at.entry), at.ordinal, at.digest, int(is_gap)]

    def _dead_letter(self, bad: BadEvent) -> list[bytes]:
        texts = {"stream": self._keys[bad.stream], "id": bad.entry, "index": bad.index, "reason": bad.reason}
        texts |= {"path": bad.path, "detail": bad.detail, "count": bad.count}
        words = [str(word).encode(errors="replace") for pair in texts.items() for word in pair]
        return [*words, b"excerpt", bad.excerpt]

    def _late_event(self, late: LateEvent) -> list[bytes]:
        texts = {"stream": self._keys[late.stream], "id": late.entry, "index": late.index}
        return [*(str(word).encode() for pair in texts.items() for word in pair), b"event", late.raw]
