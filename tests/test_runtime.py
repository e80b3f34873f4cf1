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
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cep.adapters.files.snapshots import DirectorySnapshots
from cep.adapters.redis.keys import Keys
from cep.adapters.redis.log import RedisLog
from cep.adapters.redis.reader import COUNT_MAX
from cep.adapters.redis.session import Session
from cep.delivery.history import following
from cep.delivery.recovery import HistoryError
from cep.delivery.runtime import OTHER_TYPES, UNKNOWN_TYPES_MAX, Change, Counters, Options, Outcome, Runtime
from cep.errors import ConfigurationError
from cep.ports import (
    BadEvent,
    Commit,
    Entries,
    EntryId,
    FencedError,
    LateEvent,
    LogError,
    Offsets,
    Point,
    Position,
    Standing,
    Turn,
)
from tests.servers import Server, own_server

__all__ = ["own_server"]
IMPATIENT = Options(snapshot_entries=50, snapshot_s=1e9, backoff_s=(0.0,))


class Chain:
    """Its state is a digest of all it has seen, so an entry lost, doubled or out of turn changes all alerts."""

    deadly: frozenset[bytes] = frozenset()

    def __init__(self) -> None:
        self.state = b""

    def prepare(self, entries: Entries) -> None:
        pass

    def apply(self, batch: Sequence[Entries], idle: frozenset[int] = frozenset()) -> Outcome:
        outcome, shadow = Outcome(), set()
        for entries in batch:
            for row, fields in enumerate(entries.fields):
                if fields[1] in self.deadly:
                    raise KeyboardInterrupt  # as if it had killed the process
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

    def advance(self, idle: frozenset[int], until_us: int | None) -> Outcome:
        self.state = hashlib.blake2b(self.state + repr((sorted(idle), until_us)).encode(), digest_size=16).digest()
        return Outcome(alerts=[self.state.hex().encode()])

    def time_after(self, silent_us: int) -> int | None:
        return silent_us if self.state else None

    def put_aside(self, batch: Sequence[Entries], reason: str) -> Outcome:
        return Outcome(bad=[BadEvent(e.stream, e.id(0), 0, reason, "", "", e.fields[0][1]) for e in batch])

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
        self.history, self.done = [Turn(Point())], Commit({})
        self.failures, self.named, self.tries, self.trimmed = 0, None, 0, 0
        self.gaps: dict[int, tuple[int | None, Position]] = {}
        self.faults = True
        self.on_end = lambda: None

    @property
    def at(self) -> int:
        return self.history[-1].point.offsets.get(0, Position()).ordinal

    def applied(self, count: int) -> None:
        """As if somebody had applied so many entries, without output."""
        digest = zlib.crc32(b"".join(self.events[:count]))
        self.history.append(Turn(Point(1, "1", {0: Position(EntryId(count, 0), count, digest)})))

    def maybe_fail(self) -> None:
        if self.faults and self.rng.random() < self.fault:
            raise LogError("cut")

    def open(self) -> Standing:
        self.maybe_fail()
        return Standing(self.history[-1].point, self.failures, self.named, self.tries, self.gaps)

    def read(
        self, after: Offsets, upto: Offsets | None, limit: int | None = None, prepare: object = None
    ) -> list[Entries]:
        self.maybe_fail()
        at = after.get(0, Position())
        final = len(self.events) if upto is None else upto[0].entry.ms
        final = min(final, len(self.events), at.entry.ms + (limit or self.rng.randrange(1, 40)))
        ids = range(at.entry.ms + 1, final + 1)
        if not ids and upto is None:
            self.on_end()
        if not ids or ids[0] <= self.trimmed:
            return []
        entries = Entries.of(0, [(EntryId(n, 0), [b"e", self.events[n - 1]]) for n in ids])
        entries.digest = zlib.crc32(b"".join(self.events[at.entry.ms : final]), at.digest)
        return [entries]

    def commit(self, before: Point, commit: Commit, after: Point) -> None:
        self.maybe_fail()
        assert before == self.history[-1].point
        assert after == following(before, commit)
        self.history.append(Turn(after, commit.until_us, commit.is_aside, commit.gaps))
        self.done.alerts += commit.alerts
        self.done.dead += commit.dead
        self.done.late += commit.late
        self.done.shadow += commit.shadow
        if commit.gaps:
            self.gaps = {}
        self.maybe_fail()

    def turns(self, since: Point, upto: Point) -> Sequence[Turn] | None:
        places = [n for n, turn in enumerate(self.history) if turn.point.chain == since.chain]
        return self.history[places[0] + 1 :] if places else None

    def suspect(self, stream: int, entry: EntryId, tries: int) -> None:
        self.named, self.tries = (stream, entry), tries

    def hold(self) -> None:
        self.maybe_fail()

    def settle(self) -> None:
        self.failures = 0

    def trim(self, oldest: Point) -> None:
        pass

    def close(self) -> None:
        pass


