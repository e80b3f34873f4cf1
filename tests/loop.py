"""The loop over a log in memory that fails now and then, with a state machine that shows every mistake."""

from __future__ import annotations

import hashlib
import random
import threading
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import nullcontext
from typing import Any

from cep.delivery.history import following
from cep.delivery.outcome import Outcome
from cep.delivery.runtime import Options, Runtime
from cep.ports import (
    BadEvent,
    Commit,
    Data,
    Entries,
    EntryId,
    Frozen,
    LateEvent,
    LogError,
    Offsets,
    Point,
    Position,
    Standing,
    Turn,
)

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

    def freeze(self) -> Frozen:
        return nullcontext(self.state)

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

    def end(self) -> threading.Event:
        """Is set once all has been read."""
        stop = threading.Event()
        self.on_end = stop.set
        return stop

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

    def save(self, point: Point, data: Data) -> None:
        self.kept.append((point, bytes(data)))

    def points(self) -> Sequence[Point]:
        return [point for point, _ in reversed(self.kept)]

    def oldest(self) -> Point | None:
        return next(reversed(self.points()), None)

    def load(self, point: Point) -> bytes | None:
        return next((data for kept, data in reversed(self.kept) if kept == point), None)

    def discard(self, point: Point) -> None:
        self.kept = [(kept, data) for kept, data in self.kept if kept != point]


class Beside(Executor):
    """Does what it is given at once, or only when it is asked so many times whether it is done."""

    def __init__(self, times: int = 0) -> None:
        self._times = times

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        return _Work(lambda: work(*arguments, **options), self._times)


class _Work(Future[Any]):
    def __init__(self, work: Callable[[], Any], times: int) -> None:
        super().__init__()
        self._work, self._left = work, times
        if not times:
            self._do()

    def _do(self) -> None:
        if not super().done():
            try:
                self.set_result(self._work())
            except Exception as error:  # noqa: BLE001  # whoever asks for the result has it
                self.set_exception(error)

    def done(self) -> bool:
        self._left -= 1
        if self._left <= 0:
            self._do()
        return super().done()

    def result(self, timeout: float | None = None) -> Any:
        self._do()
        return super().result(timeout)


def looped(
    log: FlakyLog, detector: Chain, kept: MemorySnapshots | None = None, times: int = 0, **options: Any
) -> Runtime:
    """A runtime whose snapshots are kept at once, or when it has asked so many times."""
    return Runtime(log, detector, kept, beside=Beside(times), **options)
