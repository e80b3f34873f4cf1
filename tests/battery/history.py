"""The history of a group, checked link by link: every commit that the journal knows must follow from what is there.

From the outputs with its number and the offsets in the journal each commit's digest is worked out anew, and from the
entries that were sent the digest of each position. An output that was lost, added, moved or changed breaks the chain.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

import redis

from cep.adapters.redis.keys import Keys
from cep.adapters.redis.words import Wording, entry_id
from cep.delivery.history import following
from cep.ports import BadEvent, Commit, EntryId, LateEvent, Point, Position, Turn

Fields = dict[bytes, bytes]
Outputs = dict[int, list[Fields]]  # by commit


def check_history(
    client: redis.Redis, keys: Keys, streams: Sequence[str], sent: Sequence[tuple[str, str, bytes]]
) -> int:
    """How many commits were checked. Raises AssertionError. sent: streams without tags, all entries ever, in order."""
    names = keys.of_streams(streams)
    outputs = [_outputs(client, key) for key in keys.outputs()]
    turns = turns_of(client, keys, names)
    last = int(client.hget(keys.meta, "seq") or 0)
    assert [turn.point.seq for turn in turns] == list(range(last - len(turns) + 1, last + 1)), "the journal has holes"
    assert all(seq <= last for part in outputs for seq in part), "there is output of a commit that never was"
    before = None if turns and turns[0].point.seq > 1 else Point()
    for turn in turns:
        if before is not None:
            wanted = following(before, _commit(before, turn, outputs, names))
            assert wanted.chain == turn.point.chain, f"commit {turn.point.seq} is not what was committed"
        before = turn.point
    _check_digests(turns, streams, sent)
    return len(turns)


def _outputs(client: redis.Redis, key: str) -> Outputs:
    found: Outputs = defaultdict(list)
    last = b"-"
    while part := client.xrange(key, min=last, count=5000):
        for entry, fields in part:
            seq, number = entry.split(b"-")
            assert int(number) == len(found[int(seq)]), f"{key} has not all outputs of commit {seq!r}"
            found[int(seq)].append(fields)
        last = b"(" + part[-1][0]
    return found


def turns_of(client: redis.Redis, keys: Keys, names: Sequence[str]) -> list[Turn]:
    """The commits that the journal knows, in order."""
    return list(_turns(client, keys, names))


def _turns(client: redis.Redis, keys: Keys, names: Sequence[str]) -> Iterator[Turn]:
    wording, offsets = Wording(names), {}
    for entry, fields in client.xrange(keys.own("journal")):
        turn = wording.turn(entry_id(entry.decode()).ms, fields[b"chain"].decode(), fields[b"turn"], offsets)
        offsets = turn.point.offsets
        yield turn


def _commit(before: Point, turn: Turn, outputs: Sequence[Outputs], names: Sequence[str]) -> Commit:
    """The commit that led to a turn, put together from what it left."""
    alerts, dead, late, shadow = (part.get(turn.point.seq, []) for part in outputs)
    moved = {s: at for s, at in turn.point.offsets.items() if s in turn.gaps or before.offsets.get(s) != at}
    return Commit(
        moved,
        [fields[b"alert"] for fields in alerts],
        [_bad(fields, names) for fields in dead],
        [LateEvent(*_place(fields, names), fields[b"event"]) for fields in late],
        [fields[b"alert"] for fields in shadow],
        turn.point.idle,
        turn.until_us,
        turn.is_aside,
        turn.gaps,
    )


def _place(fields: Fields, names: Sequence[str]) -> tuple[int, EntryId, int]:
    return names.index(fields[b"stream"].decode()), entry_id(fields[b"id"].decode()), int(fields[b"index"])


def _bad(fields: Fields, names: Sequence[str]) -> BadEvent:
    reason, path, detail = (fields[name].decode() for name in (b"reason", b"path", b"detail"))
    return BadEvent(*_place(fields, names), reason, path, detail, fields[b"excerpt"], int(fields[b"count"]))


def _check_digests(turns: Sequence[Turn], streams: Sequence[str], sent: Sequence[tuple[str, str, bytes]]) -> None:
    """Each position holds the digest of all entries up to it, unless some were lost."""
    if any(turn.gaps for turn in turns):
        return
    for number, name in enumerate(streams):
        own = [entry for entry in sent if entry[0] == name]
        at: Position | None = Position() if turns and turns[0].point.seq == 1 else None
        for turn in turns:
            position = turn.point.offsets.get(number)
            if position is None or position == at:
                continue
            if at is not None:
                assert position.ordinal > at.ordinal, f"{name} went back at commit {turn.point.seq}"
                part = own[at.ordinal : position.ordinal]
                digest = zlib.crc32(b"".join(on_the_wire(entry, text) for _, entry, text in part), at.digest)
                assert digest == position.digest, f"{name}: other entries than were sent up to {position.entry}"
                assert str(position.entry) == own[position.ordinal - 1][1], f"{name}: {position.entry} is another entry"
            at = position


def on_the_wire(entry: str, text: bytes) -> bytes:
    """An entry of one field as the server writes it."""
    name = b"event"
    words = b"*2\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(name), name, len(text), text)
    return b"*2\r\n$%d\r\n%b\r\n" % (len(entry), entry.encode()) + words