class MemorySnapshots:
    def __init__(self) -> None:
        self.kept: list[tuple[Point, bytes]] = []

    def save(self, point: Point, data: bytes) -> None:
        self.kept.append((point, data))

    def points(self) -> Sequence[Point]:
        return [point for point, _ in reversed(self.kept)]

    def oldest(self) -> Point | None:
        return next(reversed(self.points()), None)

    def load(self, point: Point) -> bytes | None:
        return next((data for kept, data in reversed(self.kept) if kept == point), None)

    def discard(self, point: Point) -> None:
        self.kept = [(kept, data) for kept, data in self.kept if kept != point]


@pytest.mark.parametrize("seed", range(40))
def test_faults_change_nothing(seed: int) -> None:
    rng = random.Random(seed)
    events = [b"%d" % rng.randrange(10**9) for _ in range(500)]
    log, snapshots = FlakyLog(events, rng, fault=0.1), MemorySnapshots()
    counters = []
    while log.at < len(events):  # each time with an empty memory, as after a crash
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
    assert snapshots.kept[-1][0] == log.history[-1].point
    assert first.counters.snapshots == len(snapshots.kept) >= 4
    stop.clear()
    second = Runtime(log, Chain(), snapshots, options=IMPATIENT, stop=stop)
    second.run()
    assert (second.counters.replayed, second.counters.batches, len(snapshots.kept)) == (0, 0, first.counters.snapshots)


def test_stopping_without_a_session_is_no_failure() -> None:
    class Breaking(FlakyLog):
        def trim(self, oldest: Point) -> None:
            raise LogError("cut")

    log, snapshots, stop = Breaking([b"x"] * 30, random.Random(1), fault=0), MemorySnapshots(), threading.Event()
    log.on_end = stop.set
    Runtime(log, Chain(), snapshots, stop=stop).run()
    assert snapshots.kept[-1][0] == log.history[-1].point


def test_a_snapshot_that_is_gone_at_once_stops_nothing() -> None:
    class Forgetful(MemorySnapshots):
        def points(self) -> Sequence[Point]:
            return []

    log, stop = FlakyLog([b"%d" % n for n in range(300)], random.Random(1), fault=0), threading.Event()
    log.on_end = stop.set
    Runtime(log, Chain(), Forgetful(), options=IMPATIENT, stop=stop).run()
    assert log.at == 300


def test_the_log_is_trimmed_up_to_what_is_kept_for_sure() -> None:
    class Damaged(MemorySnapshots):
        def oldest(self) -> Point | None:
            return self.points()[0] if len(self.kept) > 2 else None

    log, snapshots, stop = FlakyLog([b"x"] * 300, random.Random(1), fault=0), Damaged(), threading.Event()
    log.on_end, trimmed = stop.set, list[Point]()
    log.trim = trimmed.append
    Runtime(log, Chain(), snapshots, options=IMPATIENT, stop=stop).run()
    assert trimmed == [point for point, _ in snapshots.kept[2:]]
    assert trimmed


def test_stopping_in_the_middle_of_a_replay_leaves_no_snapshot() -> None:
    log, snapshots, stop = FlakyLog([b"x"] * 300, random.Random(1), fault=0), MemorySnapshots(), threading.Event()
    log.applied(300)

    class Stopping(Chain):
        def apply(self, batch: Sequence[Entries], idle: frozenset[int] = frozenset()) -> Outcome:
            stop.set()
            return super().apply(batch, idle)

    runtime = Runtime(log, Stopping(), snapshots, stop=stop)
    runtime.run()
    assert 0 < runtime.counters.replayed < 300
    assert (runtime.counters.batches, snapshots.kept) == (0, [])


