"""Snapshots beside the loop: the state is copied between two turns, and kept by somebody else while turns go on.

One at a time. Up to where the log may be trimmed is told to the loop once that is known, and in the same session only:
whoever opens the log anew waits first, so that nothing of a history that was lost is taken for its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor, Future

from cep.delivery.outcome import Counters
from cep.ports import Frozen, Point, SnapshotStore

LONG_S = 60.0  # after which an operator is told that a snapshot is still under way


class Keeper:
    """Keeps the snapshots of one log, or none. beside: does what takes long, and is this keeper's own.

    every_entries, every_s: how often one is due, whichever comes first; the time runs from the end of the one before.
    """

    def __init__(
        self,
        store: SnapshotStore | None,
        beside: Executor,
        every_entries: int,
        every_s: float,
        *,
        clock: Callable[[], float],
        report: Callable[[str], None],
        counters: Counters,
    ) -> None:
        self._store, self._beside, self._clock, self._report = store, beside, clock, report
        self._counters = counters
        self._every_entries, self._every_s = every_entries, every_s
        self._underway: Future[Point | None] | None = None
        self._began = 0.0
        self.restart(0)

    def restart(self, entries: int) -> None:
        """The state was brought to where the log stands, so many entries behind a snapshot."""
        self._time, self._entries = self._clock(), entries

    def moved(self, entries: int) -> None:
        """The state has moved on."""
        self._entries += entries

    @property
    def is_behind(self) -> bool:
        """Whether the state has moved since the last snapshot was begun, or restored."""
        return self._store is not None and self._entries > 0

    def is_due(self) -> bool:
        """Whether it is time for one, and none is under way."""
        is_late = self._clock() - self._time >= self._every_s
        return self._underway is None and self.is_behind and (is_late or self._entries >= self._every_entries)

    def begin(self, point: Point, state: Frozen) -> None:
        """Keep the state that stands at a point. The one before must have been waited for."""
        assert self._store is not None, "who keeps none begins none"
        assert self._underway is None, "one snapshot at a time"
        self._began, self._entries = self._clock(), 0
        self._underway = self._beside.submit(_keep, self._store, point, state)

    def kept(self) -> Point | None:
        """As `wait`, if it need not be waited for."""
        if self._underway is None:
            return None
        if self._underway.done():
            return self.wait()
        if self._clock() - self._began > LONG_S:
            self._report(f"a snapshot has been under way for {LONG_S:.0f} s, and there is none after it until it ends")
            self._began = math.inf  # said once
        return None

    def wait(self) -> Point | None:
        """Once a snapshot is kept, and only then: the oldest point to which anybody will go back, if there is one.

        Without room for it the loop goes on: a snapshot only saves time.
        """
        if self._underway is None:
            return None
        underway, self._underway = self._underway, None
        try:
            oldest = underway.result()
        except OSError as error:
            self._report(f"no snapshot could be written: {error}")
            return None
        finally:
            self._time = self._clock()
            del underway  # with the error, which holds this frame, it would be a cycle
        self._counters.snapshots += 1
        return oldest

    def end(self) -> None:
        """Wait for the one under way; there will be no more."""
        try:
            self.wait()
        finally:
            self._beside.shutdown(wait=False)


def _keep(store: SnapshotStore, point: Point, state: Frozen) -> Point | None:
    with state as data:
        store.save(point, data)
    return store.oldest()
