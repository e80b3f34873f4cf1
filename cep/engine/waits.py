"""What a key waits for, read off the state: for tests that expect a near miss, and only for them, so in plain Python.

The law is that of `PlanState.waiting_at`; the state is as the sweep up to `now_us` left it, and is not changed.
"""

from __future__ import annotations

import numpy as np

from cep.kernels import combinations as cmb
from cep.kernels import episodes as ek
from cep.kernels import fifos as fk
from cep.kernels import moves as mv
from cep.kernels import paths as pk
from cep.kernels import runs as rk


def _over(since_us: int, gap_us: int, now_us: int) -> bool:
    """Whether a gap (-1: none) that began at `since_us` is over."""
    return gap_us >= 0 and since_us + gap_us <= now_us


def of_chain(c: fk.Chain, slot: int, now_us: int, after: int = -1) -> set[int]:
    """The steps that those runs of a chain wait for that began after an event."""
    found = set()
    for s, stage in enumerate(c.stages.tolist()):
        k = stage[fk.STEP]
        tail = int(c.slots[slot, c.plan[fk.LOGS] + 3 * k + fk.LOG_TAIL])
        length = int(c.slots[slot, c.plan[fk.LOGS] + 3 * k + fk.LOG_LENGTH])
        run = int(c.slots[slot, fk.HEAD + 2 * s])
        while run >= 0:
            row = c.run[run].tolist()
            run = row[fk.AFTER]
            if row[fk.START] <= after or _over(row[fk.START_TIME], int(c.plan[fk.WITHIN]), now_us):
                continue
            grows = stage[fk.OPEN] and not _over(row[fk.PREVIOUS_TIME], stage[fk.SELF_GAP], now_us)
            count = length - int(c.node[row[fk.REF + 2 * k], fk.POSITION]) if stage[fk.OPEN] else stage[fk.LEAST]
            last_us = int(c.node[tail, fk.TIME]) if stage[fk.OPEN] else row[fk.LAST_TIME]
            if count < stage[fk.LEAST]:
                found |= {k} if grows else set()
            elif grows or not _over(last_us, stage[fk.NEXT_GAP], now_us):
                found.add(k + 1)
    return found


def of_probe(p: rk.Probe, slot: int, now_us: int) -> set[int]:
    """The steps that the runs of a probe wait for."""
    found = set()
    steps = p.steps.tolist()
    first = int(p.slots[slot, rk.BLOCK] + p.slots[slot, rk.BEGIN])
    for row in p.run[first : first + int(p.slots[slot, rk.RUNS])].tolist():
        if _over(row[rk.START_TIME], int(p.plan[rk.WITHIN]), now_us):
            continue
        k, count = row[rk.STEP], row[rk.COUNT]
        step = steps[k]
        gap_us = steps[k + 1][rk.WINDOW] if k + 1 < len(steps) else -1
        full = 0 <= step[rk.MOST] <= count
        grows = not full and not _over(row[rk.PREVIOUS_TIME], step[rk.WINDOW], now_us)
        if count < step[rk.LEAST]:
            found |= {k} if grows else set()
        elif grows or not _over(row[rk.LAST_TIME], gap_us, now_us):
            found.add(k + 1)
    return found


def of_graph(p: pk.Paths, slot: int, now_us: int) -> set[int]:
    """The steps that the runs of a graph wait for: where a move is open to, and a loop below its minimum."""
    found = 0
    first = int(p.slots[slot, rk.BLOCK] + p.slots[slot, rk.BEGIN])
    for run in range(first, first + int(p.slots[slot, rk.RUNS])):
        if not _over(int(p.run[run, pk.START_TIME]), int(p.plan[pk.WITHIN]), now_us):
            found |= int(mv.awaited(p, slot, run, now_us))
    return {step for step in range(int(p.plan[pk.STEPS]) + 1) if found >> step & 1}


def captured_by_graph(p: pk.Paths, slot: int) -> set[int]:
    """The positive steps that have captured something for a run of a graph."""
    first, refs = int(p.slots[slot, rk.BLOCK] + p.slots[slot, rk.BEGIN]), int(p.plan[pk.REFS])
    newest = p.run[first : first + int(p.slots[slot, rk.RUNS]), refs : refs + int(p.plan[pk.STEPS])]
    return set(np.flatnonzero((newest >= 0).any(axis=0)).tolist())


def of_combinations(c: cmb.Combinations, slot: int, now_us: int) -> set[int]:
    """The steps for which combinations wait, all of single events."""
    found = set()
    for s, stage in enumerate(c.stages.tolist()):
        at = cmb.FIRST_STAGE + cmb.SLOT_STAGE_COLUMNS * s
        node, barrier = int(c.slots[slot, at + cmb.HEAD]), int(c.slots[slot, at + cmb.BARRIER])
        while node >= 0:
            row = c.node[node].tolist()
            node = row[cmb.AFTER]
            missed = stage[cmb.NEXT_IMMEDIATE] and row[cmb.KEY_EVENT] != int(c.slots[slot, cmb.EVENTS]) - 1
            ended = missed or row[cmb.ORDINAL] <= barrier or _over(row[cmb.START_TIME], int(c.plan[cmb.WITHIN]), now_us)
            if not ended and not _over(row[cmb.TIME], stage[cmb.NEXT_GAP], now_us):
                found.add(s + 1)
    return found


def of_episodes(e: ek.Episodes, slot: int, now_us: int) -> set[int]:
    """{0} when an event of the key still counts and no episode is open or on its way."""
    state = e.state[slot].tolist()
    last_us = state[ek.SINCE] if state[ek.LAST_TIME] == ek.UNSEEN else state[ek.LAST_TIME]
    counts_us = int(e.plan[ek.FORGET] if len(e.latest) else e.plan[ek.LONGEST])
    return {0} if state[ek.PHASE] == ek.CLOSED and now_us < last_us + counts_us else set()
