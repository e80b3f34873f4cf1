"""A batch: events as columns of 64-bit words, in the order in which they arrived."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cep.layout.columns import TIME_SLOT

Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class Batch:
    """n events. Rows of one stream stand in the order of their entries.

    stream, event: shape (n,), indices into Program.streams and Program.events.
    entry_ms, entry_seq, entry_index: the id of the entry an event came in, and its place in that entry.
    words: shape (slots, n); row `TIME_SLOT` is the event time in µs; text is an id of the state's `Strings`, a float
    is its bits, null is `NULL` in a column of integers and NaN in one of floats.
    raw: the event as it came, for the late stream; may be empty when late events cannot occur or need not be kept.
    """

    stream: npt.NDArray[np.int16]
    event: npt.NDArray[np.int16]
    entry_ms: Ints
    entry_seq: Ints
    entry_index: npt.NDArray[np.int32]
    words: Ints
    raw: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.stream)

    @property
    def time_us(self) -> Ints:
        """Event times, shape (n,)."""
        time_us: Ints = self.words[TIME_SLOT]
        return time_us

    def columns(self) -> list[npt.NDArray[Any]]:
        """Every column, as views of shape (n,)."""
        return [self.stream, self.event, self.entry_ms, self.entry_seq, self.entry_index, *self.words]

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Batch:
        """The batch of some of its rows, in the order given; `raw` is left behind."""
        return Batch(
            self.stream[rows],
            self.event[rows],
            self.entry_ms[rows],
            self.entry_seq[rows],
            self.entry_index[rows],
            self.words[:, rows] if isinstance(rows, slice) else np.take(self.words, rows, axis=1),
        )


def blank(slots: int, n: int) -> Batch:
    """A batch of n events that have yet to be filled in."""
    return Batch(
        np.empty(n, np.int16),
        np.empty(n, np.int16),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int32),
        np.empty((slots, n), np.int64),
    )


def empty(slots: int) -> Batch:
    """A batch without events."""
    return blank(slots, 0)


def copy_rows(source: Batch, target: Batch, at: int) -> None:
    """Write the rows of `source` into `target` from row `at` on; `raw` is left alone."""
    rows = slice(at, at + len(source))
    target.stream[rows] = source.stream
    target.event[rows] = source.event
    target.entry_ms[rows] = source.entry_ms
    target.entry_seq[rows] = source.entry_seq
    target.entry_index[rows] = source.entry_index
    target.words[:, rows] = source.words


def concatenate(first: Batch, second: Batch) -> Batch:
    """The rows of `first`, then those of `second`; `raw` is left behind."""
    joined = blank(first.words.shape[0], len(first) + len(second))
    copy_rows(first, joined, 0)
    copy_rows(second, joined, len(first))
    return joined
