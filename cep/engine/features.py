"""The state of a feature plan: windows that fill columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.engine.arrays import grow_windows, new_keys, new_windows
from cep.engine.plans import Ints, Keyed, Rows
from cep.kernels import features as fk
from cep.kernels.elements import CUT, WORD
from cep.kernels.keys import KEY
from cep.kernels.runs import Machine
from cep.layout.aggregates import READ_SHIFT, FeaturePlan
from cep.layout.columns import NAN_WORD, NULL

ENTERS = (1 << READ_SHIFT) - 1  # the bits of a row that enters a window


class FeatureState(Keyed):
    """Windows over what came before, by key."""

    def __init__(self, plan: FeaturePlan) -> None:
        self.keys = new_keys(max(a.life_us for a in plan.aggregates))
        self.windows = new_windows(plan.aggregates)
        self.outputs = np.array(plan.outputs, np.int64)
        unknown = [NAN_WORD if a.real else NULL for a in plan.aggregates]
        self._unknown = [*unknown, *([0] * len(unknown))] if plan.own_key else []

    def begin(self, words: npt.NDArray[np.int64]) -> None:
        """Before any shard fills its rows of the columns: a row without the own key reads nothing."""
        for slot, word in zip(self.outputs, self._unknown, strict=False):
            words[slot] = word

    def feed(self, machine: Machine, rows: Rows) -> None:
        """Fill the columns of the rows that read, and let in those that enter."""
        taken = self.resolve(rows, ENTERS, self._grow_slots)

        def offer(of: Ints, bits: Ints, slots: Ints, begin_at: int) -> int:
            return fk.feed(self.windows, of, bits, slots, machine.words, self.outputs, begin_at)

        taken.offer(offer, lambda: self._grow_slots(len(self.keys.slots)))

    def _grow_slots(self, slots: int) -> None:
        self.windows = grow_windows(self.windows, slots)

    def words(self) -> list[npt.NDArray[np.int64]]:
        """Every array in which the id of a text may stand."""
        return [self.keys.slots[:, KEY:], self.windows.element[:, WORD]]

    def cut(self) -> int:
        """How often a window met its limit, so that what it says is an estimate or of its newest elements only."""
        return int(self.windows.count[CUT])

    def sweep(self, until_us: int) -> None:
        """Let go of what has left its window."""
        fk.tidy(self.keys, self.windows, until_us)
