"""Bringing a detector's state to a point of its log's history: the newest snapshot on it, then the log, without output.

What the entries alone decide is applied again however it comes, in batches of any size. A turn in which a stream was
idle, time moved on without events or an entry was put aside is repeated as it was. In the end the digest of all entries
applied must be that of the first time; where it is not, the snapshot or the log belongs to another history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from cep.delivery.history import is_behind, missing
from cep.ports import Entries, Log, Offsets, Point, Position, SnapshotStore, Turn


class HistoryError(Exception):
    """The log no longer has what the state would be rebuilt from, or lacks entries that were never applied."""


class StoppedError(Exception):
    """The recovery was interrupted; the state is of no use."""


class State(Protocol):
    """The part of a detector that recovery needs."""

    def apply(self, batch: Sequence[Entries], idle: frozenset[int] = frozenset()) -> object:
        """Move the state over some entries."""

    def advance(self, idle: frozenset[int], until_us: int | None) -> object:
        """Move the state on without entries."""

    def load(self, data: bytes | None) -> None:
        """Go back to a snapshot, or to the beginning."""


class Recovery:
    """One recovery. `is_stopped` is asked between batches; `replayed` counts entries."""

    def __init__(
        self,
        log: Log,
        state: State,
        snapshots: SnapshotStore | None,
        is_stopped: Callable[[], bool],
    ) -> None:
        self._log, self._state, self._snapshots, self._is_stopped = log, state, snapshots, is_stopped
        self._at: Offsets = {}
        self.replayed = 0

    def to(self, target: Point) -> None:
        """Bring the state to a point. Raises HistoryError and StoppedError."""
        failure = HistoryError("the log does not reach back to its beginning, and no snapshot is of use")
        for start, turns in self._starts(target):
            try:
                self._replay(start, turns, target)
                return
            except HistoryError as error:
                failure = error
        raise failure

    def to_nearest(self, target: Point) -> None:
        """Where the log has lost what leads to the point, stay at the newest snapshot, or at the beginning."""
        for _ in self._starts(target):
            return

    def _starts(self, target: Point) -> Iterator[tuple[Point, Sequence[Turn]]]:
        """The points from which the target can be reached, nearest first; the state stands there when it is given."""
        for point in self._snapshots.points() if self._snapshots else ():
            turns = self._log.turns(point, target) if is_behind(point.offsets, target.offsets) else None
            data = self._snapshots.load(point) if self._snapshots and turns is not None else None
            if turns is not None and data is not None:
                self._state.load(data)
                yield point, turns
            elif turns is None and self._snapshots:
                self._log.hold()  # or it may be of a history that goes on without us
                self._snapshots.discard(point)  # of one that has been lost
        self._state.load(None)
        turns = self._log.turns(Point(), target)
        if turns is not None:
            yield Point(), turns

    def _replay(self, start: Point, turns: Sequence[Turn], target: Point) -> None:
        self._at, plain, was_idle = dict(start.offsets), start.offsets, bool(start.idle)
        for turn in turns:
            if not turn.is_plain or was_idle:
                self._apply_upto(plain)
                self._repeat(turn)
            plain, was_idle = turn.point.offsets, bool(turn.point.idle)
        self._apply_upto(target.offsets)
        for stream, at in target.offsets.items():
            if self._at.get(stream, Position()).digest != at.digest:
                raise HistoryError(f"stream {stream} has other entries up to {at.entry} than were applied")

    def _apply_upto(self, upto: Offsets) -> None:
        for batch in self._batches(upto):
            self._state.apply(batch)

    def _repeat(self, turn: Turn) -> None:
        """One turn as it was."""
        upto = turn.point.offsets
        if turn.gaps:
            self._at |= {stream: upto[stream] for stream in turn.gaps}
            return
        batch = [entries for part in self._batches(upto) for entries in part]
        if batch and not turn.is_aside:
            self._state.apply(batch, turn.point.idle)
        elif not batch:
            self._state.advance(turn.point.idle, turn.until_us)

    def _batches(self, upto: Offsets) -> Iterator[Sequence[Entries]]:
        """The entries up to some offsets."""
        while behind := missing(self._at, upto):
            if self._is_stopped():
                raise StoppedError
            batch = self._log.read(self._at, behind)
            if not any(map(len, batch)):
                gaps = [f"stream {s} from {self._entry(s)} to {last.entry}" for s, last in behind.items()]
                raise HistoryError(f"the log has lost what the state is rebuilt from: {', '.join(gaps)}")
            self._at = moved(self._at, batch)
            self.replayed += sum(map(len, batch))
            yield batch

    def _entry(self, stream: int) -> str:
        return str(self._at[stream].entry) if stream in self._at else "its beginning"


def moved(offsets: Offsets, batch: Sequence[Entries]) -> Offsets:
    """Where streams stand behind a batch."""
    found = dict(offsets)
    for entries in batch:
        if len(entries):
            ordinal = found.get(entries.stream, Position()).ordinal + len(entries)
            found[entries.stream] = Position(entries.id(-1), ordinal, entries.digest)
    return found
