"""The state of a `when` rule: a chain where no filter looks back, combinations for most `match all`, else a probe.

A sequence with structure is run by a graph, which stands in a module of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
from cep.engine.columns import Columns
from cep.engine.combinations import CombinationState, shares_prefixes
from cep.engine.graph import POLICIES, GraphState, compare_rows, initial_word
from cep.engine.plans import Ints, Keep, Keyed, Referring, Rows
from cep.engine.waits import of_chain, of_probe
from cep.kernels import chain as ck
from cep.kernels import fifos as fk
from cep.kernels import probe as pk
from cep.kernels import runs as rk
from cep.kernels.keys import KEY, NEVER, KeySpace
from cep.kernels.runs import Machine
from cep.layout.patterns import Capture, Guard, SequencePlan, StepSpec

NO_LIMIT = 2**62


def new_sequence(plan: SequencePlan, nulls: Ints) -> ChainState | ProbeState | CombinationState | GraphState:
    """The empty state of a sequence. `nulls`: null as each column spells it, shape (slots,)."""
    if plan.graph is not None:
        return GraphState(plan, plan.graph, nulls)
    if shares_prefixes(plan):
        return CombinationState(plan)
    return ProbeState(plan, nulls) if needs_probe(plan) else ChainState(plan)


def needs_probe(plan: SequencePlan) -> bool:
    """Whether runs have to be asked one by one. Besides look-back: policy last, and rare mixtures of guards."""
    groups = [*(step.guards for step in plan.steps[1:]), plan.trailing]
    mixed = any(any(g.immediate for g in guards) and any(g.within_us >= 0 for g in guards) for guards in groups)
    return plan.graph is not None or plan.looks_back or plan.policy in ("last", "all") or mixed


def _trailing(plan: SequencePlan) -> tuple[int, int, int]:
    """Whether there are trailing guards, the longest window of their own, and whether one lasts to the horizon."""
    own = [g.within_us for g in plan.trailing if g.within_us >= 0]
    return bool(plan.trailing), max(own, default=-1), any(g.within_us < 0 for g in plan.trailing)


def _is_plain(plan: SequencePlan) -> bool:
    """Whether single steps, `then` and the header's horizon are all there is; see kernels.runs."""
    singles = all(s.least == s.most == 1 and s.within_us < 0 and not s.immediate and not s.guards for s in plan.steps)
    return singles and not plan.trailing and len(plan.steps) > 1


def _span(plan: SequencePlan) -> int:
    """The longest horizon of a sequence."""
    windows = [plan.within_us, *(s.within_us for s in plan.steps), *(g.within_us for g in plan.trailing)]
    windows += [g.within_us for s in plan.steps for g in s.guards]
    return max(*windows, 1)


# ------------------------------------------------------------------------------------------- chain


