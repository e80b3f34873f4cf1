"""A server, events that come in, detectors beside it, and the comparison with a run that nobody disturbs.

The run to compare with is the detector itself over all entries at once, in this process, without server or loop; the
laws of the language are the business of other tests. What is compared are bytes, in order.
"""

from __future__ import annotations

import random
import re
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice, zip_longest
from pathlib import Path

import redis

from cep.adapters.cli.detector import build, detector_of
from cep.adapters.redis.keys import Keys
from cep.adapters.redis.words import entry_id
from cep.delivery.outcome import Outcome
from cep.lang import check_texts
from cep.layout.program import Program
from cep.ports import Entries
from tests.battery.detectors import Detector
from tests.battery.history import check_history
from tests.servers import BINARIES, Server
from tests.test_kill import RULES, SCHEMA, STREAMS, Entry, entries

TICK_S = 0.01
CHUNK = 5000
DETECTOR_OPTIONS = {"--lease-seconds": "1", "--report-seconds": "3600", "--log-format": "json"}
_CARD = re.compile(rb'"card":\[?"(\w+)"')


@cache
def program() -> Program:
    """The rules that most parts of the battery run."""
    rules = check_texts({"schema.cep": SCHEMA, "more.cep": RULES}).ruleset
    assert rules is not None
    return build(rules)[0]


def undisturbed(
    given: Iterable[Entry], streams: Sequence[str] = STREAMS, of: Program | None = None
) -> Iterator[Outcome]:
    """What one detector makes of all entries, part by part."""
    detector, given = detector_of(of or program()), iter(given)
    while part := list(islice(given, CHUNK)):
        batch = [
            Entries.of(number, [(entry_id(entry), [b"event", text]) for stream, entry, text in part if stream == name])
            for number, name in enumerate(streams)
        ]
        yield detector.apply([entries for entries in batch if len(entries)])


def uninterrupted(given: Iterable[Entry], streams: Sequence[str] = STREAMS, of: Program | None = None) -> Outcome:
    """What one detector makes of all entries."""
    total = Outcome()
    for outcome in undisturbed(given, streams, of):
        total.events += outcome.events
        total.shadow |= {len(total.alerts) + place for place in outcome.shadow}
        for name in ("alerts", "bad", "late"):
            getattr(total, name).extend(getattr(outcome, name))
        total.unknown = Counter(total.unknown) + Counter(outcome.unknown)
    return total


class Feed(threading.Thread):
    """Appends entries, so many a second, until it is told to stop; `sent` counts those that were acknowledged.

    A server that does not answer, or refuses, is waited for. An entry whose fate is unknown is sent again, under its
    own id.
    """

    def __init__(self, connect: Callable[[], redis.Redis], given: Sequence[Entry], rate: int) -> None:
        super().__init__(daemon=True)
        self._connect, self.entries, self.rate = connect, list(given), rate
        self._ended = threading.Event()
        self._may = threading.Event()
        self._may.set()
        self.is_quiet = threading.Event()
        self.sent = 0
        self.refused = Counter[str]()
        self.failure: BaseException | None = None

    def run(self) -> None:
        began, before = time.monotonic(), self.sent
        try:
            while not self._ended.is_set() and self.sent < len(self.entries):
                if not self._may.is_set():
                    self.is_quiet.set()
                    self._may.wait(0.1)
                    began, before = time.monotonic(), self.sent
                    continue
                due = before + int((time.monotonic() - began) * self.rate)
                part = self.entries[self.sent : min(due, self.sent + CHUNK)]
                if part and self._append(part):
                    self.sent += len(part)
                    before, began = (self.sent, time.monotonic()) if due > self.sent + CHUNK else (before, began)
                self._ended.wait(TICK_S)
        except BaseException as error:
            self.failure = error
            raise

    def pause(self) -> None:
        """Send nothing for a while."""
        self.is_quiet.clear()
        self._may.clear()
        assert not self.is_alive() or self.is_quiet.wait(30)

    def go_on(self) -> None:
        self._may.set()

    def stop(self) -> list[Entry]:
        """No more; what was sent."""
        self._ended.set()
        self.join(60)
        assert not self.is_alive(), "the feed hangs"
        assert self.failure is None, self.failure
        return self.entries[: self.sent]

    def _append(self, part: Sequence[Entry]) -> bool:
        try:
            with self._connect() as client, client.pipeline() as pipeline:  # a refused one refuses those behind it
                for stream, entry, text in part:
                    pipeline.xadd(stream, {"event": text}, id=entry)
                replies = pipeline.execute(raise_on_error=False)
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        except redis.ResponseError as error:
            self.refused[type(error).__name__] += 1
            return False
        refused = [str(reply) for reply in replies if isinstance(reply, redis.RedisError)]
        assert all("equal or smaller" in reply for reply in refused), refused  # it was there already
        return True


