"""Runs of a graph: where they stand, what they have captured, and how part of that is left out again.

A run stands at one stage in the pattern and, while that stage is a choice, at one in each branch begun: each of these
regions has its own words. What a step has captured is a list, newest first, whose nodes are counted, so that copies of
a run and the checkpoints in it share them. A group that may be left while an iteration is under way has a checkpoint:
the lists of its steps, and what its region's last event was, when the iteration began. The words that filters read are
kept up with each capture, and worked out anew from the lists when something has been left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit
from cep.kernels.keys import NEVER
from cep.kernels.runs import (
    CAP_COUNT,
    CAP_COUNT_F,
    CAP_COUNT_I,
    CAP_DISTINCT_F,
    CAP_DISTINCT_I,
    CAP_FIRST,
    CAP_LAST,
    CAP_MAX_F,
    CAP_MAX_I,
    CAP_MIN_F,
    CAP_MIN_I,
    CAP_SUM_F,
    CAP_SUM_I,
    FIRST_VALUE_F,
    FIRST_VALUE_I,
    LAST_VALUE_F,
    LAST_VALUE_I,
    NODES,
    STEP_COLUMNS,
    Machine,
)
from cep.layout.columns import NULL
from cep.layout.patterns import EdgeKind, Enter

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Links = npt.NDArray[np.int32]

# Columns of Paths.stages after those of a probe's steps. EDGE_BITS, GUARD_BITS: of all events that its edges and their
# guards are about.
REGION, TAIL, LEVEL_FROM, LEVEL_TO, EDGE_FROM, EDGE_TO, BEFORE_EACH, EDGE_BITS, GUARD_BITS = range(
    STEP_COLUMNS, STEP_COLUMNS + 9
)
STAGE_COLUMNS = STEP_COLUMNS + 9

# Columns of Paths.edges. MASK: the guards that it passes, one bit each. To the END: GAP is the longest window of its
# guards, and IMMEDIATE whether one of them lasts to the horizon.
KIND, LEVEL, TARGET, IMMEDIATE, GAP, EACH, MASK, PATH_FROM, PATH_TO = range(9)
FORWARD, AGAIN, LOOP, END = int(EdgeKind.FORWARD), int(EdgeKind.AGAIN), int(EdgeKind.LOOP), int(EdgeKind.END)
ENTER_GROUP, ENTER_ITERATION = int(Enter.GROUP), int(Enter.ITERATION)

# Columns of Paths.levels, Paths.regions, Paths.groups and Paths.saves (checkpoints; -1 is none).
GROUP, REST = range(2)
CHOICE, PARENT, BEGIN_FROM, BEGIN_TO, BRANCH_SAVE = range(5)
GROUP_LEAST, GROUP_MOST, OF_REGION, GROUP_SAVE = range(4)
SAVE_FROM, SAVE_TO, SAVE_AT = range(3)

# Columns of Paths.captures: of which step, what, from which column, in which word, and where nodes keep the value.
OF_STEP, WHAT, SLOT, OF_WORD, VALUE = range(5)

# Places in Paths.plan. REFS, REGIONS, GROUPS: where in a run the lists, the regions and the iterations begin. UNTIL:
# the stage that stands for it. LONGEST_US: no gap is longer.
(
    WITHIN,
    POLICY,
    STEPS,
    DEADLINES,
    MAX_STARTS,
    LEADING,
    REFS,
    REGIONS,
    GROUPS,
    FORKS,
    UNTIL,
    RESUME,
    RESUME_LAST,
    LONGEST_US,
) = range(14)

# Columns of Paths.run, then the words that filters read, the lists, the regions, the iterations, the checkpoints.
# DUE: when the run completes if no event comes; DONE of one that is complete.
START, START_TIME, START_STEP, DUE, WORD = range(5)
DONE = -NEVER
# The words of a region. The first three are what a checkpoint keeps of it, too. BARRED: guards that have fit since.
# PREVIOUS_*: the event before the stage. END_*: the last event, were the region left; LEFT_OUT: the checkpoint that it
# went back to then.
LAST_TIME, LAST_EVENT, BARRED, POSITION, COUNT, PREVIOUS_TIME, PREVIOUS_EVENT = range(7)
COMPLETE, END_TIME, END_EVENT, LEFT_OUT = range(7, 11)
REGION_WORDS = 11
SOURCE_WORDS = 3
# The time and number of an event before the first: from it no gap is ever over, and no link or guard counts.
AT_THE_START, NO_EVENT = NEVER // 2, -2

# Columns of Paths.node: USES counts lists and nodes that go on with it, LENGTH the events from here on.
ORDINAL, USES, LENGTH, NODE_VALUE = range(4)

# Whether what a row gives up and takes is counted, or the row is a mere view of a run.
VIEWED, COUNTED = np.int64(0), np.int64(1)
MAIN = np.int64(0)  # the region of the whole pattern

# Places in Paths.found: what `choose` found.
FOUND_EDGE, FOUND_REGION, FOUND_MARK, FOUND_BARRED = range(4)


class Paths(NamedTuple):
    """Tables as the columns above say; the pools of runs and nodes as in Probe, of which row 0 of run is scratch.

    compares: as in Probe. watched: the leading guards, (guard, window). guards: as in Probe; their place is their bit
    in masks. Scratch: open, mark and done for each level; live, hope and stir for each region; best for each word.
    """

    stages: Ints
    edges: Ints
    paths: Ints
    levels: Ints
    regions: Ints
    groups: Ints
    saves: Ints
    guards: Ints
    watched: Ints
    compares: Ints
    captures: Ints
    plan: Ints
    initial: Ints
    initial_real: Floats
    open: Ints
    mark: Ints
    done: Ints
    live: Ints
    hope: Ints
    stir: Ints
    best: Ints
    found: Ints
    slots: Ints
    run: Ints
    run_real: Floats
    node: Ints
    node_real: Floats
    node_after: Links
    count: Ints


# Places in Paths.count, as in Probe.count.
ALL_NODES, NODE_TOP, NODE_FREE = range(2, 5)


# ------------------------------------------------------------------------------------- lists


@inline
def retain(p: Paths, node: int) -> None:
    """One more list goes on with the node."""
    if node >= 0:
        p.node[node, USES] += 1


@jit
def release(p: Paths, slot: int, node: int) -> None:
    """One list less goes on with the node; nodes that nothing uses any more are given back."""
    while node >= 0:
        p.node[node, USES] -= 1
        if p.node[node, USES] > 0:
            return
        after = np.int64(p.node_after[node])
        p.node[node, ORDINAL] = -1
        p.node_after[node] = p.count[NODE_FREE]
        p.count[NODE_FREE] = node
        p.count[ALL_NODES] -= 1
        p.slots[slot, NODES] -= 1
        node = after


@jit
def push(p: Paths, slot: int, run: int, step: int, ordinal: int) -> int:
    """A new node before what the step has captured; it is not the head of the list yet."""
    node = p.count[NODE_FREE]
    if node >= 0:
        p.count[NODE_FREE] = p.node_after[node]
    else:
        node = p.count[NODE_TOP]
        p.count[NODE_TOP] += 1
    p.count[ALL_NODES] += 1
    p.slots[slot, NODES] += 1
    after = p.run[run, p.plan[REFS] + step]
    p.node[node, ORDINAL] = ordinal
    p.node[node, USES] = 1
    p.node[node, LENGTH] = 1 + (p.node[after, LENGTH] if after >= 0 else 0)
    p.node_after[node] = after
    return node


@jit
def captured(p: Paths, run: int) -> int:
    """How many events the run has captured."""
    total = np.int64(0)
    for k in range(p.plan[STEPS]):
        node = p.run[run, p.plan[REFS] + k]
        if node >= 0:
            total += p.node[node, LENGTH]
    return total


@jit
def free_lists(p: Paths, slot: int, run: int) -> None:
    """Give back everything that a run holds."""
    for k in range(p.plan[STEPS]):
        release(p, slot, p.run[run, p.plan[REFS] + k])
    for s in range(p.saves.shape[0]):
        area = p.saves[s, SAVE_AT] + SOURCE_WORDS
        for k in range(p.saves[s, SAVE_TO] - p.saves[s, SAVE_FROM]):
            release(p, slot, p.run[run, area + k])


@jit
def copy_run(p: Paths, source: int, target: int) -> None:
    """Make row `target` a run that has captured what `source` has."""
    for column in range(p.run.shape[1]):
        p.run[target, column] = p.run[source, column]
    for k in range(p.plan[STEPS]):
        retain(p, p.run[target, p.plan[REFS] + k])
    for s in range(p.saves.shape[0]):
        area = p.saves[s, SAVE_AT] + SOURCE_WORDS
        for k in range(p.saves[s, SAVE_TO] - p.saves[s, SAVE_FROM]):
            retain(p, p.run[target, area + k])


# ------------------------------------------------------------------------------------- words


@inline
def is_null(what: int, word: int, real: float) -> bool:
    """Whether a captured value is null, as the words that leave nulls out see it."""
    if what == CAP_COUNT_F or what == CAP_DISTINCT_F or what == FIRST_VALUE_F or what == LAST_VALUE_F:
        return np.isnan(real)
    if what == CAP_SUM_F or what == CAP_MIN_F or what == CAP_MAX_F:
        return np.isnan(real)
    return word == NULL


@jit
def is_new(p: Paths, run: int, w: int, word: int, ordinal: int) -> bool:
    """Whether no event captured before `ordinal` has the value in word w."""
    for i in range(p.captures.shape[0]):
        if p.captures[i, OF_WORD] != w:
            continue
        node = p.run[run, p.plan[REFS] + p.captures[i, OF_STEP]]
        while node >= 0:
            if p.node[node, ORDINAL] < ordinal and p.node[node, NODE_VALUE + p.captures[i, VALUE]] == word:
                return False
            node = np.int64(p.node_after[node])
    return True


@jit
def is_first(p: Paths, run: int, w: int) -> bool:
    """Whether nothing has been captured for word w."""
    for i in range(p.captures.shape[0]):
        if p.captures[i, OF_WORD] == w and p.run[run, p.plan[REFS] + p.captures[i, OF_STEP]] >= 0:
            return False
    return True


@jit
def fold(p: Paths, run: int, w: int, what: int, word: int, real: float, ordinal: int) -> None:
    """One more event for word w, whatever the order: all words but those of a first or last event."""
    at = WORD + w
    if what == CAP_COUNT:
        p.run[run, at] += 1
        return
    if is_null(what, word, real):
        return
    if what == CAP_SUM_I:
        p.run[run, at] += word
    elif what == CAP_SUM_F:
        p.run_real[run, at] += real
    elif what == CAP_COUNT_I or what == CAP_COUNT_F:
        p.run[run, at] += 1
    elif what == CAP_DISTINCT_I or what == CAP_DISTINCT_F:
        if is_new(p, run, w, word, ordinal):
            p.run[run, at] += 1
    elif what == CAP_MIN_I or what == CAP_MAX_I:
        old = p.run[run, at]
        p.run[run, at] = word if old == NULL else min(old, word) if what == CAP_MIN_I else max(old, word)
    else:
        held = p.run_real[run, at]
        p.run_real[run, at] = real if np.isnan(held) else min(held, real) if what == CAP_MIN_F else max(held, real)


@inline
def is_end(what: int) -> bool:
    """Whether a word is of the first or last of the captured events."""
    return what == CAP_FIRST or what == CAP_LAST or what >= FIRST_VALUE_I


@jit
def remember(p: Paths, m: Machine, run: int, step: int, row: int, ordinal: int, node: int) -> None:
    """Update the words that filters read with the event just captured in `node`, which is not yet in its list."""
    for i in range(p.captures.shape[0]):
        if p.captures[i, OF_STEP] != step:
            continue
        what, w = p.captures[i, WHAT], p.captures[i, OF_WORD]
        word, real = np.int64(0), 0.0
        if p.captures[i, SLOT] >= 0:
            word, real = m.words[p.captures[i, SLOT], row], m.words_real[p.captures[i, SLOT], row]
            p.node[node, NODE_VALUE + p.captures[i, VALUE]] = word
        if not is_end(what):
            fold(p, run, w, what, word, real, ordinal)
        elif what == CAP_LAST or (what == CAP_FIRST and is_first(p, run, w)):
            p.run[run, WORD + w] = word
        elif what >= FIRST_VALUE_I and not is_null(what, word, real):
            last = what == LAST_VALUE_I or what == LAST_VALUE_F
            if last or p.run[run, WORD + w] == p.initial[w]:
                p.run[run, WORD + w] = word


@jit
def recount(p: Paths, run: int) -> None:
    """The words of a run anew, from what it has captured."""
    for w in range(len(p.initial)):
        p.run[run, WORD + w] = p.initial[w]
        p.best[w] = -1
    for i in range(p.captures.shape[0]):
        what, w, column = p.captures[i, WHAT], p.captures[i, OF_WORD], NODE_VALUE + p.captures[i, VALUE]
        earliest = what == CAP_FIRST or what == FIRST_VALUE_I or what == FIRST_VALUE_F
        node = p.run[run, p.plan[REFS] + p.captures[i, OF_STEP]]
        while node >= 0:
            ordinal, word, real = p.node[node, ORDINAL], p.node[node, column], p.node_real[node, column]
            if not is_end(what):
                fold(p, run, w, what, word, real, ordinal)
            elif what == CAP_FIRST or what == CAP_LAST or not is_null(what, word, real):
                best = p.best[w]
                if best < 0 or (ordinal < best if earliest else ordinal > best):
                    p.best[w] = ordinal
                    p.run[run, WORD + w] = word
            node = np.int64(p.node_after[node])
