"""One run of a graph and one event: which guards it fits, which move it makes, and whether any hope is left.

The order of what is tried is that of the compiled edges; the laws are those of docs/semantics.md, "Runs of a sequence
with structure".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit, kernel
from cep.kernels.keys import NEVER
from cep.kernels.offers import holds
from cep.kernels.paths import (
    BARRED,
    BEGIN_FROM,
    BEGIN_TO,
    COMPLETE,
    DONE,
    DUE,
    EDGE_BITS,
    EDGE_FROM,
    EDGE_TO,
    END,
    END_TIME,
    FOUND_BARRED,
    FOUND_EDGE,
    FOUND_MARK,
    FOUND_REGION,
    GAP,
    GUARD_BITS,
    IMMEDIATE,
    KIND,
    LAST_EVENT,
    LAST_TIME,
    LEFT_OUT,
    LONGEST_US,
    LOOP,
    MAIN,
    MASK,
    NO_EVENT,
    PARENT,
    POSITION,
    PREVIOUS_TIME,
    START_TIME,
    STEPS,
    TARGET,
    VIEWED,
    WITHIN,
    WORD,
    Paths,
)
from cep.kernels.regions import choice_of, climb, is_ready, is_usable, leave, look, mark_of, region_at, source
from cep.kernels.runs import BIT, CODE, COMPARE_FROM, COMPARE_TO, KEY_EVENTS, LEAST, SOONEST, WINDOW, Machine, move
from cep.kernels.runs import IMMEDIATE as GUARD_IMMEDIATE

Ints = npt.NDArray[np.int64]

ONE, NO_MARK = np.int64(1), np.int64(-1)
ANY_MOVE, LOOPS_ONLY = np.int64(0), np.int64(1)
VIEW = np.int64(0)  # the row of the run pool for a run as it would be with something left out


# ------------------------------------------------------------------------------------- one run


@inline
def is_true(p: Paths, m: Machine, of: Ints, run: int, row: int) -> bool:
    """Whether the look-back of a step or guard (`of`, its row in the table) is true of a run's words."""
    return holds(p, m, of, p.run[run, WORD:], p.run_real[run, WORD:], row)


@jit
def view(p: Paths, slot: int, run: int, region: int, edge: int, mark: int, of: Ints) -> int:
    """The row that a filter is to read when the run moves along an edge: the run without what the move leaves out."""
    plain = mark < 0 and choice_of(p, run, region) < 0
    if p.edges[edge, KIND] == LOOP or plain or (of[CODE] < 0 and of[COMPARE_FROM] == of[COMPARE_TO]):
        return run
    move(p, run, VIEW, ONE)
    leave(p, slot, VIEW, region, mark, VIEWED)
    look(p, run)
    return VIEW


@jit
def watch(p: Paths, m: Machine, slot: int, run: int, bits: int, row: int, now_us: int) -> None:
    """Note the guards that the event fits, for each move that they stand before."""
    for r in range(p.regions.shape[0]):
        stage = p.run[run, region_at(p, r) + POSITION]
        if p.live[r] == 0 or stage < 0 or not bits & p.stages[stage, GUARD_BITS]:
            continue
        climb(p, run, r)
        for edge in range(p.stages[stage, EDGE_FROM], p.stages[stage, EDGE_TO]):
            if p.edges[edge, MASK] != 0 and is_usable(p, run, r, edge):
                mark = mark_of(p, edge)
                at = source(p, r, mark)
                p.run[run, at + BARRED] |= barring(p, m, slot, run, r, edge, mark, bits, row, now_us)
        bar_end(p, run)


@jit
def barring(
    p: Paths, m: Machine, slot: int, run: int, region: int, edge: int, mark: int, bits: int, row: int, now_us: int
) -> int:
    """Which guards of an edge the event fits, one bit each."""
    found, at = np.int64(0), source(p, region, mark)
    if p.run[run, at + LAST_EVENT] == NO_EVENT:
        return found
    for g in range(p.guards.shape[0]):
        if not (p.edges[edge, MASK] >> g) & 1 or not bits & p.guards[g, BIT]:
            continue
        window = p.guards[g, WINDOW]
        if window >= 0 and p.run[run, at + LAST_TIME] + window <= now_us:
            continue
        if p.guards[g, GUARD_IMMEDIATE] and p.run[run, at + LAST_EVENT] != p.slots[slot, KEY_EVENTS] - 1:
            continue
        if is_true(p, m, p.guards[g], view(p, slot, run, region, edge, mark, p.guards[g]), row):
            found |= ONE << g
    return found


