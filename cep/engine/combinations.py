"""The state of a `match all` rule whose partial matches can share their prefixes."""

from __future__ import annotations

import numpy as np

from cep.engine.arrays import (
    FIRST_ROWS,
    FIRST_SLOTS,
    copies,
    further,
    grow_matches,
    grown,
    grown_copies,
    new_keys,
    new_matches,
)
from cep.engine.plans import Ints, Keep, Keyed, Referring, Rows
from cep.engine.waits import of_combinations
from cep.kernels import combinations as ck
from cep.kernels.keys import KEY, NEVER
from cep.kernels.runs import Machine
from cep.layout.patterns import SequencePlan


def shares_prefixes(plan: SequencePlan) -> bool:
    """Whether all runs at one stage have the same future, but for when they end.

    No filter looks back, no deadline makes a match, there is a horizon, and a guard ends all runs that wait for its
    step.
    """
    singles = all(step.least == step.most == 1 for step in plan.steps)
    inner = [guard for step in plan.steps[1:] for guard in step.guards]
    plain = all(guard.within_us < 0 and not guard.immediate for guard in inner)
    return plan.policy == "all" and singles and plain and not (plan.looks_back or plan.trailing) and plan.within_us >= 0


class CombinationState(Keyed):
    """Every combination of single steps, as a graph that combinations share."""

    def __init__(self, plan: SequencePlan) -> None:
        steps = len(plan.steps)
        stages = [
            [step.bit, step.within_us, int(step.immediate), sum(guard.bit for guard in step.guards)]
            for step in plan.steps[1:]
        ]
        leading = [[guard.bit, guard.within_us] for guard in plan.steps[0].guards]
        seen = ck.FIRST_STAGE + ck.SLOT_STAGE_COLUMNS * len(stages)
        self._blank = np.full(seen + len(leading), -1, np.int64)
        self._blank[: ck.FIRST_STAGE] = 0
        self._blank[ck.FIRST_STAGE + ck.LENGTH : seen : ck.SLOT_STAGE_COLUMNS] = 0
        self._blank[seen:] = -NEVER
        self._wakes = 1 | sum(guard.bit for guard in plan.steps[0].guards)
        count = np.zeros(ck.COUNTS, np.int64)
        count[ck.NODE_FREE] = -1
        self.keys = new_keys(plan.within_us)
        self.matches = new_matches(steps, 0)
        self.combinations = ck.Combinations(
            stages=np.array(stages, np.int64).reshape(-1, ck.STAGE_COLUMNS),
            leading=np.array(leading, np.int64).reshape(-1, 2),
            plan=np.array([plan.within_us, steps, plan.max_starts, seen], np.int64),
            slots=copies(self._blank, FIRST_SLOTS),
            node=np.full((FIRST_ROWS, ck.NODE_COLUMNS), -1, np.int64),
            walk=np.zeros((steps, ck.WALK_COLUMNS), np.int64),
            count=count,
        )

    def feed(self, machine: Machine, rows: Rows, keep: Keep, base: int) -> None:
        """Offer the rows."""
        taken = self.resolve(rows, self._wakes, self._grow_slots)
        times = machine.words[0, taken.rows]

        def offer(of: Ints, bits: Ints, slots: Ints, begin_at: int) -> int:
            return ck.feed(self.combinations, self.keys, self.matches, of, bits, slots, times, keep, base, begin_at)

        taken.offer(offer, self._grow)

    def sweep(self, machine: Machine, until_us: int) -> None:
        """Let time pass up to and including `until_us`: nothing is made at a deadline."""
        ck.tidy(self.combinations, self.keys, until_us)

    def references(self) -> list[Referring]:
        """Where the ordinals of all captured events stand that the state still refers to."""
        c = self.combinations
        return [Referring(c.node[: c.count[ck.NODE_TOP]], (ck.ORDINAL,))]

    def words(self) -> list[Ints]:
        """Every array in which the id of a text may stand."""
        return [self.keys.slots[:, KEY:]]

    def waiting_at(self, slot: int, now_us: int) -> set[int]:
        """What the key in `slot` waits for; see PlanState."""
        return of_combinations(self.combinations, slot, now_us)

    def waiting(self) -> int:
        """How many events wait, at all stages: each stands for every partial match that it ends."""
        return int(self.combinations.count[ck.NODES])

    def dropped(self) -> int:
        """How many events completed more than `max` matches, of which the older ones were not made."""
        return int(self.combinations.count[ck.CUT])

    def _grow_slots(self, slots: int) -> None:
        self.combinations = self.combinations._replace(slots=grown_copies(self.combinations.slots, self._blank, slots))

    def _grow(self) -> None:
        c = self.combinations
        if c.count[ck.NODES] + len(c.stages) > len(c.node):
            self.combinations = c._replace(node=grown(c.node, further(len(c.node))))
        else:
            self.matches = grow_matches(self.matches)
