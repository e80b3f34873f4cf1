"""The state of a feature plan: windows that fill columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.engine.arrays import grow_keys, grow_windows, new_keys, new_windows, slots_short
from cep.engine.sequences import Rows
from cep.kernels import features as fk
from cep.kernels.keys import KEY, begin_sweep
from cep.kernels.runs import Machine
from cep.kernels.windows import WORD
from cep.layout import FeaturePlan


class FeatureState:
    """Windows over what came before, by key."""

    def __init__(self, plan: FeaturePlan) -> None:
        self.keys = new_keys(max(a.window_us for a in plan.aggregates))
        self.windows = new_windows(plan.aggregates)
        self.outputs = np.array(plan.outputs, np.int64)

    def feed(self, machine: Machine, rows: Rows) -> None:
        """Fill the columns of the rows that read, and let in those that enter."""
        reached = 0
        while True:
            reached = fk.feed(
                self.keys, self.windows, rows.rows, rows.bits, rows.key, machine.words, self.outputs, reached
            )
            if reached == len(rows.rows):
                return
            if slots_short(self.keys):
                self.keys = grow_keys(self.keys)
            self.windows = grow_windows(self.windows, len(self.keys.slots))

    def words(self) -> list[npt.NDArray[np.int64]]:
        """Every array in which the id of a text may stand."""
        return [self.keys.slots[:, KEY:], self.windows.element[:, WORD]]

    def sweep(self, until_us: int) -> None:
        """Let go of what has left its window."""
        begin_sweep(self.keys, until_us)
        fk.sweep(self.keys, self.windows, until_us)