@inline
def end_edge(p: Paths, run: int) -> int:
    """The edge to the end from where the pattern stands, -1 for none."""
    at = region_at(p, MAIN)
    edge = p.stages[p.run[run, at + POSITION], EDGE_FROM]
    return edge if p.edges[edge, KIND] == END else np.int64(-1)


@inline
def bar_end(p: Paths, run: int) -> None:
    """No deadline is left when a guard has fit that stands before the end."""
    at = region_at(p, MAIN)
    edge = end_edge(p, run)
    if edge >= 0 and p.run[run, at + COMPLETE] == 1:
        last = source(p, MAIN, p.run[run, at + LEFT_OUT])
        if p.run[run, last + BARRED] & p.edges[edge, MASK]:
            p.run[run, DUE] = NEVER


@jit
def settle_end(p: Paths, slot: int, run: int, now_us: int) -> None:
    """After a capture: whether the run is complete, and else when it will be if no event comes."""
    at = region_at(p, MAIN)
    p.run[run, DUE] = NEVER
    horizon = p.run[run, START_TIME] + p.plan[WITHIN] if p.plan[WITHIN] >= 0 else np.int64(NEVER)
    if p.run[run, at + COMPLETE] == 1:
        edge = end_edge(p, run)
        due = p.run[run, at + END_TIME] + p.edges[edge, GAP] if p.edges[edge, GAP] >= 0 else np.int64(DONE)
        if p.edges[edge, IMMEDIATE]:
            due = max(due, horizon)
        if due <= horizon:
            p.run[run, DUE] = due
        bar_end(p, run)
        if p.run[run, DUE] <= now_us:  # what was left out has waited for longer than the guards ask
            p.run[run, DUE] = DONE
    soonest = min(p.run[run, DUE], horizon, now_us + p.plan[LONGEST_US])
    p.slots[slot, SOONEST] = min(p.slots[slot, SOONEST], soonest)


@inline
def in_time(p: Paths, run: int, edge: int, region: int, at: int, upcoming: int, now_us: int) -> bool:
    """Whether an edge's gap is not over, and the event number `upcoming` is the very next where that is asked."""
    last = p.run[run, at + LAST_EVENT]
    if p.edges[edge, IMMEDIATE] and last != upcoming - 1 and last != NO_EVENT:
        return False
    if p.edges[edge, GAP] < 0:
        return True
    since = region_at(p, region) + PREVIOUS_TIME if p.edges[edge, KIND] == LOOP else at + LAST_TIME
    return now_us < p.run[run, since] + p.edges[edge, GAP]


@jit
def choose(p: Paths, m: Machine, slot: int, run: int, bits: int, row: int, now_us: int, loops_only: int) -> bool:
    """Find the move that the event makes; see `found`. A move that is barred leaves none but moves on, no loops."""
    barred = loops_only == 1 and p.found[FOUND_BARRED] == 1
    p.found[FOUND_BARRED] = 1 if barred else 0
    for r in range(p.regions.shape[0]):
        if p.live[r] == 0:
            continue
        stage = p.run[run, region_at(p, r) + POSITION]
        first, last = p.regions[r, BEGIN_FROM], p.regions[r, BEGIN_TO]
        if stage >= 0:
            first, last = p.stages[stage, EDGE_FROM], p.stages[stage, EDGE_TO]
            if not bits & p.stages[stage, EDGE_BITS]:
                continue
            climb(p, run, r)
        for edge in range(first, last):
            loop = p.edges[edge, KIND] == LOOP
            if p.edges[edge, KIND] == END or (loops_only == 1 and not loop) or (barred and loop):
                continue
            if not bits & p.stages[p.edges[edge, TARGET], BIT]:
                continue
            if stage >= 0 and not is_usable(p, run, r, edge):
                continue
            mark = mark_of(p, edge) if stage >= 0 else np.int64(-1)
            at = source(p, r, mark)
            if not in_time(p, run, edge, r, at, p.slots[slot, KEY_EVENTS], now_us):
                continue
            target = p.stages[p.edges[edge, TARGET]]
            seen = view(p, slot, run, r, edge, mark, target) if stage >= 0 else run
            if not is_true(p, m, target, seen, row):
                continue
            if not loop and p.run[run, at + BARRED] & p.edges[edge, MASK]:
                barred = True
                p.found[FOUND_BARRED] = 1
                continue
            p.found[FOUND_EDGE], p.found[FOUND_REGION], p.found[FOUND_MARK] = edge, r, mark
            return True
    return False