def test_snapshots_by_the_clock_and_a_full_disk() -> None:
    class FullDisk(MemorySnapshots):
        def save(self, point: Point, data: bytes) -> None:
            raise OSError("no space left")

    seconds = iter(range(10_000))
    said: list[str] = []
    log, stop = FlakyLog([b"%d" % n for n in range(300)], random.Random(1), fault=0), threading.Event()
    log.on_end = stop.set
    options = Options(snapshot_s=3.0)
    Runtime(log, Chain(), FullDisk(), options=options, stop=stop, report=said.append, clock=lambda: next(seconds)).run()
    assert log.at == 300
    assert len(said) >= 3
    assert set(said) == {"no snapshot could be written: no space left"}


def test_history_that_is_gone_stops_the_loop() -> None:
    log = FlakyLog([b"1", b"2", b"3"], random.Random(1), fault=0)
    log.applied(3)
    log.trimmed = 1
    with pytest.raises(HistoryError, match="stream 0 from its beginning to 3-0"):
        Runtime(log, Chain()).run()


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("trimmed", [0, 1])
def test_who_has_lost_the_log_does_not_say_that_entries_are_lost(goes_on: bool, trimmed: int) -> None:
    class Taken(FlakyLog):
        def hold(self) -> None:
            raise FencedError("taken")

    log = Taken([b"1", b"2", b"3"], random.Random(1), fault=0)
    log.applied(3)
    log.trimmed = trimmed  # by whoever has it now
    log.gaps = {} if trimmed else {0: (7, log.history[-1].point.offsets[0])}
    with pytest.raises(FencedError):
        Runtime(log, Chain(), options=Options(goes_on=goes_on)).run()


def test_who_has_lost_the_log_drops_no_snapshot() -> None:
    class Taken(FlakyLog):
        def hold(self) -> None:
            raise FencedError("taken")

    log, snapshots = Taken([b"1", b"2", b"3"], random.Random(1), fault=0), MemorySnapshots()
    log.applied(2)
    snapshots.save(Point(7, "of who has it now", {0: Position(EntryId(3, 0), 3)}), b"")
    with pytest.raises(FencedError):
        Runtime(log, Chain(), snapshots).run()
    assert len(snapshots.kept) == 1


def test_entries_that_are_others_than_were_applied_stop_the_loop() -> None:
    log = FlakyLog([b"1", b"2", b"3"], random.Random(1), fault=0)
    log.applied(3)
    log.events[1] = b"changed"
    with pytest.raises(HistoryError, match="other entries up to 3-0"):
        Runtime(log, Chain()).run()


def test_a_snapshot_of_a_lost_history_is_passed_over_and_dropped() -> None:
    log, snapshots, stop = (
        FlakyLog([b"%d" % n for n in range(90)], random.Random(1), 0),
        MemorySnapshots(),
        threading.Event(),
    )
    log.on_end = stop.set
    Runtime(log, Chain(), snapshots, options=IMPATIENT, stop=stop).run()
    point, data = snapshots.kept[-1]
    snapshots.save(replace(point, chain="of another branch"), data + b"!")
    want = Chain()
    want.apply(log.read({}, {0: Position(EntryId(90, 0))}, 90))
    stop.clear()
    detector = Chain()
    Runtime(log, detector, snapshots, options=IMPATIENT, stop=stop).run()
    assert detector.state == want.state
    assert all(point.chain != "of another branch" for point in snapshots.points())


@pytest.mark.parametrize("goes_on", [False, True])
def test_lost_entries_stop_the_loop_or_are_counted(goes_on: bool) -> None:
    said: list[str] = []
    log, stop = FlakyLog([b"%d" % n for n in range(50)], random.Random(1), fault=0), threading.Event()
    log.applied(10)
    log.gaps = {0: (7, log.history[-1].point.offsets[0]._replace(ordinal=17))}
    log.on_end = stop.set
    runtime = Runtime(log, Chain(), options=Options(goes_on=goes_on), stop=stop, report=said.append)
    if goes_on:
        runtime.run()
        assert (runtime.counters.lost, log.at) == (7, 57)
        assert said == ["stream 0 has lost 7 entries behind 10-0 that were not applied"]
    else:
        with pytest.raises(HistoryError, match="lost 7 entries behind 10-0"):
            runtime.run()