@dataclass(slots=True)
class _StageTable:
    """The stage table under construction."""

    plan: SequencePlan
    stages: list[list[int]] = field(default_factory=list)
    guards: list[list[int]] = field(default_factory=list)
    first: list[int] = field(default_factory=list)  # the first stage of each step

    def build(self) -> None:
        for k, step in enumerate(self.plan.steps):
            self.first.append(len(self.stages))
            guards = self._guards_after(k)
            if is_loop(self.plan, k):
                self._stage(k, guards, opened=True)
                if self.stages[-1][fk.MOST] >= 0 or self.stages[-1][fk.SELF_GAP] >= 0:
                    self.stages[-1][fk.FULL] = len(self.stages)
                    self._waiting(k, guards)
            else:
                self._waiting(k, guards)
            assert step.least >= 1
        for stage in self.stages:
            k = stage[fk.STEP] + 1
            stage[fk.NEXT] = self.first[k] if k < len(self.plan.steps) else -1

    def _guards_after(self, k: int) -> tuple[Guard, ...]:
        last = k + 1 == len(self.plan.steps)
        return self.plan.trailing if last else self.plan.steps[k + 1].guards

    def _waiting(self, k: int, guards: tuple[Guard, ...]) -> None:
        """Stages of runs that wait for step k + 1, one for each window after which guards fall silent."""
        while True:
            self._stage(k, guards, opened=False)
            stage = self.stages[-1]
            immediate = any(g.immediate for g in guards)
            windows = [g.within_us for g in guards if g.within_us >= 0]
            if immediate:
                stage[fk.AGE_EVENT] = 1
                guards = tuple(g for g in guards if not g.immediate)
            elif windows:
                stage[fk.AGE_US] = min(windows)
                guards = tuple(g for g in guards if g.within_us != min(windows))
            else:
                return
            stage[fk.AGE_STAGE] = len(self.stages)

    def _stage(self, k: int, guards: tuple[Guard, ...], *, opened: bool) -> None:
        step = self.plan.steps[k]
        follower: StepSpec | None = self.plan.steps[k + 1] if k + 1 < len(self.plan.steps) else None
        stage = [-1] * fk.STAGE_COLUMNS
        stage[fk.STEP], stage[fk.OPEN] = k, int(opened)
        stage[fk.LEAST] = step.least
        # A last loop is at its end with its minimum, unless a deadline is still to come.
        stage[fk.MOST] = step.most if follower or self.plan.trailing else -1
        stage[fk.SELF_BIT] = step.bit
        stage[fk.SELF_GAP] = step.within_us if k else -1
        stage[fk.NEXT_BIT] = follower.bit if follower else 0
        stage[fk.NEXT_GAP] = follower.within_us if follower else -1
        stage[fk.NEXT_IMMEDIATE] = int(bool(follower and follower.immediate))
        stage[fk.GUARD_FROM] = len(self.guards)
        self.guards += [[g.bit, g.within_us, int(g.immediate)] for g in guards]
        stage[fk.GUARD_TO] = len(self.guards)
        stage[fk.AGE_EVENT] = 0
        stage[fk.LAST_STEP] = int(follower is None)
        self.stages.append(stage)


def is_loop(plan: SequencePlan, k: int) -> bool:
    """Whether step k is more than one event, as far as matches can tell."""
    step = plan.steps[k]
    ends_at_once = k + 1 == len(plan.steps) and not plan.trailing and step.least == 1
    return not ends_at_once and not (step.least == 1 and step.most == 1)


class ChainState(Keyed):
    """Runs of a sequence without look-back."""

    def __init__(self, plan: SequencePlan) -> None:
        table = _StageTable(plan)
        table.build()
        steps = len(plan.steps)
        leading = [[g.bit, g.within_us] for g in plan.steps[0].guards]
        loops = [is_loop(plan, k) for k in range(steps)]
        waits, own_us, horizon = _trailing(plan)
        each = plan.policy == "each"
        count = np.zeros(6, np.int64)
        count[[fk.RUN_FREE, fk.NODE_FREE]] = -1
        logs = fk.HEAD + 2 * len(table.stages)
        seen = logs + 3 * steps
        self._blank = np.full(seen + len(leading), -1, np.int64)
        self._blank[: fk.HEAD] = 0
        self._blank[logs + fk.LOG_LENGTH : seen : 3] = 0
        self._blank[seen:] = -NEVER
        self._wakes = 1 | sum(g.bit for g in plan.steps[0].guards)
        self.keys = new_keys(_span(plan))
        self.matches = new_matches(steps, 0)
        self.chain = fk.Chain(
            stages=np.array(table.stages, np.int64),
            guards=np.array(table.guards, np.int64).reshape(-1, 3),
            leading=np.array(leading, np.int64).reshape(-1, 2),
            plan=np.array([plan.within_us, each, steps, waits, own_us, horizon, any(loops), logs, seen], np.int64),
            loop=np.array(loops, np.int64),
            slots=copies(self._blank, FIRST_SLOTS),
            run=np.full((FIRST_ROWS, fk.REF + 2 * steps), -1, np.int64),
            node=np.full((FIRST_ROWS, fk.NODE_COLUMNS), -1, np.int64),
            count=count,
        )

    def feed(self, machine: Machine, rows: Rows, keep: Keep, base: int) -> None:
        """Offer the rows."""
        taken = self.resolve(rows, self._wakes, self._grow_slots)
        times = machine.words[0, taken.rows]

        def offer(of: Ints, bits: Ints, slots: Ints, begin_at: int) -> int:
            return ck.feed(self.chain, self.keys, self.matches, of, bits, slots, times, keep, base, begin_at)

        taken.offer(offer, self._grow)

    def sweep(self, machine: Machine, until_us: int) -> None:
        """Let time pass up to and including `until_us`."""
        if not self.chain.plan[fk.TRAILING]:
            ck.tidy(self.chain, self.keys, self.matches, until_us)
            return
        self.visit_due(lambda: ck.sweep(self.chain, self.keys, self.matches, until_us), self._grow, until_us)

    def references(self) -> list[Referring]:
        """Where the ordinals of all captured events stand that the state still refers to."""
        c = self.chain
        singles = [fk.REF + 2 * k for k in range(len(c.loop)) if not c.loop[k]]
        runs = Referring(c.run[: c.count[fk.RUN_TOP]], (fk.START, *singles))
        return [runs, Referring(c.node[: c.count[fk.NODE_TOP]], (fk.ORDINAL,))]

    def words(self) -> list[Ints]:
        """Every array in which the id of a text may stand."""
        return [self.keys.slots[:, KEY:]]

    def waiting_at(self, slot: int, now_us: int) -> set[int]:
        """What the key in `slot` waits for; see PlanState."""
        return of_chain(self.chain, slot, now_us)

    def waiting(self) -> int:
        """How many runs wait."""
        return int(self.chain.count[fk.RUNS])

    def dropped(self) -> int:
        """How many runs the bound has cost: none, for a FIFO has no bound but memory."""
        return 0

    def _grow_slots(self, slots: int) -> None:
        self.chain = self.chain._replace(slots=grown_copies(self.chain.slots, self._blank, slots))

    def _grow(self) -> None:
        c = self.chain
        if c.count[fk.RUNS] + 1 >= len(c.run):
            c = c._replace(run=grown(c.run, further(len(c.run))))
        if c.count[fk.NODES] + len(c.loop) >= len(c.node):
            c = c._replace(node=grown(c.node, further(len(c.node))))
        if c is self.chain:
            self.matches = grow_matches(self.matches)
        self.chain = c


