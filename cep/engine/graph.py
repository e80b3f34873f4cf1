"""The state of a `when` rule with structure: its graph as tables, and the runs."""

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
from cep.engine.plans import Ints, Keep, Keyed, Referring, Rows
from cep.engine.waits import of_graph
from cep.kernels import graph as gk
from cep.kernels import paths as pk
from cep.kernels import runs as rk
from cep.kernels.keys import KEY, NEVER, KeySpace
from cep.kernels.runs import Machine
from cep.layout.columns import NAN_WORD, NULL
from cep.layout.patterns import Capture, CaptureWord, Compare, Edge, EdgeKind, Graph, Guard, SequencePlan

POLICIES = {"first": rk.FIRST_POLICY, "each": rk.EACH_POLICY, "last": rk.LAST_POLICY, "all": rk.ALL_POLICY}


def initial_word(capture: CaptureWord, nulls: Ints) -> int:
    """The word of a run that has captured nothing for it."""
    what = Capture
    if capture.what in (what.FIRST, what.LAST):
        return int(nulls[capture.members[0][1] if capture.members else capture.slot])
    if capture.what in (what.MIN_I, what.MAX_I, what.FIRST_VALUE_I, what.LAST_VALUE_I):
        return NULL
    return NAN_WORD if capture.what in (what.MIN_F, what.MAX_F, what.FIRST_VALUE_F, what.LAST_VALUE_F) else 0


def compare_rows(compares: tuple[Compare, ...]) -> list[list[int]]:
    """The rows of a table of comparisons."""
    return [[int(c.opcode), c.word, c.slot, int(c.flipped)] for c in compares]


@dataclass(slots=True)
class _Tables:
    """The tables of a graph under construction."""

    plan: SequencePlan
    graph: Graph
    stages: list[list[int]] = field(default_factory=list)
    edges: list[list[int]] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)
    levels: list[list[int]] = field(default_factory=list)
    saves: list[list[int]] = field(default_factory=list)
    compares: list[list[int]] = field(default_factory=list)

    def edge_rows(self, edges: tuple[Edge, ...]) -> tuple[int, int]:
        """Enter some edges; the range of their rows."""
        first = len(self.edges)
        for edge in edges:
            begin = len(self.paths)
            self.paths += [[int(what), number] for what, number in edge.path]
            mask = sum(1 << guard for guard in edge.guards)
            gap, immediate = edge.within_us, edge.immediate
            if edge.kind is EdgeKind.END:
                guards = [self.graph.guards[guard] for guard in edge.guards]
                gap = max((guard.within_us for guard in guards), default=-1)
                immediate = any(guard.within_us < 0 for guard in guards)
            row = [int(edge.kind), edge.level, edge.target, int(immediate), gap, int(edge.each), mask]
            self.edges.append([*row, begin, len(self.paths)])
        return first, len(self.edges)

    def judged(self, bit: int, most: int, least: int, of: Guard | None) -> list[int]:
        """The columns that a stage or guard shares with a probe's steps."""
        first = len(self.compares)
        compares: tuple[Compare, ...] = of.compares if of else ()
        self.compares += compare_rows(compares)
        immediate, window, code = (int(of.immediate), of.within_us, of.code) if of else (0, -1, -1)
        return [bit, least, most, immediate, window, code, -1, -1, first, len(self.compares)]

    def stage_rows(self) -> None:
        """The stages: steps, choices, and last what ends the runs."""
        steps, guards = self.plan.steps, self.graph.guards
        for number, stage in enumerate(self.graph.stages):
            step = steps[number] if number < len(steps) else None
            judged = Guard(step.bit, -1, False, step.compares, step.code) if step else None
            row = self.judged(step.bit if step else 0, stage.most, stage.least, judged)
            begin = len(self.levels)
            self.levels += [[group, int(rest)] for group, rest in stage.levels]
            edge_bits = guard_bits = 0
            for edge in stage.edges:
                edge_bits |= steps[edge.target].bit if edge.target >= 0 else 0
                for guard in edge.guards:
                    guard_bits |= guards[guard].bit
            row += [stage.region, int(stage.tail), begin, len(self.levels), *self.edge_rows(stage.edges)]
            self.stages.append([*row, int(stage.before_each), edge_bits, guard_bits])
        if self.graph.until is not None:
            until = self.graph.until
            row = self.judged(until.bit, 1, 1, until)
            self.stages.append(row + [0] * (pk.STAGE_COLUMNS - len(row)))

    def save(self, span: tuple[int, int], at: int, *, needed: bool) -> tuple[int, int]:
        """A checkpoint of some steps at column `at` of a run: its number, -1 if none is needed, and the next column."""
        if not needed:
            return -1, at
        self.saves.append([*span, at])
        return len(self.saves) - 1, at + pk.SOURCE_WORDS + span[1] - span[0]

    def watched(self) -> list[list[int]]:
        """The guards that a start may pass, and how long each forbids one."""
        passed = sorted({guard for edge in self.graph.regions[0].begins for guard in edge.guards})
        horizon = max(self.plan.within_us, 0)
        windows = [(guard, self.graph.guards[guard]) for guard in passed]
        return [[n, g.within_us if g.within_us >= 0 else horizon] for n, g in windows if not g.immediate]