class World:
    """One server and groups of detectors. seed: of its events, of which there are enough for some seconds at a rate."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        seconds: float,
        *,
        kind: str = "valkey",
        rate: int = 2500,
        options: Sequence[str] = (),
    ) -> None:
        self.rng, self.seed, self.folder = random.Random(seed), seed, folder
        (folder / "data").mkdir(parents=True, exist_ok=True)
        binary = BINARIES[kind]
        assert binary is not None, f"{kind} is not installed"
        self.server = Server(binary, folder / "data", "--appendfsync", "everysec", *options)
        self.rules = folder / "rules"
        self.rules.mkdir()
        (self.rules / "schema.cep").write_text(SCHEMA, "utf-8")
        (self.rules / "more.cep").write_text(RULES, "utf-8")
        self.entries = entries(int(rate * (1.5 * seconds + 30)), seed)
        self.feed = Feed(self.server.client, self.entries, rate)
        self.detectors: list[Detector] = []

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.feed._ended.set()
        for detector in self.detectors:
            if detector.process.exitcode is None:
                detector.kill()
        self.server.kill()

    def snapshots(self, group: str = "test") -> Path:
        return self.folder / f"snapshots-{group}"

    def start(
        self,
        *options: str,
        group: str = "test",
        url: str | None = None,
        crash: tuple[str, int] | None = None,
        file_bytes: int | None = None,
        snapshots: bool = True,
        forgets: bool = True,
    ) -> Detector:
        """One more `cep run`."""
        arguments = ["more.cep", "--redis", url or self.server.url, "--group", group, "--alerts", group]
        if snapshots:
            arguments += ["--snapshots", str(self.snapshots(group))]
            if "--snapshot-seconds" not in options:
                arguments += ["--snapshot-seconds", "1"]
        defaults = [word for name, value in DETECTOR_OPTIONS.items() if name not in options for word in (name, value)]
        arguments += [*defaults, *options]
        self.detectors = [old for old in self.detectors if old.process.exitcode is None]
        detector = Detector(arguments, self.rules, self.folder / f"{group}.log", crash, file_bytes, forgets)
        self.detectors.append(detector)
        return detector

    def seq(self, keys: Keys) -> int:
        return int(self.server.client().hget(keys.meta, "seq") or 0)

    def wait_for_work(self, detector: Detector, group: str = "test", seconds: float = 60.0) -> None:
        """Until it commits."""
        keys = Keys(group, group)
        before = self.seq(keys)
        detector.wait(lambda: self.seq(keys) > before, "at work", seconds)
        assert self.feed.is_alive(), "events no longer come in"

    def is_at_end(self, keys: Keys, streams: Sequence[str] = STREAMS) -> bool:
        """Whether everything has been applied that the streams have."""
        client = self.server.client()
        for stream in keys.of_streams(streams):
            if client.exists(stream):
                end = client.xinfo_stream(stream)["last-generated-id"]
                if client.hget(keys.meta, f"offset:{stream}") != end:
                    return False
        return True

    def wait_for_end(self, detector: Detector, group: str = "test", seconds: float = 60.0) -> None:
        keys = Keys(group, group)
        detector.wait(lambda: self.is_at_end(keys), "at the end", seconds)

    def check(self, sent: Sequence[Entry], group: str = "test", partition: int | None = None) -> Counter[str]:
        """Compare all that a group has written with what it had to write. Nothing lost, nothing twice, in order."""
        keys, wanted = Keys(group, group, partition), uninterrupted(sent)
        client = self.server.client()
        found = [fields[b"alert"] for _, fields in read_all(client, keys.outputs()[0])]
        for place, (one, other) in enumerate(zip_longest(found, wanted.delivered(), fillvalue=b"nothing")):
            assert one == other, f"seed {self.seed}, {group}: alert {place} is {one!r}, not {other!r}"
        assert len(set(found)) == len(found), "an alert is there twice"
        dead, due = by_stream(client, keys.outputs()[1]), letters(keys, wanted)
        for name in dead.keys() | due.keys():
            pairs = zip_longest(dead.get(name, ()), due.get(name, ()))
            for place, (one_letter, other_letter) in enumerate(pairs):
                where = f"seed {self.seed}, {group}: dead letter {place} of {name!r}"
                assert one_letter == other_letter, f"{where} is {one_letter}, not {other_letter}"
        late = by_stream(client, keys.outputs()[2])
        assert {s: [f[b"id"] for f in part] for s, part in late.items()} == late_ids(keys, wanted), "late events"
        check_history(client, keys, list(STREAMS), sent)
        return Counter(events=len(sent), alerts=len(found), dead=len(wanted.bad), late=len(wanted.late))


def read_all(client: redis.Redis, key: str) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """All entries of a stream."""
    last = b"-"
    while part := client.xrange(key, min=last, count=5000):
        yield from part
        last = b"(" + part[-1][0]


def surviving(client: redis.Redis) -> list[Entry]:
    """The entries that the streams have."""
    found = [(s, e.decode(), fields[b"event"]) for s in STREAMS for e, fields in read_all(client, s)]
    return sorted(found, key=lambda entry: tuple(map(int, entry[1].split("-"))))


def by_stream(client: redis.Redis, key: str) -> dict[bytes, list[dict[bytes, bytes]]]:
    """Which of two streams has its turn first is no part of the promise."""
    found: dict[bytes, list[dict[bytes, bytes]]] = {}
    for _, fields in read_all(client, key):
        found.setdefault(fields[b"stream"], []).append(fields)
    return found


def letters(keys: Keys, wanted: Outcome) -> dict[bytes, list[dict[bytes, bytes]]]:
    """The dead letters that should be there."""
    found: dict[bytes, list[dict[bytes, bytes]]] = {}
    for bad in wanted.bad:
        name = keys.of_streams([STREAMS[bad.stream]])[0]
        words = {"stream": name, "id": bad.entry, "index": bad.index, "reason": bad.reason, "path": bad.path}
        fields = {
            key.encode(): str(word).encode()
            for key, word in {**words, "detail": bad.detail, "count": bad.count}.items()
        }
        found.setdefault(name.encode(), []).append(fields | {b"excerpt": bad.excerpt})
    return found


def late_ids(keys: Keys, wanted: Outcome) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for late in wanted.late:
        name = keys.of_streams([STREAMS[late.stream]])[0].encode()
        found.setdefault(name, []).append(str(late.entry).encode())
    return found


def divided(given: Sequence[Entry], partitions: int) -> list[list[Entry]]:
    """The entries of each partition: by card, and what has none that can be read by its bytes."""
    parts: list[list[Entry]] = [[] for _ in range(partitions)]
    for entry in given:
        card = _CARD.search(entry[2])
        parts[zlib.crc32(card[1] if card else entry[2]) % partitions].append(entry)
    return parts
