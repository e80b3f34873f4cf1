"""The loop: open, recover, then read, apply and commit for ever.

The detector is a deterministic state machine over a log, so its state is never stored with a commit: it is the log,
read again up to the committed position with the output thrown away. A snapshot only shortens that.

What is assumed: what the detector puts out is a function of the entries since the beginning, however they were cut into
batches, and of what the log's own journal says besides: which streams were idle, and to where time moved on without
events. A log that has lost entries before they were applied is found out, with their number.

A change of rules takes effect between two batches: another detector takes the state over. A snapshot follows before
the next batch, so no batch is ever replayed by rules that did not apply it, if it is kept. Where it is not (a crash
right there, or no room), recovery is by the new rules from the snapshot before: rules that did not change make what
they would have made, those that did have begun as early as that snapshot, and nothing that was sent is sent again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from cep.delivery.caution import Caution
from cep.delivery.history import following, missing
from cep.delivery.keeper import Keeper
from cep.delivery.outcome import Counters, Outcome
from cep.delivery.recovery import HistoryError, Recovery, StoppedError, moved
from cep.delivery.silence import Silence
from cep.errors import ConfigurationError
from cep.ports import (
    Commit,
    Entries,
    FencedError,
    Frozen,
    Log,
    LogError,
    OwnedError,
    Point,
    SnapshotStore,
    Standing,
)


class Detector(Protocol):
    """The state machine. `cep.detector` has the real one."""

    def prepare(self, entries: Entries) -> None:
        """Do what can be done with entries that are to be applied, without the state, in any thread."""

    def apply(self, batch: Sequence[Entries], idle: frozenset[int] = frozenset()) -> Outcome:
        """Move the state over some entries. `idle`: streams that hold nothing back."""

    def advance(self, idle: frozenset[int], until_us: int | None) -> Outcome:
        """Move the state on without entries: for streams that have become idle, and to a time if one is given."""

    def time_after(self, silent_us: int) -> int | None:
        """What time it is when nothing has come for so long; None where nothing ever has."""

    def put_aside(self, batch: Sequence[Entries], reason: str) -> Outcome:
        """What to say of entries that cannot be applied."""

    def freeze(self) -> Frozen:
        """The state as it is now."""

    def load(self, data: bytes | None) -> None:
        """Go back to a state whose bytes `freeze` made, or to the beginning."""

    def take_over(self, other: Any) -> None:
        """Go on where another detector of the same class stands, which is of no use afterwards."""


@dataclass(frozen=True, slots=True)
class Change:
    """A detector of changed rules; `done` is told when it has taken over."""

    detector: Detector
    done: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How the loop behaves.

    snapshot_entries, snapshot_s: how often a snapshot is taken, whichever comes first. backoff_s: how long to wait
    before the log is opened again, the last one for ever. streams: their names. idle_s: for the streams that may be
    idle, after how long. goes_on: whether to go on when the log has lost entries, not to stop with their number.
    """

    snapshot_entries: int = 5_000_000
    snapshot_s: float = 30.0
    backoff_s: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0)
    streams: Sequence[str] = ("0",)
    idle_s: Mapping[int, float] = field(default_factory=dict)
    goes_on: bool = False


