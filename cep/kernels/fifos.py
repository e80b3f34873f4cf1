"""Where the runs of a chain stand: one FIFO per stage, one log per loop, in few cache lines for each key.

All runs of a loop share its log: what a run has captured is a range of it. Runs stand in every FIFO in order of start,
and deeper stages hold the older ones. `chain` has the laws; the stage table is laid out by `engine.sequences`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit
from cep.kernels.ahead import fetch
from cep.kernels.keys import NEVER

Ints = npt.NDArray[np.int64]

# Columns of Chain.stages. A window of -1 is none, a stage of -1 too.
STEP, OPEN, LEAST, MOST, SELF_BIT, SELF_GAP = range(6)
NEXT, NEXT_BIT, NEXT_GAP, NEXT_IMMEDIATE = range(6, 10)
FULL, GUARD_FROM, GUARD_TO, AGE_US, AGE_EVENT, AGE_STAGE, LAST_STEP = range(10, 17)
STAGE_COLUMNS = 17

# Columns of Chain.guards and Chain.leading.
BIT, WINDOW, IMMEDIATE = range(3)

# Places in Chain.plan. TRAILING: whether a match waits for a deadline, which is the later of last + TRAILING_US and,
# with TRAILING_HORIZON, the end of the horizon.
# LOOPS: whether any step is one. LOGS, SEEN: columns of Chain.slots.
WITHIN, EACH, STEPS, TRAILING, TRAILING_US, TRAILING_HORIZON, LOOPS, LOGS, SEEN = range(9)

# Columns of Chain.slots: how many events the key has had, how many runs and events of loops it holds, then head and
# tail of each stage's FIFO, from LOGS on head, tail and length of each step's log, and from SEEN on for each leading
# guard the time of the last event that fits it.
EVENTS, SLOT_RUNS, SLOT_NODES, HEAD, TAIL = range(5)
LOG_HEAD, LOG_TAIL, LOG_LENGTH = range(3)

# Columns of Chain.run; from REF on two for each step: its event's ordinal (a loop: its first node) and how many.
START, START_TIME, LAST_TIME, LAST_EVENT, PREVIOUS_TIME, AFTER, REF = range(7)

# Columns of Chain.node.
ORDINAL, TIME, POSITION, KEY_EVENT, NODE_AFTER = range(5)
NODE_COLUMNS = 5

EACH_REFERENCES_MAX = 64  # of one step in one match, with `match each`: overlapping loops would else cost their square

# Places in Chain.count.
RUNS, RUN_TOP, RUN_FREE, NODES, NODE_TOP, NODE_FREE = range(6)


class Chain(NamedTuple):
    """stages, guards, leading, plan, loop (whether a step is one): tables. slots: one row for each key.

    run, node: the pools of runs and of the events of loops.
    """

    stages: Ints
    guards: Ints
    leading: Ints
    plan: Ints
    loop: Ints
    slots: Ints
    run: Ints
    node: Ints
    count: Ints


@jit
def clear(c: Chain, slot: int) -> None:
    """Make a fresh slot empty."""
    for s in range(c.stages.shape[0]):
        c.slots[slot, HEAD + 2 * s] = -1
        c.slots[slot, TAIL + 2 * s] = -1
    for k in range(c.plan[STEPS]):
        c.slots[slot, c.plan[LOGS] + 3 * k + LOG_HEAD] = -1
        c.slots[slot, c.plan[LOGS] + 3 * k + LOG_TAIL] = -1
        c.slots[slot, c.plan[LOGS] + 3 * k + LOG_LENGTH] = 0
    for g in range(c.leading.shape[0]):
        c.slots[slot, c.plan[SEEN] + g] = -NEVER
    c.slots[slot, EVENTS] = 0
    c.slots[slot, SLOT_RUNS] = 0
    c.slots[slot, SLOT_NODES] = 0


@inline
def new_run(c: Chain, slot: int) -> int:
    """A run from the pool."""
    run = c.count[RUN_FREE]
    if run >= 0:
        c.count[RUN_FREE] = c.run[run, AFTER]
        fetch(c.run, c.count[RUN_FREE], 0)  # the next one to be taken
    else:
        run = c.count[RUN_TOP]
        c.count[RUN_TOP] += 1
    c.count[RUNS] += 1
    c.slots[slot, SLOT_RUNS] += 1
    return run


@inline
def free_run(c: Chain, slot: int, run: int) -> None:
    """Give a run back."""
    c.run[run, START] = -1
    c.run[run, AFTER] = c.count[RUN_FREE]
    c.count[RUN_FREE] = run
    c.count[RUNS] -= 1
    c.slots[slot, SLOT_RUNS] -= 1


@inline
def push(c: Chain, slot: int, s: int, run: int) -> None:
    """Append a run to a stage's FIFO."""
    c.run[run, AFTER] = -1
    if c.slots[slot, TAIL + 2 * s] >= 0:
        c.run[c.slots[slot, TAIL + 2 * s], AFTER] = run
    else:
        c.slots[slot, HEAD + 2 * s] = run
    c.slots[slot, TAIL + 2 * s] = run


@inline
def pop(c: Chain, slot: int, s: int) -> int:
    """Take the oldest run out of a stage's FIFO."""
    run = c.slots[slot, HEAD + 2 * s]
    c.slots[slot, HEAD + 2 * s] = c.run[run, AFTER]
    fetch(c.run, c.run[run, AFTER], 0)
    if c.run[run, AFTER] < 0:
        c.slots[slot, TAIL + 2 * s] = -1
    return np.int64(run)


