"""The state of `when` rules that differ only in their last filter: one chain of runs, and a fence for each rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cep.engine.plans import Ints, Keep, Rows
from cep.engine.sequences import ChainState
from cep.engine.waits import of_chain
from cep.kernels import shared as sk
from cep.kernels.filters import Filters
from cep.kernels.runs import Machine
from cep.layout.patterns import SequencePlan

FIRST_FENCES = 64


class SharedState(ChainState):
    """Runs that wait for all members at once. The members' filters are those of an index, in their order."""

    def __init__(self, plan: SequencePlan, filters: Filters) -> None:
        super().__init__(plan)
        members = len(filters.row)
        self._filters = filters
        self._last_bit = plan.steps[-1].bit
        self.shared = _new(np.full(members, -1, np.int64), _room_for(members))

    def feed(self, machine: Machine, rows: Rows, keep: Keep, base: int) -> None:
        """Offer the rows."""
        taken = self.resolve(rows, self._wakes, self._grow_slots)
        reached = 0
        while True:
            reached = sk.feed(
                self.chain,
                self.shared,
                self.keys,
                self.matches,
                self._filters,
                machine,
                taken.rows,
                taken.bits,
                taken.slots,
                self._last_bit,
                keep,
                base,
                reached,
            )
            if reached == len(taken.rows):
                return
            self._grow_shared(int(machine.words[0, taken.rows[reached]]))

    def waiting_at(self, slot: int, now_us: int, member: int = 0) -> set[int]:
        """What the key in `slot` waits for, as far as the member has not consumed it; see PlanState."""
        return of_chain(self.chain, slot, now_us, int(sk.consumed_up_to(self.shared, slot, member)))

    def adopt(self, members: Sequence[int], born: int, filters: Filters) -> None:
        """Go on from a picture of other members: of each member its number there, -1 for one whose time begins now.

        born: the last event before now. filters: those of the members, with the ids that texts have from now on.
        """
        self._filters = filters
        before = self.shared
        now = {old: new for new, old in enumerate(members) if old >= 0}
        since = np.array([before.since[old] if old >= 0 else born for old in members], np.int64)
        fences = before.fence[before.fence[:, sk.PLACE] >= 0].copy()
        slot, member = np.divmod(fences[:, sk.PLACE], len(before.since))
        number = np.array([now.get(old, -1) for old in range(len(before.since))], np.int64)[member]
        fences[:, sk.PLACE] = np.where(number < 0, -1, slot * len(members) + number)
        self.shared = _new(since, _room_for(len(fences) + len(members)))
        sk.copy_fences(fences, self.shared, -(2**62))

    def _grow_shared(self, now_us: int) -> None:
        """Make room for one more event, whichever room it was that it lacked."""
        if 2 * (self.shared.count[0] + len(self.shared.since)) > len(self.shared.fence):
            old = self.shared
            self.shared = _new(old.since, len(old.fence))
            sk.copy_fences(old.fence, self.shared, now_us)
            if 4 * (self.shared.count[0] + len(old.since)) > len(old.fence):
                kept = self.shared
                self.shared = _new(old.since, 2 * len(old.fence))
                sk.copy_fences(kept.fence, self.shared, now_us)
        self._grow()


def _room_for(fences: int) -> int:
    """The length of a table for so many fences."""
    return max(FIRST_FENCES, 1 << (2 * fences).bit_length())


def _new(since: Ints, length: int) -> sk.Shared:
    members = len(since)
    fence = np.full((length, sk.FENCE_COLUMNS), -1, np.int64)
    return sk.Shared(since, fence, np.zeros(1, np.int64), np.zeros(members, np.int64), np.zeros(members, np.int64))