def test_lost_entries_are_counted_once_where_the_answer_to_their_commit_is_lost() -> None:
    class Unanswered(FlakyLog):
        def commit(self, before: Point, commit: Commit, after: Point) -> None:
            super().commit(before, commit, after)
            if commit.gaps:
                raise LogError("cut")

    log, stop = Unanswered([b"%d" % n for n in range(50)], random.Random(1), fault=0), threading.Event()
    log.gaps = {0: (7, Position(ordinal=7))}
    log.on_end = stop.set
    runtime = Runtime(log, Chain(), options=Options(goes_on=True, backoff_s=(0,)), stop=stop)
    runtime.run()
    assert (runtime.counters.lost, runtime.counters.sessions) == (7, 2)


def test_what_was_lost_and_came_back_is_not_written_down_as_lost() -> None:
    """As when a failover undoes a trimming while its loss is on the way into the journal."""

    class Undoing(FlakyLog):
        def commit(self, before: Point, commit: Commit, after: Point) -> None:
            if commit.gaps:
                self.gaps = {}
                raise LogError("cut")
            super().commit(before, commit, after)

    events = [b"%d" % n for n in range(50)]
    log, stop, snapshots = Undoing(events, random.Random(1), fault=0), threading.Event(), MemorySnapshots()
    log.gaps = {0: (7, Position(ordinal=7))}
    log.on_end = stop.set
    runtime = Runtime(log, Chain(), snapshots, options=replace(IMPATIENT, goes_on=True), stop=stop)
    runtime.run()
    assert (log.at, runtime.counters.replayed) == (50, 0)
    assert log.done.alerts == expected(events).delivered()
    assert not any(turn.gaps for turn in log.history)


@pytest.mark.parametrize("place", [0, 3, 700, 1999])
def test_an_entry_that_kills_is_put_aside(place: int) -> None:
    """Each death ends a process; the fourth begins with care."""
    events = [b"%d" % n for n in range(2000)]

    class Mortal(Chain):
        deadly = frozenset({events[place]})

    log, snapshots, deaths = FlakyLog(events, random.Random(place), fault=0), MemorySnapshots(), 0
    while log.at < len(events):
        stop = threading.Event()
        log.on_end = stop.set
        log.failures += 1
        try:
            Runtime(log, Mortal(), snapshots if place % 2 else None, options=IMPATIENT, stop=stop).run()
        except KeyboardInterrupt:
            deaths += 1
        assert deaths < 20
    aside = [bad for bad in log.done.dead if bad.reason == "poison"]
    assert [(bad.entry, bad.excerpt) for bad in aside] == [(EntryId(place + 1, 0), events[place])]
    want = expected(events[:place] + events[place + 1 :])
    assert log.done.alerts == want.delivered()
    assert log.failures == 0


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_is_lost_is_told_before_the_state_is_rebuilt(goes_on: bool) -> None:
    """What trims a stream takes what was applied as well, so the rebuilding may fail."""
    said: list[str] = []
    log, stop = FlakyLog([b"%d" % n for n in range(50)], random.Random(1), fault=0), threading.Event()
    log.applied(10)
    log.trimmed = 17
    log.gaps = {0: (7, log.history[-1].point.offsets[0]._replace(entry=EntryId(17, 0), ordinal=17))}
    log.on_end = stop.set
    runtime = Runtime(log, Chain(), options=Options(goes_on=goes_on), stop=stop, report=said.append)
    if goes_on:
        runtime.run()
        assert [message.partition(" lost ")[2].partition(" ")[0] for message in said] == ["7", "what"]
        assert runtime.counters.lost == 7
    else:
        with pytest.raises(HistoryError, match="lost 7 entries"):
            runtime.run()


