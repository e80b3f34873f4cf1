"""However often the loop is interrupted, the log ends up with what an uninterrupted one would have put there."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from cep.adapters.files.snapshots import DirectorySnapshots
from cep.adapters.redis.log import RedisLog
from cep.errors import ConfigurationError
from cep.ports import BadEvent, Commit, Entries, EntryId, FencedError, LateEvent, LogError, Offsets
from cep.runtime import OTHER_TYPES, UNKNOWN_TYPES_MAX, Change, Counters, HistoryError, Options, Outcome, Runtime
from tests.servers import Server, own_server

__all__ = ["own_server"]
IMPATIENT = Options(snapshot_entries=50, snapshot_s=1e9, backoff_s=(0.0,))


class Chain:
    """Its state is a digest of all it has seen, so an entry lost, doubled or out of turn changes all alerts."""

    def __init__(self) -> None:
        self.state = b""

    def apply(self, batch: Sequence[Entries]) -> Outcome:
        outcome, shadow = Outcome(), set()
        for entries in batch:
            for row, fields in enumerate(entries.fields):
                self.state = hashlib.blake2b(self.state + fields[1], digest_size=16).digest()
                outcome.events += 1
                if self.state[0] < 60:
                    if self.state[1] < 40:
                        shadow.add(len(outcome.alerts))
                    outcome.alerts.append(self.state.hex().encode())
                elif self.state[0] < 90:
                    outcome.bad.append(BadEvent(entries.stream, entries.id(row), 0, "json", "", "", self.state))
                elif self.state[0] < 120:
                    outcome.late.append(LateEvent(entries.stream, entries.id(row), 0, self.state))
        outcome.shadow = frozenset(shadow)
        return outcome

    def dump(self) -> bytes:
        return self.state

    def load(self, data: bytes | None) -> None:
        self.state = data or b""

    def take_over(self, other: Chain) -> None:
        self.state = other.state


def expected(events: Sequence[bytes]) -> Outcome:
    ids = [(EntryId(n + 1, 0), [b"e", event]) for n, event in enumerate(events)]
    return Chain().apply([Entries.of(0, ids)])


class FlakyLog:
    """A log in memory that fails now and then: before or after a commit is applied, and while reading."""

    def __init__(self, events: Sequence[bytes], rng: random.Random, fault: float) -> None:
        self.events, self.rng, self.fault = list(events), rng, fault
        self.at, self.done = EntryId(0, 0), Commit({})
        self.faults = True
        self.on_end = lambda: None

    def maybe_fail(self) -> None:
        if self.faults and self.rng.random() < self.fault:
            raise LogError("cut")

    def open(self) -> Offsets:
        self.maybe_fail()
        return {0: self.at} if self.at.ms else {}

    def read(self, after: Offsets, upto: Offsets | None) -> list[Entries]:
        self.maybe_fail()
        first = after.get(0, EntryId(0, 0)).ms
        final = len(self.events) if upto is None else upto[0].ms
        final = min(final, len(self.events), first + self.rng.randrange(1, 40))
        ids = range(first + 1, final + 1)
        if not ids and upto is None:
            self.on_end()
        return [Entries.of(0, [(EntryId(n, 0), [b"e", self.events[n - 1]]) for n in ids])] if ids else []

    def commit(self, commit: Commit) -> None:
        self.maybe_fail()
        assert commit.offsets[0] > self.at
        self.at = commit.offsets[0]
        self.done.alerts += commit.alerts
        self.done.dead += commit.dead
        self.done.late += commit.late
        self.done.shadow += commit.shadow
        self.maybe_fail()

    def close(self) -> None:
        pass


class MemorySnapshots:
    def __init__(self) -> None:
        self.kept: list[tuple[Offsets, bytes]] = []

    def save(self, offsets: Offsets, data: bytes) -> None:
        self.kept.append((dict(offsets), data))

    def load(self, upto: Offsets) -> tuple[Offsets, bytes] | None:
        usable = [kept for kept in self.kept if all(at <= upto.get(s, EntryId(0, 0)) for s, at in kept[0].items())]
        return usable[-1] if usable else None


@pytest.mark.parametrize("seed", range(40))
def test_faults_change_nothing(seed: int) -> None:
    rng = random.Random(seed)
    events = [b"%d" % rng.randrange(10**9) for _ in range(500)]
    log, snapshots = FlakyLog(events, rng, fault=0.1), MemorySnapshots()
    counters = []
    while log.at.ms < len(events):  # each time with an empty memory, as after a crash
        stop = threading.Event()
        log.on_end = stop.set
        twist = random.Random(seed)  # rules change now and then into some that mean the same
        runtime = Runtime(
            log,
            Chain(),
            snapshots if seed % 2 else None,
            options=IMPATIENT,
            stop=stop,
            changed=lambda twist=twist: Change(Chain(), lambda: None) if twist.random() < 0.1 else None,
        )
        if rng.random() < 0.5:
            log.rng = CrashingRandom(rng, rng.randrange(1, 60))
        try:
            runtime.run()
        except KeyboardInterrupt:
            log.rng = rng
        counters.append(runtime.counters)
    want = expected(events)
    assert (log.done.alerts, log.done.shadow) == (want.delivered(), want.shadowed())
    assert (log.done.dead, log.done.late) == (want.bad, want.late)
    if len(counters) == 1:
        assert counters[0].events == len(events)
        assert counters[0].alerts + counters[0].shadow == len(want.alerts)


class CrashingRandom(random.Random):
    """Stands for a crash: the n-th throw of the dice never returns."""

    def __init__(self, rng: random.Random, throws: int) -> None:
        super().__init__(rng.random())
        self.throws = throws

    def random(self) -> float:
        self.throws -= 1
        if self.throws == 0:
            raise KeyboardInterrupt
        return super().random()


def test_snapshots_shorten_the_replay_and_stopping_takes_one() -> None:
    events = [b"%d" % n for n in range(300)]
    log, snapshots = FlakyLog(events, random.Random(1), fault=0), MemorySnapshots()
    stop = threading.Event()
    log.on_end = stop.set
    first = Runtime(log, Chain(), snapshots, options=IMPATIENT, stop=stop)
    first.run()
    assert snapshots.kept[-1][0] == {0: EntryId(300, 0)}
    assert first.counters.snapshots == len(snapshots.kept) >= 4
    stop.clear()
    second = Runtime(log, Chain(), snapshots, options=IMPATIENT, stop=stop)
    second.run()
    assert (second.counters.replayed, second.counters.batches, len(snapshots.kept)) == (0, 0, first.counters.snapshots)


def test_stopping_in_the_middle_of_a_replay_leaves_no_snapshot() -> None:
    log, snapshots, stop = FlakyLog([b"x"] * 300, random.Random(1), fault=0), MemorySnapshots(), threading.Event()
    log.at = EntryId(300, 0)

    class Stopping(Chain):
        def apply(self, batch: Sequence[Entries]) -> Outcome:
            stop.set()
            return super().apply(batch)

    runtime = Runtime(log, Stopping(), snapshots, stop=stop)
    runtime.run()
    assert 0 < runtime.counters.replayed < 300
    assert (runtime.counters.batches, snapshots.kept) == (0, [])


def test_snapshots_by_the_clock_and_a_full_disk() -> None:
    class FullDisk(MemorySnapshots):
        def save(self, offsets: Offsets, data: bytes) -> None:
            raise OSError("no space left")

    seconds = iter(range(10_000))
    said: list[str] = []
    log, stop = FlakyLog([b"%d" % n for n in range(300)], random.Random(1), fault=0), threading.Event()
    log.on_end = stop.set
    options = Options(snapshot_s=3.0)
    Runtime(log, Chain(), FullDisk(), options=options, stop=stop, report=said.append, clock=lambda: next(seconds)).run()
    assert log.at.ms == 300
    assert len(said) >= 3
    assert set(said) == {"no snapshot could be written: no space left"}


def test_history_that_is_gone_stops_the_loop() -> None:
    log = FlakyLog([b"1", b"2"], random.Random(1), fault=0)
    log.at = EntryId(5, 0)
    with pytest.raises(HistoryError, match="stream 0 from 2-0 to 5-0"):
        Runtime(log, Chain()).run()


@pytest.mark.parametrize("error", [FencedError("taken"), ConfigurationError("no AOF")])
def test_errors_that_waiting_does_not_mend(error: Exception) -> None:
    class Refusing(FlakyLog):
        def open(self) -> Offsets:
            raise error

    with pytest.raises(type(error)):
        Runtime(Refusing([], random.Random(1), fault=0), Chain()).run()


def test_unknown_types_are_counted_within_bounds() -> None:
    counters = Counters()
    for n in range(UNKNOWN_TYPES_MAX + 50):
        counters.count(Outcome(unknown={f"type {n}": 2}))
    counters.count(Outcome(unknown={"type 0": 1}))
    assert len(counters.unknown) == UNKNOWN_TYPES_MAX + 1
    assert (counters.unknown["type 0"], counters.unknown[OTHER_TYPES]) == (3, 100)


# ------------------------------------------------------------------------------- a real process, killed


def main(url: str, directory: str) -> None:
    """The process under test: SIGTERM ends it, kill -9 as well."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    log = RedisLog(url, ["in"], "test")
    log._count = 20
    Runtime(
        log,
        Chain(),
        DirectorySnapshots(directory, "chain", ["events"]),
        options=Options(snapshot_entries=100),
        stop=stop,
    ).run()