@inline
def log(c: Chain, slot: int, k: int, ordinal: int, now_us: int) -> int:
    """The log's node for this event: appended once, however many runs take it."""
    last = np.int64(c.slots[slot, c.plan[LOGS] + 3 * k + LOG_TAIL])
    if last >= 0 and c.node[last, ORDINAL] == ordinal:
        return last
    node = c.count[NODE_FREE]
    if node >= 0:
        c.count[NODE_FREE] = c.node[node, NODE_AFTER]
    else:
        node = c.count[NODE_TOP]
        c.count[NODE_TOP] += 1
    c.count[NODES] += 1
    c.slots[slot, SLOT_NODES] += 1
    c.node[node, ORDINAL] = ordinal
    c.node[node, TIME] = now_us
    c.node[node, POSITION] = c.slots[slot, c.plan[LOGS] + 3 * k + LOG_LENGTH]
    c.node[node, KEY_EVENT] = c.slots[slot, EVENTS]
    c.slots[slot, c.plan[LOGS] + 3 * k + LOG_LENGTH] += 1
    c.node[node, NODE_AFTER] = -1
    if last >= 0:
        c.node[last, NODE_AFTER] = node
    else:
        c.slots[slot, c.plan[LOGS] + 3 * k + LOG_HEAD] = node
    c.slots[slot, c.plan[LOGS] + 3 * k + LOG_TAIL] = node
    return node


@inline
def forget_log(c: Chain, slot: int) -> None:
    """Free the events of loops that no run refers to: those before the first event of the oldest run in the loop."""
    for k in range(c.plan[STEPS]):
        oldest = np.int64(-1)
        s = c.stages.shape[0] - 1
        while s >= 0 and c.stages[s, STEP] >= k:
            if c.slots[slot, HEAD + 2 * s] >= 0:
                oldest = c.run[c.slots[slot, HEAD + 2 * s], REF + 2 * k]
                break
            s -= 1
        while (
            c.slots[slot, c.plan[LOGS] + 3 * k + LOG_HEAD] >= 0
            and c.slots[slot, c.plan[LOGS] + 3 * k + LOG_HEAD] != oldest
        ):
            node = c.slots[slot, c.plan[LOGS] + 3 * k + LOG_HEAD]
            c.slots[slot, c.plan[LOGS] + 3 * k + LOG_HEAD] = c.node[node, NODE_AFTER]
            c.node[node, ORDINAL] = -1
            c.node[node, NODE_AFTER] = c.count[NODE_FREE]
            c.count[NODE_FREE] = node
            c.count[NODES] -= 1
            c.slots[slot, SLOT_NODES] -= 1
        if c.slots[slot, c.plan[LOGS] + 3 * k + LOG_HEAD] < 0:
            c.slots[slot, c.plan[LOGS] + 3 * k + LOG_TAIL] = -1


@inline
def taken(c: Chain, slot: int, s: int, run: int) -> int:
    """How many events the run has captured in the open loop that it is in."""
    k = c.stages[s, STEP]
    return c.slots[slot, c.plan[LOGS] + 3 * k + LOG_LENGTH] - c.node[c.run[run, REF + 2 * k], POSITION]


@inline
def ready(c: Chain, slot: int, s: int, run: int) -> bool:
    """Whether the run may go on from stage s."""
    return c.stages[s, OPEN] == 0 or taken(c, slot, s, run) >= c.stages[s, LEAST]


@inline
def close(c: Chain, slot: int, s: int, run: int) -> None:
    """Note what the run has captured in the open loop that it leaves."""
    k = c.stages[s, STEP]
    last = c.slots[slot, c.plan[LOGS] + 3 * k + LOG_TAIL]
    c.run[run, REF + 2 * k + 1] = taken(c, slot, s, run)
    c.run[run, LAST_TIME] = c.node[last, TIME]
    c.run[run, LAST_EVENT] = c.node[last, KEY_EVENT]


@inline
def last_time(c: Chain, slot: int, s: int, run: int) -> int:
    """The time of the last event that the run captured."""
    if c.stages[s, OPEN]:
        return c.node[c.slots[slot, c.plan[LOGS] + 3 * (c.stages[s, STEP]) + LOG_TAIL], TIME]
    return c.run[run, LAST_TIME]


@inline
def ends_at(c: Chain, slot: int, s: int, run: int) -> int:
    """The instant from which the run can do nothing more; NEVER when no window bounds it."""
    end = np.int64(NEVER)
    if c.plan[WITHIN] >= 0:
        end = c.run[run, START_TIME] + c.plan[WITHIN]
    if c.stages[s, OPEN] == 0 and c.stages[s, NEXT_GAP] >= 0:
        end = min(end, c.run[run, LAST_TIME] + c.stages[s, NEXT_GAP])
    return end


@inline
def deadline(c: Chain, slot: int, s: int, run: int) -> int:
    """When the run completes if no trailing guard ends it; NEVER if it is not waiting for that."""
    if c.plan[TRAILING] == 0 or c.stages[s, LAST_STEP] == 0 or not ready(c, slot, s, run):
        return np.int64(NEVER)
    due = np.int64(-NEVER)
    if c.plan[TRAILING_US] >= 0:
        due = last_time(c, slot, s, run) + c.plan[TRAILING_US]
    if c.plan[TRAILING_HORIZON]:
        due = max(due, c.run[run, START_TIME] + c.plan[WITHIN])
    if c.plan[WITHIN] >= 0 and due > c.run[run, START_TIME] + c.plan[WITHIN]:
        return np.int64(NEVER)
    return due
