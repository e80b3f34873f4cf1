"""Snapshots shorten a replay, stop nothing, and are trusted only where they are of the log's own history."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cep.delivery.outcome import Outcome
from cep.delivery.runtime import Options
from cep.ports import (
    Data,
    Entries,
    EntryId,
    FencedError,
    LogError,
    Point,
    Position,
)
from tests.loop import IMPATIENT, Chain, FlakyLog, MemorySnapshots, looped


def test_snapshots_shorten_the_replay_and_stopping_takes_one() -> None:
    events = [b"%d" % n for n in range(300)]
    log, snapshots = FlakyLog(events, random.Random(1), fault=0), MemorySnapshots()
    stop = threading.Event()
    log.on_end = stop.set
    first = looped(log, Chain(), snapshots, options=IMPATIENT, stop=stop)
    first.run()
    assert snapshots.kept[-1][0] == log.history[-1].point
    assert first.counters.snapshots == len(snapshots.kept) >= 4
    stop.clear()
    second = looped(log, Chain(), snapshots, options=IMPATIENT, stop=stop)
    second.run()
    assert (second.counters.replayed, second.counters.batches, len(snapshots.kept)) == (0, 0, first.counters.snapshots)


def test_stopping_without_a_session_is_no_failure() -> None:
    class Breaking(FlakyLog):
        def trim(self, oldest: Point) -> None:
            raise LogError("cut")

    log, snapshots, stop = Breaking([b"x"] * 30, random.Random(1), fault=0), MemorySnapshots(), threading.Event()
    log.on_end = stop.set
    looped(log, Chain(), snapshots, stop=stop).run()
    assert snapshots.kept[-1][0] == log.history[-1].point


def test_a_snapshot_that_is_gone_at_once_stops_nothing() -> None:
    class Forgetful(MemorySnapshots):
        def points(self) -> Sequence[Point]:
            return []

    log, stop = FlakyLog([b"%d" % n for n in range(300)], random.Random(1), fault=0), threading.Event()
    log.on_end = stop.set
    looped(log, Chain(), Forgetful(), options=IMPATIENT, stop=stop).run()
    assert log.at == 300


def test_the_log_is_trimmed_up_to_what_is_kept_for_sure() -> None:
    class Damaged(MemorySnapshots):
        def oldest(self) -> Point | None:
            return self.points()[0] if len(self.kept) > 2 else None

    log, snapshots, stop = FlakyLog([b"x"] * 300, random.Random(1), fault=0), Damaged(), threading.Event()
    log.on_end, trimmed = stop.set, list[Point]()
    log.trim = trimmed.append
    looped(log, Chain(), snapshots, options=IMPATIENT, stop=stop).run()
    assert trimmed == [point for point, _ in snapshots.kept[2:]]
    assert trimmed


def test_stopping_in_the_middle_of_a_replay_leaves_no_snapshot() -> None:
    log, snapshots, stop = FlakyLog([b"x"] * 300, random.Random(1), fault=0), MemorySnapshots(), threading.Event()
    log.applied(300)

    class Stopping(Chain):
        def apply(self, batch: Sequence[Entries], idle: frozenset[int] = frozenset()) -> Outcome:
            stop.set()
            return super().apply(batch, idle)

    runtime = looped(log, Stopping(), snapshots, stop=stop)
    runtime.run()
    assert 0 < runtime.counters.replayed < 300
    assert (runtime.counters.batches, snapshots.kept) == (0, [])


def test_snapshots_by_the_clock_and_a_full_disk() -> None:
    class FullDisk(MemorySnapshots):
        def save(self, point: Point, data: Data) -> None:
            raise OSError("no space left")

    seconds = iter(range(10_000))
    said: list[str] = []
    log, stop = FlakyLog([b"%d" % n for n in range(300)], random.Random(1), fault=0), threading.Event()
    log.on_end = stop.set
    options = Options(snapshot_s=3.0)
    looped(log, Chain(), FullDisk(), options=options, stop=stop, report=said.append, clock=lambda: next(seconds)).run()
    assert log.at == 300
    assert len(said) >= 3
    assert set(said) == {"no snapshot could be written: no space left"}


def test_who_has_lost_the_log_drops_no_snapshot() -> None:
    class Taken(FlakyLog):
        def hold(self) -> None:
            raise FencedError("taken")

    log, snapshots = Taken([b"1", b"2", b"3"], random.Random(1), fault=0), MemorySnapshots()
    log.applied(2)
    snapshots.save(Point(7, "of who has it now", {0: Position(EntryId(3, 0), 3)}), b"")
    with pytest.raises(FencedError):
        looped(log, Chain(), snapshots).run()
    assert len(snapshots.kept) == 1


def test_a_snapshot_of_a_lost_history_is_passed_over_and_dropped() -> None:
    log, snapshots, stop = (
        FlakyLog([b"%d" % n for n in range(90)], random.Random(1), 0),
        MemorySnapshots(),
        threading.Event(),
    )
    log.on_end = stop.set
    looped(log, Chain(), snapshots, options=IMPATIENT, stop=stop).run()
    point, data = snapshots.kept[-1]
    snapshots.save(replace(point, chain="of another branch"), data + b"!")
    want = Chain()
    want.apply(log.read({}, {0: Position(EntryId(90, 0))}, 90))
    stop.clear()
    detector = Chain()
    looped(log, detector, snapshots, options=IMPATIENT, stop=stop).run()
    assert detector.state == want.state
    assert all(point.chain != "of another branch" for point in snapshots.points())
