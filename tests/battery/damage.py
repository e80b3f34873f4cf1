"""Damaged bytes: snapshots that have been spoilt, and events that nobody could have meant."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from cep.adapters.cli.detector import detector_of
from cep.adapters.files.snapshots import MAGIC, DirectorySnapshots
from cep.adapters.redis.words import entry_id
from cep.decoding.entries import Decoder
from cep.ports import Entries, EntryId, Point, Position
from tests.battery.world import Feed, World, program, read_all, uninterrupted
from tests.test_kill import STREAMS, Entry, entries

BATCH = 1000
DECODER_BATCHES = 20  # before there is a new decoder


# --------------------------------------------------------------------------------------- snapshots


def spoilt_snapshots(count: int, seed: int) -> Counter[str]:
    """In process: of files that are spoilt in many ways none may be taken for a snapshot."""
    rng, found = random.Random(seed), Counter[str]()
    given = entries(3000, seed)
    data = _dumped(given)
    with tempfile.TemporaryDirectory() as folder:
        store, other = (DirectorySnapshots(Path(folder) / name, name, STREAMS) for name in ("own", "other"))
        offsets = {0: Position(EntryId(700, 1), 2100, 77), 1: Position(EntryId(650, 0), 900, 78)}
        point, older = Point(12, "ab" * 16, offsets), Point(11, "cd" * 16, offsets)
        store.save(older, data)
        store.save(point, data)
        other.save(point, data)
        (path,) = (Path(folder) / "own").glob(f"*{point.chain}*")
        (foreign,) = (Path(folder) / "other").iterdir()
        whole = path.read_bytes()
        assert store.load(point) == data
        for _ in range(count):
            way, content = _spoilt(whole, rng, foreign.read_bytes())
            path.write_bytes(content)
            seen = [each for each in store.points() if each.seq == point.seq]
            taken = [each for each in seen if store.load(each) is not None]
            assert not taken, f"a snapshot was taken that had been spoilt: {way}"
            assert store.load(older) == data
            found["spoilt snapshots refused"] += 1
            found[f"snapshot: {way}"] += 1
    return found


def _dumped(given: Sequence[Entry]) -> bytes:
    detector = detector_of(program())
    batch = [
        Entries.of(n, [(entry_id(e[1]), [b"event", e[2]]) for e in given if e[0] == s]) for n, s in enumerate(STREAMS)
    ]
    detector.apply(batch)
    with detector.freeze() as data:
        return bytes(data)


def _spoilt(whole: bytes, rng: random.Random, foreign: bytes) -> tuple[str, bytes]:
    """A way, and what becomes of the file."""
    way = rng.choice(("flip", "flip", "header flip", "cut", "splice", "zeros", "version", "other's", "longer"))
    at, size = rng.randrange(len(whole)), rng.randrange(1, 200)
    if way == "header flip":
        at = rng.randrange(min(600, len(whole)))
    if way in ("flip", "header flip"):
        return way, whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :]
    if way == "cut":
        return way, whole[:at]
    if way == "splice":
        spliced = whole[:at] + whole[rng.randrange(len(whole)) :]
        return way, spliced if spliced != whole else whole[:at]
    if way == "zeros":
        zeroed = whole[:at] + bytes(min(size, len(whole) - at)) + whole[at + size :]
        return way, zeroed if zeroed != whole else whole[:at]
    if way == "version":
        return way, MAGIC[:-1] + bytes([rng.choice([48, 49, 51, 0, 255])]) + whole[len(MAGIC) :]
    return way, foreign if way == "other's" else whole + rng.randbytes(size)


def starts_with_spoilt_snapshots(rounds: int, seed: int) -> Counter[str]:
    """With servers: the detector is killed, what it kept is spoilt, and the next one starts from what is left."""
    found, rng = Counter[str](), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, 3.0 * rounds, rate=2000) as world:
        world.feed.start()
        for _ in range(rounds):
            detector = world.start()
            world.wait_for_work(detector)
            time.sleep(rng.uniform(0.3, 1.3))
            detector.kill()
            kept = sorted(world.snapshots().glob("*.snapshot"))
            for path in kept[rng.randrange(len(kept) + 1) :]:  # some of the newest, or all
                path.write_bytes(_spoilt(path.read_bytes(), rng, b"another's")[1])
                found["snapshots spoilt before a start"] += 1
            found["starts with spoilt snapshots"] += 1
        detector = world.start()
        sent = world.feed.stop()
        world.wait_for_end(detector)
        detector.stop()
        return found + world.check(sent)


# ------------------------------------------------------------------------------------------ events

_NASTY = [
    b"", b" ", b"null", b"[]", b"{}", b"0", b'"x"', b"\x00", b"\xef\xbb\xbf{}", b"\xff\xfe", b"[" * 1025, b"{" * 4000,
    b'{"a":' * 1100 + b"1" + b"}" * 1100, b'{"ts":1e999}', b'{"ts":NaN}', b'{"ts":18446744073709551616}', b'{"ts":-1}',
    b'{"ts":1,"ts":2,"type":"payment","type":"logout"}', b'{"type":"payment","ts":"\\ud800","card":"\\udfff"}',
    b'{"type":"payment","ts":1700000000000,"card":"' + b"x" * 70_000 + b'","amount":1,"country":"NL"}',
    b'{"type":"payment","ts":1700000000000,"card":"c","amount":1e400,"country":"NL"}',
    b'{"type":"payment","ts":1700000000000,"card":"c","amount":18446744073709551616,"country":"NL"}',
    b'{"type":"payment","ts":9999999999999999,"card":"c","amount":1,"country":"NL"}',
    b'{"type":{"type":"payment"},"ts":[1],"card":{"a":1},"amount":true,"country":null}',
]  # fmt: skip


def mutated(text: bytes, rng: random.Random) -> bytes:
    """A document with one thing wrong, or several; still one line."""
    if rng.random() < 0.05:
        return rng.choice(_NASTY)
    data = bytearray(text)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        way = rng.randrange(5)
        if way == 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif way == 1:
            del data[at : at + rng.randrange(1, 20)]
        elif way == 2:
            data[at:at] = data[rng.randrange(len(data) + 1) :][: rng.randrange(30)]
        elif way == 3:
            data[at:at] = rng.choice(
                (b'"', b"{", b"}", b"\\", b",", b"\\u", b"e9", b"-", b"\x00", b"\xed\xa0\x80", b"[" * 40)
            )
        else:
            data[at:] = b""
    return bytes(data).replace(b"\n", b" ").replace(b"\r", b" ")


def malformed(count: int, seed: int) -> Counter[str]:
    """In process: each document is an event, a dead letter or of no interest; its neighbours are unharmed."""
    rng, found = random.Random(seed), Counter[str]()
    texts = [text for stream, _, text in entries(3000, seed) if stream == STREAMS[0]]
    good = [texts[row] for row in sorted(_decoded(_decoder(), texts)[3])]
    whole = frozenset(good)
    while found["malformed documents"] < count:
        decoder = _decoder()
        for _ in range(DECODER_BATCHES):
            texts = [mutated(rng.choice(good), rng) if rng.random() < 0.8 else rng.choice(good) for _ in range(BATCH)]
            intact = {place for place, text in enumerate(texts) if text in whole}
            events, bad, unknown, rows = _decoded(decoder, texts)
            assert events + bad + unknown == BATCH, f"seed {seed}: {events} + {bad} + {unknown} of {BATCH}"
            assert intact <= rows, f"seed {seed}: a neighbour was harmed"
            spoilt = BATCH - len(intact)
            found += Counter({"malformed documents": spoilt, "dead letters": bad, "of no interest": unknown})
            found["still events"] += events - len(intact)
    return found


def _decoder() -> Decoder:
    return Decoder(program(), detector_of(program()).state.strings)


def _decoded(decoder: Decoder, texts: Sequence[bytes]) -> tuple[int, int, int, set[int]]:
    """Events, dead letters, events of no interest, and which entries have become events."""
    part = decoder.decode(Entries.of(0, [(EntryId(1, n), [b"event", text]) for n, text in enumerate(texts)]))
    rows = set(part.batch.entry_seq.tolist())
    assert len(rows) == len(part.batch), "one line is one event"
    return len(part.batch), sum(bad.count for bad in part.bad), sum(part.unknown.values()), rows


def malformed_through_redis(count: int, seed: int) -> Counter[str]:
    """With a server: the same, through the whole pipeline."""
    rng = random.Random(seed)
    given = list(_spoilt_entries(entries(count, seed), rng))
    with tempfile.TemporaryDirectory() as folder, World(Path(folder) / "w", seed, 1) as world:
        world.feed = Feed(world.server.client, given, 50_000)
        detector = world.start()
        world.feed.start()
        world.feed.join(120)
        world.wait_for_end(detector)
        detector.stop()
        sent = world.feed.stop()
        found, wanted = world.check(sent), uninterrupted(sent)
        dead = sum(int(fields[b"count"]) for _, fields in read_all(world.server.client(), "test:dlq"))
        assert wanted.events + dead + sum(wanted.unknown.values()) == len(sent)
        return Counter(
            {"malformed documents through the server": sum(map(_is_changed, given, entries(count, seed))), **found}
        )


def _spoilt_entries(given: Sequence[Entry], rng: random.Random) -> Iterator[Entry]:
    for stream, at, text in given:
        yield stream, at, mutated(text, rng) if rng.random() < 0.3 else text


def _is_changed(one: Entry, other: Entry) -> bool:
    return one[2] != other[2]
