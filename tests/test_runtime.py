"""However often the loop is interrupted, the log ends up with what an uninterrupted one would have put there."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from cep.adapters.redis.reader import COUNT_MAX
from cep.delivery.outcome import OTHER_TYPES, UNKNOWN_TYPES_MAX, Counters, Outcome
from cep.delivery.recovery import HistoryError
from cep.delivery.runtime import Change, Options
from cep.errors import ConfigurationError
from cep.ports import Commit, Entries, EntryId, FencedError, LogError, Offsets, Point, Position, Standing
from tests.loop import IMPATIENT, Chain, FlakyLog, MemorySnapshots, expected, looped


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
        runtime = looped(
            log,
            Chain(),
            snapshots if seed % 2 else None,
            seed % 6,
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


def test_history_that_is_gone_stops_the_loop() -> None:
    log = FlakyLog([b"1", b"2", b"3"], random.Random(1), fault=0)
    log.applied(3)
    log.trimmed = 1
    with pytest.raises(HistoryError, match="stream 0 from its beginning to 3-0"):
        looped(log, Chain()).run()


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
        looped(log, Chain(), options=Options(goes_on=goes_on)).run()


def test_entries_that_are_others_than_were_applied_stop_the_loop() -> None:
    log = FlakyLog([b"1", b"2", b"3"], random.Random(1), fault=0)
    log.applied(3)
    log.events[1] = b"changed"
    with pytest.raises(HistoryError, match="other entries up to 3-0"):
        looped(log, Chain()).run()


@pytest.mark.parametrize("goes_on", [False, True])
def test_lost_entries_stop_the_loop_or_are_counted(goes_on: bool) -> None:
    said: list[str] = []
    log, stop = FlakyLog([b"%d" % n for n in range(50)], random.Random(1), fault=0), threading.Event()
    log.applied(10)
    log.gaps = {0: (7, log.history[-1].point.offsets[0]._replace(ordinal=17))}
    log.on_end = stop.set
    runtime = looped(log, Chain(), options=Options(goes_on=goes_on), stop=stop, report=said.append)
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
    runtime = looped(log, Chain(), options=Options(goes_on=True, backoff_s=(0,)), stop=stop)
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
    runtime = looped(log, Chain(), snapshots, options=replace(IMPATIENT, goes_on=True), stop=stop)
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
            looped(log, Mortal(), snapshots if place % 2 else None, options=IMPATIENT, stop=stop).run()
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
    runtime = looped(log, Chain(), options=Options(goes_on=goes_on), stop=stop, report=said.append)
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
            looped(log, Mortal(), MemorySnapshots(), options=Options(snapshot_entries=10**9), stop=stop).run()
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
            looped(log, Killed(), MemorySnapshots(), options=Options(snapshot_entries=10**9), stop=stop).run()
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
    looped(log, Chain(), stop=stop, watched=watched).run()
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
    looped(log, first, options=options, stop=stop, clock=lambda: next(now)).run()
    ticks = [turn.until_us for turn in log.history if turn.until_us is not None]
    assert len(ticks) > 10
    assert ticks[:3] == sorted(set(ticks[:3]))
    assert ticks[0] >= 5_000_000
    assert all(turn.point.idle == {0} for turn in log.history if turn.until_us is not None)
    log.rng = random.Random(2)
    second, stop2 = Chain(), threading.Event()
    log.on_end = stop2.set
    looped(log, second, options=options, stop=stop2, clock=lambda: 0.0).run()
    assert second.state == first.state


@pytest.mark.parametrize("error", [FencedError("taken"), ConfigurationError("no AOF")])
def test_errors_that_waiting_does_not_mend(error: Exception) -> None:
    class Refusing(FlakyLog):
        def open(self) -> Standing:
            raise error

    with pytest.raises(type(error)):
        looped(Refusing([], random.Random(1), fault=0), Chain()).run()


def test_unknown_types_are_counted_within_bounds() -> None:
    counters = Counters()
    for n in range(UNKNOWN_TYPES_MAX + 50):
        counters.count(Outcome(unknown={f"type {n}": 2}))
    counters.count(Outcome(unknown={"type 0": 1}))
    assert len(counters.unknown) == UNKNOWN_TYPES_MAX + 1
    assert (counters.unknown["type 0"], counters.unknown[OTHER_TYPES]) == (3, 100)
