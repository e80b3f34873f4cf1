"""The loop: open, recover, then read, apply and commit for ever.

The detector is a deterministic state machine over a log, so its state is never stored with a commit: it is the log,
read again up to the committed offsets with the output thrown away. A snapshot only shortens that.

What is assumed: what the detector puts out is a function of the entries since the beginning, however they were cut into
batches; the entries of a stream are never changed, and none is trimmed that no kept snapshot covers. A replay of
several streams may take turns otherwise than at first. Lateness is judged within a stream and order is that of event
time, so alerts do not depend on the turns, save where a stream is declared idle: that would need a journal of its own.

A change of rules takes effect between two batches: another detector takes the state over. A snapshot follows before
the next batch, so no batch is ever replayed by rules that did not apply it, if it is kept. Where it is not (a crash
right there, or no room), recovery is by the new rules from the snapshot before: rules that did not change make what
they would have made, those that did have begun as early as that snapshot, and nothing that was sent is sent again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cep.errors import ConfigurationError
from cep.ports import BadEvent, Commit, Entries, EntryId, FencedError, LateEvent, Log, LogError, Offsets, SnapshotStore

UNKNOWN_TYPES_MAX = 100  # that are counted by name; the others are counted together
OTHER_TYPES = "…"
_START = EntryId(-1, 0)


@dataclass(slots=True)
class Outcome:
    """What some entries caused. `events` counts the ones that were applied or late.

    alerts: all of them, in order. shadow: the places among them of those of shadow rules.
    """

    events: int = 0
    alerts: list[bytes] = field(default_factory=list)
    shadow: frozenset[int] = frozenset()
    bad: list[BadEvent] = field(default_factory=list)
    late: list[LateEvent] = field(default_factory=list)
    unknown: dict[str, int] = field(default_factory=dict)

    def delivered(self) -> list[bytes]:
        """The alerts that are meant for somebody."""
        return [alert for place, alert in enumerate(self.alerts) if place not in self.shadow]

    def shadowed(self) -> list[bytes]:
        """The alerts of rules on trial."""
        return [alert for place, alert in enumerate(self.alerts) if place in self.shadow]


class Detector(Protocol):
    """The state machine. `cep.detector` has the real one."""

    def apply(self, batch: Sequence[Entries]) -> Outcome:
        """Move the state over some entries."""

    def dump(self) -> bytes:
        """The state."""

    def load(self, data: bytes | None) -> None:
        """Go back to a state that `dump` returned, or to the beginning."""

    def take_over(self, other: Any) -> None:
        """Go on where another detector of the same class stands, which is of no use afterwards."""


@dataclass(frozen=True, slots=True)
class Change:
    """A detector of changed rules; `done` is told when it has taken over."""

    detector: Detector
    done: Callable[[], None]


@dataclass(slots=True)
class Counters:
    """What has happened since the process began; what was replayed does not count again, except in `replayed`."""

    events: int = 0
    bad: int = 0
    late: int = 0
    alerts: int = 0
    shadow: int = 0
    batches: int = 0
    replayed: int = 0
    snapshots: int = 0
    changes: int = 0
    sessions: int = 0
    unknown: dict[str, int] = field(default_factory=dict)

    def count(self, outcome: Outcome) -> None:
        """Add a committed batch."""
        self.batches += 1
        self.events += outcome.events
        self.alerts += len(outcome.alerts) - len(outcome.shadow)
        self.shadow += len(outcome.shadow)
        self.late += len(outcome.late)
        self.bad += sum(bad.count for bad in outcome.bad)
        for name, number in outcome.unknown.items():
            known = name if name in self.unknown or len(self.unknown) < UNKNOWN_TYPES_MAX else OTHER_TYPES
            self.unknown[known] = self.unknown.get(known, 0) + number


@dataclass(frozen=True, slots=True)
class Options:
    """How often a snapshot is taken, whichever comes first, and how long to wait before the log is opened again."""

    snapshot_entries: int = 5_000_000
    snapshot_s: float = 30.0
    backoff_s: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0)  # the last one for ever


class HistoryError(Exception):
    """The log no longer has the entries from which the state would be rebuilt."""


class Runtime:
    """One detector over one log, for one thread; `counters` may be read by others.

    `stop` ends `run` after the batch under way. `report` is told what an operator should know. `changed` is asked
    between batches whether the rules have changed.
    """

    def __init__(
        self,
        log: Log,
        detector: Detector,
        snapshots: SnapshotStore | None = None,
        *,
        options: Options | None = None,
        stop: threading.Event | None = None,
        report: Callable[[str], None] = lambda message: None,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[], Change | None] = lambda: None,
    ) -> None:
        self._log, self._detector, self._snapshots, self._options = log, detector, snapshots, options or Options()
        self._stop, self._report, self._clock = stop or threading.Event(), report, clock
        self._changed = changed
        self._state_at: Offsets | None = None  # what the state has seen; None: it is of no use
        self._committed: Offsets = {}
        self._pending: Outcome | None = None  # of a batch whose commit has not been answered
        self._snapshot_at: Offsets = {}
        self._snapshot_time, self._entries_since = clock(), 0
        self.counters = Counters()

    def run(self) -> None:
        """Run until `stop` is set.

        Raises ConfigurationError when the log cannot be used from the first, FencedError when another process has taken
        over, HistoryError when the state cannot be rebuilt. Any other error of the log is waited out.
        """
        failures = 0
        try:
            while not self._stop.is_set():
                try:
                    self._open()
                    failures = 0
                    while not self._stop.is_set():
                        self._turn()
                        self._change_if_asked()
                        self._snapshot_if_due()
                except FencedError:
                    raise
                except (LogError, ConfigurationError) as error:
                    if isinstance(error, ConfigurationError) and not self.counters.sessions:
                        raise
                    self._report(f"the session has ended and will be opened again: {error}")
                    waits = self._options.backoff_s
                    self._stop.wait(waits[min(failures, len(waits) - 1)])
                    failures += 1
            if self._state_at == self._committed != self._snapshot_at:
                self._snapshot()
        finally:
            self._log.close()

    def _open(self) -> None:
        """Begin a session. State in memory that stands where the log does goes on as it is."""
        self._committed = self._log.open()
        self.counters.sessions += 1
        if self._state_at == self._committed:
            if self._pending is not None:  # its commit was applied, only the answer was lost
                self.counters.count(self._pending)
        else:
            self._recover()
        self._pending = None

    def _recover(self) -> None:
        """Bring the state to the committed offsets: the newest snapshot, then the log, without output."""
        self._state_at = None
        found = self._snapshots.load(self._committed) if self._snapshots else None
        at, data = found or ({}, None)
        self._detector.load(data)
        self._snapshot_at, self._entries_since, self._snapshot_time = at, 0, self._clock()
        while behind := {s: last for s, last in self._committed.items() if at.get(s, _START) < last}:
            if self._stop.is_set():
                return
            batch = self._log.read(at, behind)
            if not any(map(len, batch)):
                gaps = [f"stream {s} from {at.get(s, 'its beginning')} to {last}" for s, last in behind.items()]
                raise HistoryError(f"the log has lost what the state is rebuilt from: {', '.join(gaps)}")
            self._detector.apply(batch)
            self.counters.replayed += self._count_entries(batch)
            at = at | _ends(batch)
        self._state_at = at

    def _turn(self) -> None:
        """One batch: read, apply, commit."""
        assert self._state_at is not None, "a session begins with recovery"
        batch = self._log.read(self._state_at, None)
        if not any(map(len, batch)):
            return
        ends = _ends(batch)
        outcome = self._detector.apply(batch)
        self._state_at, self._pending = self._state_at | ends, outcome
        self._log.commit(Commit(ends, outcome.delivered(), outcome.bad, outcome.late, outcome.shadowed()))
        self._committed, self._pending = self._state_at, None
        self.counters.count(outcome)
        self._count_entries(batch)

    def _change_if_asked(self) -> None:
        """Let changed rules take over, and keep where they begin."""
        change = self._changed()
        if change is None:
            return
        change.detector.take_over(self._detector)
        self._detector = change.detector
        self.counters.changes += 1
        self._snapshot()
        change.done()

    def _count_entries(self, batch: Sequence[Entries]) -> int:
        """How many entries; they bring the next snapshot nearer."""
        count = sum(map(len, batch))
        self._entries_since += count
        return count

    def _snapshot_if_due(self) -> None:
        late = self._clock() - self._snapshot_time >= self._options.snapshot_s
        if self._committed != self._snapshot_at and (late or self._entries_since >= self._options.snapshot_entries):
            self._snapshot()

    def _snapshot(self) -> None:
        """Keep the committed state. Without room for it the loop goes on: a snapshot only saves time."""
        if self._snapshots is None:
            return
        try:
            self._snapshots.save(self._committed, self._detector.dump())
            self.counters.snapshots += 1
        except OSError as error:
            self._report(f"no snapshot could be written: {error}")
        self._snapshot_at, self._entries_since, self._snapshot_time = self._committed, 0, self._clock()


def _ends(batch: Sequence[Entries]) -> Offsets:
    """The last entry of every stream in a batch."""
    return {entries.stream: entries.id(-1) for entries in batch if len(entries)}