class Runtime:
    """One detector over one log, for one thread; `counters` may be read by others.

    `stop` ends `run` after the turn under way. `report` is told what an operator should know. `changed` is asked
    between turns whether the rules have changed. Entries are applied inside `watched`, which may end the process.
    `beside` keeps snapshots meanwhile; a thread of its own unless it is given.
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
        watched: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
        beside: Executor | None = None,
    ) -> None:
        self._log, self._detector, self._snapshots, self._options = log, detector, snapshots, options or Options()
        self._stop, self._report, self._clock = stop or threading.Event(), report, clock
        self._changed, self._watched = changed, watched
        self._point: Point | None = None  # where the state stands; None: it is of no use
        self._pending: _Pending | None = None
        self._silence = Silence(len(self._options.streams), self._options.idle_s)
        self._caution = Caution()
        self.counters = Counters()
        often = self._options.snapshot_entries, self._options.snapshot_s
        beside = beside or ThreadPoolExecutor(1, "snapshots")
        self._keeper = Keeper(snapshots, beside, *often, clock=clock, report=report, counters=self.counters)
        self._failures, self._said = 0, ""  # since the last session

    def run(self) -> None:
        """Run until `stop` is set.

        Raises ConfigurationError when the log cannot be used from the first, FencedError when another process has taken
        over, HistoryError when the state cannot be rebuilt or entries are lost. Any other error is waited out.
        """
        try:
            while not self._stop.is_set():
                try:
                    self._session()
                except (FencedError, HistoryError):
                    raise
                except StoppedError:
                    return
                except (LogError, ConfigurationError) as error:
                    if isinstance(error, ConfigurationError) and not self.counters.sessions:
                        raise
                    self._wait(error)
            self._end()
        finally:
            try:
                self._log.close()
            finally:
                self._keeper.end()

    def _session(self) -> None:
        """Open the log, and go on until it breaks or `stop` is set."""
        self._open()
        self._failures, self._said = 0, ""
        while not self._stop.is_set():
            self._turn()
            self._change_if_asked()
            self._snapshot_if_due()

    def _wait(self, error: Exception) -> None:
        """Before the next session; the same error again and again is told once."""
        if str(error) != self._said:
            what = "not free yet" if isinstance(error, OwnedError) else "lost and will be opened again"
            self._report(f"the log is {what}: {error}")
        waits = self._options.backoff_s
        self._stop.wait(waits[min(self._failures, len(waits) - 1)])
        self._failures, self._said = self._failures + 1, str(error)

    def _end(self) -> None:
        """Leave nothing for the next process to do again."""
        if self._pending is None and self._point is not None:
            with contextlib.suppress(LogError):  # then the next process counts one failure too many
                oldest = self._keeper.wait()
                if self._keeper.is_behind:
                    self._snapshot()
                else:
                    self._trim(oldest)
                self._log.settle()

    # ------------------------------------------------------------------------------------ sessions

    def _open(self) -> None:
        """Begin a session. State in memory that stands where the log does goes on as it is."""
        self._keeper.wait()  # for a snapshot under way, and let nobody go by what it says
        standing = self._log.open()
        self.counters.sessions += 1
        self._silence.begin()
        if self.counters.sessions == 1:
            self._caution.begin(standing)
        self._stop_if_lost(standing)
        pending, self._pending = self._pending, None
        if pending is not None and pending.commit.gaps and pending.after.chain != standing.point.chain:
            self._point, pending = pending.before, None  # it is counted anew: a failover may have undone it
        if self._point is not None and self._point.chain == standing.point.chain:
            if pending is not None:  # its commit was applied, only the answer was lost
                self._count(pending)
        elif pending is not None and not standing.gaps and self._is_next(pending, standing.point):
            self._commit(pending)
        else:
            self._recover(standing.point)
        if standing.gaps:
            self._lose(standing)

    def _is_next(self, pending: _Pending, point: Point) -> bool:
        """Whether a commit that was lost on the way follows, and the log still has what its batch was made of."""
        if pending.before.chain != point.chain:
            return False
        at = pending.before.offsets
        while behind := missing(at, pending.after.offsets):
            batch = self._log.read(at, behind)
            if not any(map(len, batch)):
                return False
            at = moved(at, batch)
        return all(at[stream].digest == position.digest for stream, position in pending.after.offsets.items())

    def _recover(self, target: Point) -> None:
        """Bring the state to where the log stands."""
        self._point = None
        recovery = Recovery(self._log, self._detector, self._snapshots, self._stop.is_set)
        try:
            recovery.to(target)
        except HistoryError as error:
            self._log.hold()  # who has lost the log without knowing it misses what its successor has trimmed
            if not self._options.goes_on:
                raise
            recovery.to_nearest(target)
            self._report(f"{error}; what lies between is missing in the state from now on")
        finally:
            self.counters.replayed += recovery.replayed
        self._point = target
        self._keeper.restart(recovery.replayed)

    def _stop_if_lost(self, standing: Standing) -> None:
        """Entries are gone that were never applied. Their number is told first, whether or not the state can be had."""
        if standing.gaps:
            self._log.hold()  # they were counted after the log was taken over, and it may have been lost meanwhile
        for stream, (lost, at) in standing.gaps.items():
            what = f"stream {self._options.streams[stream]} has lost {'an unknown number of' if lost is None else lost}"
            behind = f"{what} entries behind {at.entry} that were not applied"
            if not self._options.goes_on:
                raise HistoryError(behind)
            self._report(behind)

    def _lose(self, standing: Standing) -> None:
        """Write down what is lost, and go on behind it."""
        assert self._point is not None, "a session begins with recovery"
        numbers = {stream: lost for stream, (lost, _) in standing.gaps.items()}
        commit = Commit({stream: at for stream, (_, at) in standing.gaps.items()}, gaps=numbers)
        self._commit(_Pending(self._point, commit, following(self._point, commit), Outcome()))
        self._snapshot()

    # --------------------------------------------------------------------------------------- turns

    def _turn(self) -> None:
        """Read, apply, commit; or let time move on where nothing comes."""
        assert self._point is not None, "a session begins with recovery"
        batch = self._log.read(self._point.offsets, None, self._caution.limit, self._prepare)
        batch = [entries for entries in self._caution.first(batch) if len(entries)]
        self._silence.heard({entries.stream for entries in batch}, self._clock())
        idle = self._silence.idle(self._point.idle)
        if batch:
            self._apply(batch, idle)
        elif idle:
            self._advance(idle)

    def _prepare(self, entries: Entries) -> None:
        with self._watched():
            self._detector.prepare(entries)

    def _apply(self, batch: Sequence[Entries], idle: frozenset[int]) -> None:
        assert self._point is not None, "a session begins with recovery"
        offsets = moved(self._point.offsets, batch)
        offsets = {entries.stream: offsets[entries.stream] for entries in batch}
        is_aside = self._caution.is_suspect(batch)
        if is_aside:
            outcome = self._detector.put_aside(batch, "poison")
            self.counters.put_aside += 1
        else:
            self._caution.before(batch, self._log)
            with self._watched():
                outcome = self._detector.apply(batch, idle)
        self._seal(outcome, Commit(offsets, idle=idle, is_aside=is_aside))
        if self._caution.after(batch):
            self._log.settle()
        self._keeper.moved(sum(map(len, batch)))

    def _advance(self, idle: frozenset[int]) -> None:
        """Let time move on: once for streams that have become idle, and again and again when all are."""
        assert self._point is not None, "a session begins with recovery"
        until_us = None
        if len(idle) == len(self._options.streams) and self._silence.is_time():
            until_us = self._detector.time_after(int(self._silence.of_all() * 1e6))
        if until_us is not None or idle != self._point.idle:
            self._seal(self._detector.advance(idle, until_us), Commit({}, idle=idle, until_us=until_us))
            self._keeper.moved(1)

    def _seal(self, outcome: Outcome, commit: Commit) -> None:
        """Commit what a turn has caused."""
        assert self._point is not None, "a session begins with recovery"
        commit.alerts, commit.shadow = outcome.delivered(), outcome.shadowed()
        commit.dead, commit.late = outcome.bad, outcome.late
        self._commit(_Pending(self._point, commit, following(self._point, commit), outcome))

    def _commit(self, pending: _Pending) -> None:
        """Until it is answered nobody knows whether it was applied; the state is beyond it already."""
        self._pending, self._point = pending, pending.after
        self._log.commit(pending.before, pending.commit, pending.after)
        self._pending = None
        self._count(pending)

    def _count(self, pending: _Pending) -> None:
        """What a commit has caused, once it is known to have been applied."""
        self.counters.count(pending.outcome)
        self.counters.lost += sum(lost or 0 for lost in pending.commit.gaps.values())

    # ------------------------------------------------------------------------- rules and snapshots

    def _change_if_asked(self) -> None:
        """Let changed rules take over, and keep where they begin."""
        change = self._changed()
        if change is None:
            return
        change.detector.take_over(self._detector)
        self._detector = change.detector
        self.counters.changes += 1
        try:
            self._snapshot()
        finally:
            change.done()

    def _snapshot_if_due(self) -> None:
        if self._keeper.is_due():
            self._begin_snapshot()
        self._trim(self._keeper.kept())

    def _snapshot(self) -> None:
        """Keep the committed state before anything else is done."""
        self._keeper.wait()
        self._begin_snapshot()
        self._log.hold()  # meanwhile, for it may take long
        self._trim(self._keeper.wait())

    def _begin_snapshot(self) -> None:
        if self._snapshots is not None and self._point is not None and self._point.seq:
            self._keeper.begin(self._point, self._detector.freeze())

    def _trim(self, oldest: Point | None) -> None:
        """Forget what no snapshot needs."""
        if oldest is not None:
            self._log.trim(oldest)


@dataclass(frozen=True, slots=True)
class _Pending:
    """A commit that has not been answered."""

    before: Point
    commit: Commit
    after: Point
    outcome: Outcome
