"""The capture store: the columns and entry ids of events that some run, episode or match refers to.

An event is known by its ordinal, its place in the order of all released events, which never changes; rows stand in
order of ordinal, so a reference is found by binary search and forgetting rows moves no reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cep.engine.batch import Batch, blank, copy_rows
from cep.engine.plans import Referring
from cep.kernels.compaction import keep_rows, mark

Ints = npt.NDArray[np.int64]

COMPACT_AT = 65_536  # rows; below that, forgetting is not worth the sweep
LARGE = 2**22  # rows, from which on they are not made so much longer


class Captures:
    """Captured events, in buffers with room for more. compact_at: the number of rows at which to forget."""

    def __init__(self, columns: int) -> None:
        """`columns`: the stored columns of a program."""
        self._columns = columns
        self._ordinal = np.empty(0, np.int64)
        self._events = blank(columns, 0)
        self._length = 0
        self.compact_at = COMPACT_AT

    def __len__(self) -> int:
        return self._length

    @property
    def ordinal(self) -> Ints:
        """The ordinals, ascending, shape (n,)."""
        return self._ordinal[: self._length]

    @property
    def events(self) -> Batch:
        """The events as views, words (columns, n)."""
        return self._events.take(slice(0, self._length))

    def rows(self, ordinals: Ints) -> npt.NDArray[np.intp]:
        """Where the events stand. Every ordinal asked for is there, or the engine has a bug."""
        found = np.searchsorted(self.ordinal, ordinals)
        assert len(ordinals) == 0 or (found.max() < self._length and bool((self.ordinal[found] == ordinals).all())), (
            "a captured event is gone"
        )
        return found

    def extend(self, ordinals: Ints) -> int:
        """Make room for events that come after all remembered so far, to be filled; where the first of them stands."""
        first, length = self._length, self._length + len(ordinals)
        if length > len(self._ordinal):
            longer = min(4 * length, max(2 * length, LARGE))  # a page that nothing is written to costs nothing
            self._resize(max(longer, COMPACT_AT))
        self._ordinal[first:length] = ordinals
        self._length = length
        return first

    def fill(self, first: int, columns: Sequence[npt.NDArray[Any]], rows: npt.NDArray[np.intp]) -> None:
        """Write some rows of the columns of a batch where there is room for them."""
        for source, target in zip(columns, self._events.columns(), strict=True):
            out = target[first : first + len(rows)]
            source.take(rows, out=out, mode="clip")  # which, unlike raise, copies once

    def forget(self, live: Iterable[Referring]) -> None:
        """Keep only the events that are referred to."""
        if self._length:
            first, last = int(self._ordinal[0]), int(self._ordinal[self._length - 1])
            marks = np.zeros(last - first + 1, np.bool_)
            for referring in live:
                rows = np.arange(len(referring.rows)) if referring.only is None else referring.only
                mark(marks, first, referring.rows, rows, np.array(referring.columns, np.int64))
            kept = np.flatnonzero(marks[self.ordinal - first])
            for column in (self._ordinal, *self._events.columns()):
                keep_rows(column, kept)
            self._length = len(kept)
        self.compact_at = max(COMPACT_AT, 4 * self._length)

    def _resize(self, length: int) -> None:
        ordinal, events = np.empty(length, np.int64), blank(self._columns, length)
        ordinal[: self._length] = self.ordinal
        copy_rows(self.events, events, 0)
        self._ordinal, self._events = ordinal, events