# ------------------------------------------------------------------------------------------- probe


class ProbeState(Keyed):
    """Runs of a sequence in which a filter looks back."""

    def __init__(self, plan: SequencePlan, nulls: Ints) -> None:
        steps, guards, compares = _probe_tables(plan)
        waits, own_us, horizon = _trailing(plan)
        leading = len(plan.steps[0].guards)
        most = plan.max_starts if plan.looks_back or plan.policy == "all" else NO_LIMIT
        count = np.zeros(rk.FREE_BLOCKS + rk.BLOCK_SIZES, np.int64)
        count[[rk.NODE_FREE, *range(rk.FREE_BLOCKS, len(count))]] = -1
        refs = rk.WORD + len(plan.captures)
        run = np.zeros((FIRST_ROWS, refs + len(steps)), np.int64)
        loops = [is_loop(plan, k) for k in range(len(steps))]
        initial = np.array([initial_word(c, nulls) for c in plan.captures], np.int64)
        self._blank = np.zeros(rk.SEEN + leading, np.int64)
        self._blank[rk.SOONEST] = NEVER
        self._blank[rk.SEEN :] = -NEVER
        self._wakes = 1 | sum(g.bit for g in plan.steps[0].guards)
        self._columns = Columns(plan)
        self.keys: KeySpace = new_keys(_span(plan))
        self.matches = new_matches(len(plan.steps), 0)
        self.probe = rk.Probe(
            steps=np.array(steps, np.int64),
            guards=np.array(guards, np.int64).reshape(-1, rk.STEP_COLUMNS),
            compares=np.array(compares, np.int64).reshape(-1, 4),
            captures=np.array([[c.step, c.what, c.slot] for c in plan.captures], np.int64).reshape(-1, 3),
            plan=np.array(
                [
                    plan.within_us,
                    POLICIES[plan.policy],
                    len(steps),
                    waits,
                    own_us,
                    horizon,
                    most,
                    leading,
                    any(loops),
                    refs,
                    _is_plain(plan),
                ],
                np.int64,
            ),
            loop=np.array(loops, np.int64),
            places=np.zeros(sum(s.least + 1 for s in plan.steps), np.int64),
            initial=initial,
            initial_real=initial.view(np.float64),
            slots=copies(self._blank, FIRST_SLOTS),
            run=run,
            run_real=run.view(np.float64),
            node=np.full((FIRST_ROWS, rk.NODE_WORD + _node_words(plan)), -1, np.int64),
            node_after=np.full(FIRST_ROWS, -1, np.int32),
            count=count,
        )

    def feed(self, machine: Machine, rows: Rows, keep: Keep, base: int) -> None:
        """Offer the rows."""
        taken = self.resolve(rows, self._wakes, self._grow_slots)

        def offer(own: Machine, of: Ints, bits: Ints, slots: Ints, begin_at: int) -> int:
            return pk.feed(self.probe, own, self.keys, self.matches, of, bits, slots, keep, base, begin_at)

        self._columns.offer(machine, taken, offer, self._grow)

    def sweep(self, machine: Machine, until_us: int) -> None:
        """Let time pass up to and including `until_us`."""
        if not self.probe.plan[rk.TRAILING]:
            pk.tidy(self.probe, self.keys, self.matches, until_us)
            return
        self.visit_due(lambda: pk.sweep(self.probe, self.keys, self.matches, until_us), self._grow, until_us)

    def references(self) -> list[Referring]:
        """Where the ordinals of all captured events stand that the state still refers to."""
        p = self.probe
        refs = int(p.plan[rk.REFS])
        singles = [refs + k for k in range(len(p.loop)) if not p.loop[k]]
        nodes = Referring(p.node[: p.count[rk.NODE_TOP]], (rk.ORDINAL,))
        return [Referring(p.run, (rk.START, *singles), self.live_rows(p.slots)), nodes]

    def words(self) -> list[Ints]:
        """Every array in which the id of a text may stand."""
        p = self.probe
        words = p.run[self.live_rows(p.slots), rk.WORD : p.plan[rk.REFS]]
        return [self.keys.slots[:, KEY:], words, p.node[: p.count[rk.NODE_TOP], rk.NODE_WORD :]]

    def waiting_at(self, slot: int, now_us: int) -> set[int]:
        """What the key in `slot` waits for; see PlanState."""
        return of_probe(self.probe, slot, now_us)

    def waiting(self) -> int:
        """How many runs wait."""
        return int(self.probe.count[rk.ALL_RUNS])

    def dropped(self) -> int:
        """How many runs the bound has cost."""
        return int(self.probe.count[rk.DROPPED])

    def _grow_slots(self, slots: int) -> None:
        self.probe = self.probe._replace(slots=grown_copies(self.probe.slots, self._blank, slots))

    def _grow(self) -> None:
        p = self.probe
        waiting = int(p.slots[:, rk.RUNS].max()) + 1
        block = max(2 * int(p.slots[:, rk.CAPACITY].max()), rk.SMALLEST_BLOCK)
        nodes = waiting
        if p.plan[rk.POLICY] == rk.ALL_POLICY:
            block, nodes = max(block, 8 * waiting), 2 * waiting
        if p.count[rk.RUN_TOP] + block >= len(p.run):
            run = grown(p.run, further(len(p.run)))
            p = p._replace(run=run, run_real=run.view(np.float64))
        if p.count[rk.ALL_NODES] + nodes >= len(p.node):
            length = further(len(p.node))
            p = p._replace(node=grown(p.node, length), node_after=grown(p.node_after, length))
        if p is self.probe:
            self.matches = grow_matches(self.matches)
        self.probe = p


def _node_words(plan: SequencePlan) -> int:
    """How many words a captured event needs: up to the last capture that counts different values."""
    kinds = (Capture.DISTINCT_I, Capture.DISTINCT_F)
    return max((i + 1 for i, c in enumerate(plan.captures) if c.what in kinds), default=0)


def _probe_tables(plan: SequencePlan) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """The step table, the guard table (guards in the order of the steps they stand before), and the comparisons."""
    steps: list[list[int]] = []
    guards: list[list[int]] = []
    compares: list[list[int]] = []

    def compared(of: StepSpec | Guard) -> tuple[int, int]:
        first = len(compares)
        compares.extend(compare_rows(of.compares))
        return first, len(compares)

    def guarded(group: tuple[Guard, ...]) -> tuple[int, int]:
        first = len(guards)
        for g in group:
            guards.append([g.bit, -1, -1, int(g.immediate), g.within_us, g.code, -1, -1, *compared(g)])
        return first, len(guards)

    for k, s in enumerate(plan.steps):
        window = s.within_us if k else -1
        row = [s.bit, s.least, s.most, int(s.immediate), window, s.code, *guarded(s.guards), *compared(s)]
        steps.append(row)
    guarded(plan.trailing)
    return steps, guards, compares