def test_an_entry_that_kills_late_in_a_long_turn_is_put_aside_all_the_same() -> None:
    """Short turns that go well before they come to where their predecessor died prove nothing."""
    events = [b"%d" % n for n in range(COUNT_MAX + 1000)]

    class Mortal(Chain):
        deadly = frozenset({events[COUNT_MAX - 1000]})

    class Long(FlakyLog):
        def read(
            self, after: Offsets, upto: Offsets | None, limit: int | None = None, prepare: object = None
        ) -> list[Entries]:
            return super().read(after, upto, limit or COUNT_MAX)

    log, deaths = Long(events, random.Random(1), fault=0), 0
    while log.at < len(events):
        stop = threading.Event()
        log.on_end = stop.set
        log.failures += 1
        try:
            Runtime(log, Mortal(), MemorySnapshots(), options=Options(snapshot_entries=10**9), stop=stop).run()
        except KeyboardInterrupt:
            deaths += 1
        assert deaths < 10
    assert [bad.entry for bad in log.done.dead if bad.reason == "poison"] == [EntryId(COUNT_MAX - 999, 0)]


def test_who_is_killed_for_other_reasons_loses_no_entry() -> None:
    """Many deaths, each a little later than the one before: none is the fault of an entry."""
    events, rng = [b"%d" % n for n in range(600)], random.Random(3)
    log, deaths = FlakyLog(events, rng, fault=0), 0
    while log.at < len(events):
        stop = threading.Event()
        log.on_end = stop.set
        log.failures += 1
        killed_at, reached = rng.randrange(1, 30), 0

        class Killed(Chain):
            def apply(self, batch: Sequence[Entries], idle: frozenset[int] = frozenset()) -> Outcome:
                nonlocal reached
                reached += 1
                if reached == killed_at and deaths < 200:  # noqa: B023
                    raise KeyboardInterrupt
                return super().apply(batch, idle)

        try:
            Runtime(log, Killed(), MemorySnapshots(), options=Options(snapshot_entries=10**9), stop=stop).run()
        except KeyboardInterrupt:
            deaths += 1
    assert deaths > 50
    assert [bad for bad in log.done.dead if bad.reason == "poison"] == []
    assert log.done.alerts == expected(events).delivered()


def test_a_turn_that_takes_too_long_is_watched() -> None:
    log, stop, inside = FlakyLog([b"1", b"2"], random.Random(1), fault=0), threading.Event(), list[bool]()

    @contextmanager
    def watched() -> Iterator[None]:
        inside.append(True)
        yield
        inside.append(False)

    log.on_end = stop.set
    Runtime(log, Chain(), stop=stop, watched=watched).run()
    assert inside[:2] == [True, False]


def test_time_moves_on_while_all_streams_are_silent() -> None:
    """And what was decided then is repeated by a recovery."""
    log, stop, now = (
        FlakyLog([b"%d" % n for n in range(20)], random.Random(1), fault=0),
        threading.Event(),
        iter(range(100)),
    )
    reads = 0

    def on_end() -> None:
        nonlocal reads
        reads += 1
        if reads == 12:
            log.events += [b"more"] * 5
        if reads == 30:
            stop.set()

    log.on_end = on_end
    options = Options(idle_s={0: 5.0})
    first = Chain()
    Runtime(log, first, options=options, stop=stop, clock=lambda: next(now)).run()
    ticks = [turn.until_us for turn in log.history if turn.until_us is not None]
    assert len(ticks) > 10
    assert ticks[:3] == sorted(set(ticks[:3]))
    assert ticks[0] >= 5_000_000
    assert all(turn.point.idle == {0} for turn in log.history if turn.until_us is not None)
    log.rng = random.Random(2)
    second, stop2 = Chain(), threading.Event()
    log.on_end = stop2.set
    Runtime(log, second, options=options, stop=stop2, clock=lambda: 0.0).run()
    assert second.state == first.state


@pytest.mark.parametrize("error", [FencedError("taken"), ConfigurationError("no AOF")])
def test_errors_that_waiting_does_not_mend(error: Exception) -> None:
    class Refusing(FlakyLog):
        def open(self) -> Standing:
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
    log = RedisLog(lambda: Session(url), ["in"], Keys("test"))
    log._reader.count = 20
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
