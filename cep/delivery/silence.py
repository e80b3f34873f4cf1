"""Streams that bring nothing: since when, and for how long.

Only reads that succeeded count. Time spent without a connection says nothing about a stream, and a reader that is
behind is always answered at once, so it never takes a stream for silent that has entries waiting.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

TICK_S = 1.0  # how often time moves on while all streams are silent


class Silence:
    """Of one session. idle_s: for the streams that may be idle, how long they are silent before they are."""

    def __init__(self, streams: int, idle_s: Mapping[int, float]) -> None:
        self._streams, self._idle_s = streams, idle_s
        self._since: dict[int, float] = {}
        self._now = self._ticked = 0.0

    def begin(self) -> None:
        """A new session: nothing is known of any stream."""
        self._since.clear()

    def heard(self, brought: Collection[int], now: float) -> None:
        """A read has ended; `brought` are the streams that had entries."""
        self._now = now
        for stream in range(self._streams):
            if stream in brought:
                self._since.pop(stream, None)
            else:
                self._since.setdefault(stream, now)

    def idle(self, before: frozenset[int]) -> frozenset[int]:
        """The streams that hold nothing back. `before`: those that did not before and have brought nothing since."""
        silent = self._since.keys()
        long = {s for s, idle_s in self._idle_s.items() if s in silent and self._now - self._since[s] >= idle_s}
        return frozenset(long | {s for s in before if s in silent and s in self._idle_s})

    def of_all(self) -> float:
        """How many seconds all streams have been silent."""
        return self._now - max(self._since.values()) if len(self._since) == self._streams else 0.0

    def is_time(self) -> bool:
        """Whether time should move on again; asked when all streams are idle."""
        if self._now - self._ticked < TICK_S:
            return False
        self._ticked = self._now
        return True