def start(server: Server, directory: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.test_runtime", server.url, str(directory)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[1])


def test_kill_9_of_detector_and_server(own_server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    rng = random.Random(os.environ.get("CEP_SEED", "7"))
    client = own_server.client()
    events = [b"%d" % n for n in range(6000)]
    process = start(own_server, tmp_path / "snapshots")
    request.addfinalizer(lambda: process.kill())  # noqa: PLW0108  # whichever is the last
    for round_number in range(10):
        with client.pipeline(transaction=False) as pipeline:
            for event in events[round_number * 600 : (round_number + 1) * 600]:
                pipeline.xadd("in", {"e": event})
            pipeline.execute()
        time.sleep(rng.uniform(0, 0.25))
        if round_number % 4 == 3:
            own_server.kill()
            own_server.start()
        if round_number % 3:
            process.kill()
            process.wait()
            process = start(own_server, tmp_path / "snapshots")
    want = expected(events)
    deadline = time.monotonic() + 10
    while client.hget("cep:{test}:meta", "offset:in") != client.xrevrange("in", count=1)[0][0]:
        assert time.monotonic() < deadline, "the detector does not come to the end"
        time.sleep(0.05)
    process.terminate()
    assert process.wait(5) == 0
    assert [fields[b"alert"] for _, fields in client.xrange("alerts")] == want.delivered()
    assert [fields[b"alert"] for _, fields in client.xrange("alerts:shadow")] == want.shadowed()


if __name__ == "__main__":
    main(*sys.argv[1:])
