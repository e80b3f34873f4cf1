"""Snapshots shorten a replay, stop nothing, and are trusted only where they are of the log's own history."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import pytest

from cep.delivery.outcome import Outcome
from cep.delivery.runtime import Change, Options, Runtime
from cep.ports import Commit, Data, Entries, EntryId, FencedError, LogError, Point, Position
from tests.loop import IMPATIENT, Chain, FlakyLog, MemorySnapshots, expected, looped


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


def test_the_loop_goes_on_while_a_snapshot_is_kept() -> None:
    log, snapshots = FlakyLog([b"%d" % n for n in range(900)], random.Random(1), 0), MemorySnapshots()
    stop, trimmed = log.end(), list[tuple[Point, int]]()
    log.trim = lambda oldest: trimmed.append((oldest, log.history[-1].point.seq))
    runtime = looped(log, Chain(), snapshots, times=5, options=IMPATIENT, stop=stop)
    runtime.run()
    assert runtime.counters.snapshots == len(snapshots.kept) == len(trimmed) > 4
    behind = [now - point.seq for (_, now), (point, _) in zip(trimmed, snapshots.kept, strict=True)]
    assert set(behind[:-1]) == {4}, "turns between its beginning and its end"
    assert snapshots.kept[-1][0] == log.history[-1].point
    for point, data in snapshots.kept:
        want = Chain()
        want.apply(log.read({}, point.offsets, 900))
        assert data == want.state, "the state of its point, whatever came after"


def test_changed_rules_wait_for_the_snapshot_under_way_and_for_their_own() -> None:
    log, snapshots = FlakyLog([b"%d" % n for n in range(200)], random.Random(1), 0), MemorySnapshots()
    stop, kept = log.end(), list[int]()
    seqs = iter((3, 9))
    due = next(seqs)

    def changed() -> Change | None:
        nonlocal due
        if runtime.counters.batches != due:
            return None
        due = next(seqs, -1)
        return Change(Chain(), lambda: kept.append(snapshots.kept[-1][0].seq))

    options = Options(snapshot_entries=1, snapshot_s=1e9)
    runtime = looped(log, Chain(), snapshots, times=4, options=options, stop=stop, changed=changed)
    runtime.run()
    assert kept == [3, 9]
    assert log.done.alerts == expected(log.events).delivered()


def test_changed_rules_are_kept_though_the_session_breaks_meanwhile() -> None:
    class Breaking(FlakyLog):
        holds = 0

        def hold(self) -> None:
            self.holds += 1
            if self.holds == 1:
                raise LogError("cut")

    log, snapshots = Breaking([b"%d" % n for n in range(200)], random.Random(1), 0), MemorySnapshots()
    stop, told = log.end(), list[int]()

    def changed() -> Change | None:
        return Change(Chain(), lambda: told.append(1)) if runtime.counters.batches == 3 and not told else None

    options = Options(snapshot_entries=10**9, snapshot_s=1e9, backoff_s=(0,))
    runtime = looped(log, Chain(), snapshots, times=10**6, options=options, stop=stop, changed=changed)
    runtime.run()
    assert (snapshots.kept[0][0].seq, runtime.counters.sessions) == (3, 2)


def test_what_an_earlier_session_kept_trims_nothing() -> None:
    class Cut(FlakyLog):
        def commit(self, before: Point, commit: Commit, after: Point) -> None:
            super().commit(before, commit, after)
            if after.seq == 5:
                raise LogError("cut")

    log, snapshots = Cut([b"%d" % n for n in range(300)], random.Random(1), 0), MemorySnapshots()
    stop, trimmed = log.end(), list[Point]()
    log.trim = trimmed.append
    options = Options(snapshot_entries=1, snapshot_s=1e9, backoff_s=(0,))
    looped(log, Chain(), snapshots, times=10**6, options=options, stop=stop).run()
    assert snapshots.kept[0][0].seq == 1, "it is kept, as the session ends"
    assert trimmed == [snapshots.oldest()] != [], "by the last snapshot alone"


def test_who_ends_by_an_error_waits_for_the_snapshot_under_way_all_the_same() -> None:
    class Taken(FlakyLog):
        def commit(self, before: Point, commit: Commit, after: Point) -> None:
            if after.seq == 5:
                raise FencedError("taken")
            super().commit(before, commit, after)

    snapshots, options = MemorySnapshots(), Options(snapshot_entries=1, snapshot_s=1e9)
    runtime = looped(Taken([b"x"] * 300, random.Random(1), 0), Chain(), snapshots, times=10**6, options=options)
    with pytest.raises(FencedError):
        runtime.run()
    assert runtime.counters.snapshots == len(snapshots.kept) == 1


def test_an_error_of_our_own_in_a_snapshot_stops_the_loop() -> None:
    class Wrong(MemorySnapshots):
        def save(self, point: Point, data: Data) -> None:
            raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        looped(FlakyLog([b"x"] * 300, random.Random(1), 0), Chain(), Wrong(), options=IMPATIENT).run()


def test_a_snapshot_that_does_not_end_is_told_of_once() -> None:
    log, stop, said, seconds = FlakyLog([b"x"] * 900, random.Random(1), 0), threading.Event(), list[str](), count(0, 5)
    log.on_end = stop.set
    looped(
        log,
        Chain(),
        MemorySnapshots(),
        times=10**6,
        options=IMPATIENT,
        stop=stop,
        report=said.append,
        clock=lambda: next(seconds),
    ).run()
    assert said == ["a snapshot has been under way for 60 s, and there is none after it until it ends"]


def test_threads_end_with_their_runtime() -> None:
    before = threading.active_count()
    for _ in range(3):
        stop = threading.Event()
        log = FlakyLog([b"x"] * 100, random.Random(1), 0)
        log.on_end = stop.set
        Runtime(log, Chain(), MemorySnapshots(), options=IMPATIENT, stop=stop).run()
        for thread in threading.enumerate():
            if thread.name.startswith("snapshots"):
                thread.join(10)
    assert threading.active_count() == before


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
    log, snapshots = FlakyLog([b"%d" % n for n in range(90)], random.Random(1), 0), MemorySnapshots()
    stop = log.end()
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