def _capture_rows(captures: tuple[CaptureWord, ...]) -> list[list[int]]:
    """The rows of Paths.captures: each value has a place of its own in the nodes of its step."""
    rows: list[list[int]] = []
    used: dict[int, int] = {}
    for word, capture in enumerate(captures):
        for step, slot in capture.members or ((capture.step, capture.slot),):
            rows.append([step, int(capture.what), slot, word, used.get(step, 0)])
            used[step] = used.get(step, 0) + 1
    return rows


def _table(rows: list[list[int]], columns: int) -> Ints:
    return np.array(rows, np.int64).reshape(-1, columns)


class GraphState(Keyed):
    """Runs of a sequence with structure."""

    def __init__(self, plan: SequencePlan, graph: Graph, nulls: Ints) -> None:
        steps = len(plan.steps)
        tables = _Tables(plan, graph)
        tables.stage_rows()
        begins = [tables.edge_rows(region.begins) for region in graph.regions]
        refs = pk.WORD + len(plan.captures)
        regions_at = refs + steps
        groups_at = regions_at + pk.REGION_WORDS * len(graph.regions)
        at = groups_at + len(graph.groups)
        groups, regions = [], []
        for group in graph.groups:
            save, at = tables.save(group.span, at, needed=group.most < 0 or group.most > group.least)
            groups.append([group.least, group.most, group.region, save])
        for region, begin in zip(graph.regions, begins, strict=True):
            save, at = tables.save(region.span, at, needed=region.dropped)
            regions.append([region.choice, region.parent, *begin, save])
        guards = [tables.judged(g.bit, -1, -1, g) for g in graph.guards]
        watched = tables.watched()
        captures = _capture_rows(plan.captures)
        gaps = [edge[pk.GAP] for edge in tables.edges] + [g.within_us for g in graph.guards] + [1]
        deep = 1 + max(len(stage.levels) for stage in graph.stages)
        forks = plan.policy == "all" or any(edge[pk.EACH] for edge in tables.edges)
        run = np.zeros((FIRST_ROWS, at), np.int64)
        node = np.full(
            (FIRST_ROWS, pk.NODE_VALUE + 1 + max((row[pk.VALUE] for row in captures), default=0)), -1, np.int64
        )
        initial = np.array([initial_word(c, nulls) for c in plan.captures], np.int64)
        count = np.zeros(rk.FREE_BLOCKS + rk.BLOCK_SIZES, np.int64)
        count[[pk.NODE_FREE, *range(rk.FREE_BLOCKS, len(count))]] = -1
        count[rk.RUN_TOP] = 1  # row 0 is scratch
        self._blank = np.zeros(rk.SEEN + len(watched), np.int64)
        self._blank[rk.SOONEST] = NEVER
        self._blank[rk.SEEN :] = -NEVER
        self._wakes = sum({plan.steps[edge.target].bit for edge in graph.regions[0].begins})
        self._wakes |= sum({graph.guards[guard].bit for guard, _ in watched})
        self._columns = Columns(plan)
        self.keys: KeySpace = new_keys(max(plan.within_us, *gaps))
        self.matches = new_matches(steps, 0)
        self.paths = pk.Paths(
            stages=_table(tables.stages, pk.STAGE_COLUMNS),
            edges=_table(tables.edges, 9),
            paths=_table(tables.paths, 2),
            levels=_table(tables.levels, 2),
            regions=_table(regions, 5),
            groups=_table(groups, 4),
            saves=_table(tables.saves, 3),
            guards=_table(guards, rk.STEP_COLUMNS),
            watched=_table(watched, 2),
            compares=_table(tables.compares, 4),
            captures=_table(captures, 5),
            plan=np.array(
                [
                    plan.within_us,
                    POLICIES[plan.policy],
                    steps,
                    any(edge[pk.KIND] == EdgeKind.END and edge[pk.MASK] for edge in tables.edges),
                    plan.max_starts,
                    len(watched),
                    refs,
                    regions_at,
                    groups_at,
                    forks,
                    len(graph.stages) if graph.until is not None else -1,
                    *map(int, graph.resume),
                    max(gaps) if plan.within_us < 0 else NEVER // 4,
                ],
                np.int64,
            ),
            initial=initial,
            initial_real=initial.view(np.float64),
            open=np.zeros(deep, np.int64),
            mark=np.zeros(deep, np.int64),
            done=np.zeros(deep, np.int64),
            live=np.zeros(len(regions), np.int64),
            hope=np.zeros(len(regions), np.int64),
            stir=np.zeros(len(regions), np.int64),
            best=np.zeros(len(initial), np.int64),
            found=np.zeros(4, np.int64),
            slots=copies(self._blank, FIRST_SLOTS),
            run=run,
            run_real=run.view(np.float64),
            node=node,
            node_real=node.view(np.float64),
            node_after=np.full(FIRST_ROWS, -1, np.int32),
            count=count,
        )

    def feed(self, machine: Machine, rows: Rows, keep: Keep, base: int) -> None:
        """Offer the rows."""
        taken = self.resolve(rows, self._wakes, self._grow_slots)

        def offer(own: Machine, of: Ints, bits: Ints, slots: Ints, begin_at: int) -> int:
            return gk.feed(self.paths, own, self.keys, self.matches, of, bits, slots, keep, base, begin_at)

        self._columns.offer(machine, taken, offer, self._grow)

    def sweep(self, machine: Machine, until_us: int) -> None:
        """Let time pass up to and including `until_us`."""
        if not self.paths.plan[pk.DEADLINES]:
            gk.tidy(self.paths, self.keys, self.matches, until_us)
            return
        self.visit_due(lambda: gk.sweep(self.paths, self.keys, self.matches, until_us), self._grow, until_us)

    def references(self) -> list[Referring]:
        """Where the ordinals of all captured events stand that the state still refers to."""
        return [Referring(self.paths.node[: self.paths.count[pk.NODE_TOP]], (pk.ORDINAL,))]

    def words(self) -> list[Ints]:
        """Every array in which the id of a text may stand."""
        p = self.paths
        words = p.run[self.live_rows(p.slots), pk.WORD : p.plan[pk.REFS]]
        return [self.keys.slots[:, KEY:], words, p.node[: p.count[pk.NODE_TOP], pk.NODE_VALUE :]]

    def waiting_at(self, slot: int, now_us: int) -> set[int]:
        """See `PlanState`."""
        return of_graph(self.paths, slot, now_us)

    def waiting(self) -> int:
        """How many runs wait."""
        return int(self.paths.count[rk.ALL_RUNS])

    def dropped(self) -> int:
        """How many runs the bound has cost."""
        return int(self.paths.count[rk.DROPPED])

    def _grow_slots(self, slots: int) -> None:
        self.paths = self.paths._replace(slots=grown_copies(self.paths.slots, self._blank, slots))

    def _grow(self) -> None:
        p = self.paths
        waiting = 2 * int(p.slots[:, rk.RUNS].max()) + 1
        block = max(2 * int(p.slots[:, rk.CAPACITY].max()), 4 * waiting)
        if p.count[rk.RUN_TOP] + block >= len(p.run):
            run = grown(p.run, further(len(p.run)))
            p = p._replace(run=run, run_real=run.view(np.float64))
        if p.count[pk.ALL_NODES] + waiting >= len(p.node):
            length = further(len(p.node))
            node = grown(p.node, length)
            p = p._replace(node=node, node_real=node.view(np.float64), node_after=grown(p.node_after, length))
        if p is self.paths:
            self.matches = grow_matches(self.matches)
        self.paths = p