@jit
def has_hope(p: Paths, slot: int, run: int, upcoming: int, now_us: int) -> bool:
    """Whether a move may still lead on, if the event number `upcoming` of the key is the next. From the inside out.

    hope: a move of the region leads on, now or after what it may capture where it stands; stir: it may capture at all.
    """
    look(p, run)
    for r in range(p.regions.shape[0] - 1, -1, -1):
        p.hope[r] = p.stir[r] = 0
        if p.live[r] == 0:
            continue
        stage = p.run[run, region_at(p, r) + POSITION]
        if stage < 0:
            for edge in range(p.regions[r, BEGIN_FROM], p.regions[r, BEGIN_TO]):
                if in_time(p, run, edge, r, region_at(p, r), upcoming, now_us):
                    p.hope[r] = p.stir[r] = 1
            continue
        climb(p, run, r)
        able, lively = stirring(p, run, r, upcoming, now_us)
        if p.open[0] == 0 and (able >= p.stages[stage, LEAST] if stage >= p.plan[STEPS] else lively):
            p.hope[r] = 1
        for edge in range(p.stages[stage, EDGE_FROM], p.stages[stage, EDGE_TO]):
            if p.edges[edge, KIND] == LOOP or not is_usable(p, run, r, edge):
                continue
            mark = mark_of(p, edge)
            at = source(p, r, mark)
            if p.run[run, at + BARRED] & p.edges[edge, MASK]:
                continue
            waits = p.edges[edge, KIND] == END or (lively and mark < 0)
            if waits or in_time(p, run, edge, r, at, upcoming, now_us):
                p.hope[r] = 1
        p.stir[r] = 1 if lively or p.hope[r] == 1 else 0
    return p.hope[0] == 1


@jit
def stirring(p: Paths, run: int, region: int, upcoming: int, now_us: int) -> tuple[int, bool]:
    """Of a choice: how many branches are or may become complete. And whether more can be captured where it stands."""
    stage = p.run[run, region_at(p, region) + POSITION]
    if stage < p.plan[STEPS]:
        edge = p.stages[stage, EDGE_TO] - 1
        loops = edge >= p.stages[stage, EDGE_FROM] and p.edges[edge, KIND] == LOOP and is_usable(p, run, region, edge)
        return np.int64(0), loops and in_time(p, run, edge, region, region_at(p, region), upcoming, now_us)
    able, lively = np.int64(0), False
    for r in range(region + 1, p.regions.shape[0]):
        if p.regions[r, PARENT] == region and p.live[r] == 1:
            complete = p.run[run, region_at(p, r) + COMPLETE] == 1
            if complete or p.hope[r] == 1:
                able += 1
            if complete and p.stir[r] == 1 and is_ready(p, run, region):
                lively = True
    return able, lively


@kernel
def awaited(p: Paths, slot: int, run: int, now_us: int) -> int:
    """The steps that a run waits for, one bit each, and behind them one for the end."""
    found, upcoming = np.int64(0), p.slots[slot, KEY_EVENTS]
    look(p, run)
    for r in range(p.regions.shape[0]):
        if p.live[r] == 0:
            continue
        stage = p.run[run, region_at(p, r) + POSITION]
        first, last = p.regions[r, BEGIN_FROM], p.regions[r, BEGIN_TO]
        if stage >= 0:
            first, last = p.stages[stage, EDGE_FROM], p.stages[stage, EDGE_TO]
            climb(p, run, r)
        for edge in range(first, last):
            kind, mark = p.edges[edge, KIND], mark_of(p, edge) if stage >= 0 else np.int64(-1)
            at = source(p, r, mark)
            if stage >= 0 and (not is_usable(p, run, r, edge) or (kind == LOOP and p.open[0] == 1)):
                continue
            if p.run[run, at + BARRED] & p.edges[edge, MASK]:
                continue
            if kind == END:
                found |= ONE << p.plan[STEPS]
            elif in_time(p, run, edge, r, at, upcoming, now_us):
                found |= ONE << p.edges[edge, TARGET]
    return found
