"""What all plans have in common: rows that enter, keys that get slots, and the order in which rows are taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cep.engine.arrays import grow_keys, reach_directly
from cep.kernels import keys as kk
from cep.kernels.keys import KeySpace
from cep.kernels.matches import Matches
from cep.kernels.runs import BEGIN, BLOCK, RUNS, Machine

Ints = npt.NDArray[np.int64]
Keep = npt.NDArray[np.uint8]

ALL_BITS = -1
GROUP_FROM = 4  # rows are taken key by key when there is one for every so many slots; else sorting costs more


@dataclass(slots=True)
class Rows:
    """Rows that enter a plan, in order: their places in the batch, their bits, their keys (parts, m)."""

    rows: Ints
    bits: Ints
    key: Ints

    def first(self, count: int) -> Rows:
        """The first so many of them."""
        return Rows(self.rows[:count], self.bits[:count], np.ascontiguousarray(self.key[:, :count]))


def blank(parts: int, n: int) -> Rows:
    """Room for n rows whose keys have so many parts."""
    return Rows(np.empty(n, np.int64), np.empty(n, np.int64), np.empty((parts, n), np.int64))


Feed = Callable[[Ints, Ints, Ints, int], int]  # rows, bits and slots, and where to begin; where it has ended


@dataclass(slots=True)
class Taken:
    """Rows in the order in which a plan takes them, those of one key in their own order; slot -1: the key has none."""

    rows: Ints
    bits: Ints
    slots: Ints

    def offer(self, feed: Feed, grow: Callable[[], None]) -> None:
        """Feed them to a kernel, which says which place it has reached when it lacks room."""
        reached = 0
        while (reached := feed(self.rows, self.bits, self.slots, reached)) < len(self.rows):
            grow()


@dataclass(frozen=True, slots=True)
class Referring:
    """Rows of a table with ordinals of captured events, or -1, in some columns; with -1 in the first a row is free.

    only: the numbers of the rows that matter; None: all do.
    """

    rows: Ints
    columns: Sequence[int] = (0,)
    only: Ints | None = None


class PlanState(Protocol):
    """What `step` asks of every plan that makes matches."""

    keys: KeySpace
    matches: Matches

    def feed(self, machine: Machine, rows: Rows, keep: Keep, base: int) -> None:
        """Offer the rows."""

    def sweep(self, machine: Machine, until_us: int) -> None:
        """Let time pass up to and including `until_us`."""

    def references(self) -> list[Referring]:
        """Where the ordinals of all captured events stand that the state still refers to."""

    def words(self) -> list[Ints]:
        """Every array in which the id of a text may stand."""

    def waiting_at(self, slot: int, now_us: int) -> set[int]:
        """What the key in `slot` waits for after the sweep up to `now_us`, and can still get; empty when for nothing.

        Of a sequence: the places of positive steps, for each run that of the step it is in while that is below its
        minimum, and else that of the step behind, which of the last step is the number of steps. A run whose horizon is
        over waits no more, nor does one that can take nothing more of its step, when the gap of the one behind is
        over. Of a condition: {0} when an event of the key still counts and the condition does not hold.
        """


class Keyed:
    """A plan's key space. `grow_slots` makes the plan's own arrays as long as the key space."""

    keys: KeySpace

    def resolve(self, rows: Rows, wakes: int, grow_slots: Callable[[int], None]) -> Taken:
        """The rows in the order in which to take them, each with its key's slot.

        A key that has none gets one if its row has a bit of `wakes`. Keys do not see each other, and matches are put in
        order afterwards, so rows may be taken key by key: then a key's state is fetched once for a batch, and the
        states one after the other.
        """
        slots = np.empty(len(rows.rows), np.int64)
        largest = int(rows.key[0].max(initial=-1)) if len(rows.key) == 1 else -1
        self.keys = reach_directly(self.keys, largest)
        reached = 0
        while (reached := kk.resolve(self.keys, rows.key, rows.bits, wakes, slots, reached)) < len(slots):
            self.keys = grow_keys(self.keys, largest)
            grow_slots(len(self.keys.slots))
        top = int(self.keys.count[kk.TOP])
        if GROUP_FROM * len(slots) < top:
            return Taken(rows.rows, rows.bits, slots)
        grouped = np.empty((3, len(slots)), np.int64)
        kk.group(slots, rows.rows, rows.bits, np.zeros(top + 2, np.int32), grouped)
        return Taken(*grouped)

    def visit_due(self, sweep: Callable[[], bool], grow: Callable[[], None], until_us: int) -> None:
        """See to all that is due by `until_us`; `sweep` says whether it had room for it."""
        kk.begin_sweep(self.keys, until_us)
        while not sweep():
            grow()
            kk.begin_sweep(self.keys, until_us)

    def live_rows(self, slots: Ints) -> Ints:
        """The rows of a pool of blocks that hold a run. slots: where each key's block is, see kernels.runs."""
        live = slots[self.keys.slots[:, kk.HASH] >= 0]
        lengths = live[:, RUNS]
        first = live[:, BLOCK] + live[:, BEGIN] - (np.cumsum(lengths) - lengths)
        rows: Ints = np.arange(lengths.sum()) + np.repeat(first, lengths)
        return rows
