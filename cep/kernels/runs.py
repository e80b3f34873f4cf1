"""Runs that are asked one by one: where they stand, what they have captured, and the words that filters read of them.

A key's runs stand side by side in one block, in order of start, so that offering them an event is a walk through
adjacent memory; blocks hold 4, 8, 16 … runs and are reused by size. A run has the event that each single step captured
in its row; what a loop has captured is a list, newest first.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit
from cep.kernels.keys import NEVER
from cep.layout.columns import NULL
from cep.layout.patterns import Capture

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Links = npt.NDArray[np.int32]

# Columns of Probe.steps and Probe.guards; -1 is none. COMPARE_*: the rows of Probe.compares.
BIT, LEAST, MOST, IMMEDIATE, WINDOW, CODE, GUARD_FROM, GUARD_TO, COMPARE_FROM, COMPARE_TO = range(10)
STEP_COLUMNS = 10

# Columns of Probe.compares: an opcode, a word of the run, a column of the event, and whether the run stands first.
OPERATION, RUN_WORD, COLUMN, FLIPPED = range(4)

# Places in Probe.plan. LOOPS: whether any step is one. PLAIN: single steps, `then` and the header's horizon are all
# there is, so that an event that does not fit the next step leaves a run as it is. REFS: the column of Probe.run where
# the steps' captured events begin.
WITHIN, POLICY, STEPS, TRAILING, TRAILING_US, TRAILING_HORIZON, MAX_STARTS, LEADING, LOOPS, REFS, PLAIN = range(11)
FIRST_POLICY, EACH_POLICY, LAST_POLICY, ALL_POLICY = range(4)

# Columns of Probe.slots: where a key's block begins, its capacity, the place of the first run in it, how many runs,
# how many events of loops, how many events the key has had, and when something next ends or fires. Then, for each
# leading guard, the time of the last event that fits it.
BLOCK, CAPACITY, BEGIN, RUNS, NODES, KEY_EVENTS, SOONEST, SEEN = range(8)

# Columns of Probe.run, then the words that filters read, then for each step its event (a loop: its newest node).
START, START_TIME, STEP, COUNT, LAST_TIME, LAST_EVENT, PREVIOUS_TIME, WORD = range(8)

# Columns of Probe.captures and Probe.node.
OF_STEP, WHAT, SLOT = range(3)
ORDINAL, NODE_WORD = range(2)  # then the words of DISTINCT captures, in the order of the captures

# Places in Probe.count; from FREE_BLOCKS on the first free block of each size.
ALL_RUNS, RUN_TOP, ALL_NODES, NODE_TOP, NODE_FREE, DROPPED, FREE_BLOCKS = range(7)
SMALLEST_BLOCK = 4
BLOCK_SIZES = 26

CAP_FIRST, CAP_LAST, CAP_COUNT = int(Capture.FIRST), int(Capture.LAST), int(Capture.COUNT)
CAP_SUM_I, CAP_SUM_F = int(Capture.SUM_I), int(Capture.SUM_F)
CAP_MIN_I, CAP_MAX_I = int(Capture.MIN_I), int(Capture.MAX_I)
CAP_MIN_F, CAP_MAX_F = int(Capture.MIN_F), int(Capture.MAX_F)
CAP_COUNT_I, CAP_COUNT_F = int(Capture.COUNT_I), int(Capture.COUNT_F)
CAP_DISTINCT_I, CAP_DISTINCT_F = int(Capture.DISTINCT_I), int(Capture.DISTINCT_F)
FIRST_VALUE_I, FIRST_VALUE_F = int(Capture.FIRST_VALUE_I), int(Capture.FIRST_VALUE_F)
LAST_VALUE_I, LAST_VALUE_F = int(Capture.LAST_VALUE_I), int(Capture.LAST_VALUE_F)


class Probe(NamedTuple):
    """steps, guards, compares, captures, plan: tables; guards of step j before those of j + 1, trailing ones last.

    places: scratch, one for each place a run can wait at. initial: the words of a run that has captured nothing.
    slots: (slots, SEEN + leading guards). run: the blocks; run_real is its float view. loop: whether a
    step is one. node, node_after: the events that loops have captured.
    """

    steps: Ints
    guards: Ints
    compares: Ints
    captures: Ints
    plan: Ints
    loop: Ints
    places: Ints
    initial: Ints
    initial_real: Floats
    slots: Ints
    run: Ints
    run_real: Floats
    node: Ints
    node_after: Links
    count: Ints


class Pool(Protocol):
    """What blocks of runs need: slots with the columns from BLOCK to RUNS, rows of runs, and counts."""

    @property
    def slots(self) -> Ints:
        """For each key where its block is."""

    @property
    def run(self) -> Ints:
        """The blocks."""

    @property
    def count(self) -> Ints:
        """How much is used."""


class Comparing(Protocol):
    """What the look-back of a filter needs."""

    @property
    def compares(self) -> Ints:
        """The comparisons, a row each."""


class Machine(NamedTuple):
    """What filters need: the program's code and constants, the batch's columns, and scratch for the evaluator."""

    code: Ints
    consts: Ints
    words: Ints
    words_real: Floats
    stack: Ints
    real: Floats


@jit
def clear(p: Probe, slot: int) -> None:
    """Make a fresh slot empty."""
    for column in range(SEEN):
        p.slots[slot, column] = 0
    p.slots[slot, SOONEST] = NEVER
    for g in range(p.plan[LEADING]):
        p.slots[slot, SEEN + g] = -NEVER


@jit
def size_class(capacity: int) -> int:
    """The number of a block size."""
    size = 0
    while SMALLEST_BLOCK << size < capacity:
        size += 1
    return size


@jit
def take_block(p: Pool, capacity: int) -> int:
    """A block for so many runs. The caller has made sure that there is room."""
    free = FREE_BLOCKS + size_class(capacity)
    block = p.count[free]
    if block >= 0:
        p.count[free] = p.run[block, 0]
        return block
    block = p.count[RUN_TOP]
    p.count[RUN_TOP] += capacity
    return block


@jit
def give_block(p: Pool, slot: int) -> None:
    """Give a slot's block back; its rows are marked as holding no run."""
    block, capacity = p.slots[slot, BLOCK], p.slots[slot, CAPACITY]
    if capacity == 0:
        return
    free = FREE_BLOCKS + size_class(capacity)
    p.run[block, 0] = p.count[free]
    p.count[free] = block
    p.slots[slot, CAPACITY] = 0


@inline
def move(p: Pool, source: int, target: int, rows: int) -> None:
    """Move runs to another place, which may overlap from below."""
    if source == target:
        return
    for i in range(rows):
        for column in range(p.run.shape[1]):
            p.run[target + i, column] = p.run[source + i, column]


@inline
def first_run(p: Pool, slot: int) -> int:
    """The row of the slot's oldest run."""
    return p.slots[slot, BLOCK] + p.slots[slot, BEGIN]


@jit
def reserve(p: Pool, slot: int, runs: int) -> None:
    """Make the slot's block long enough for so many runs. The caller has made sure that there is room."""
    state = p.slots[slot]
    if state[BEGIN] + runs <= state[CAPACITY]:
        return
    first = first_run(p, slot)
    if runs <= state[CAPACITY] and 2 * state[BEGIN] >= state[CAPACITY]:
        move(p, first, state[BLOCK], state[RUNS])
    else:
        capacity = np.int64(SMALLEST_BLOCK)
        while capacity < runs or capacity < 2 * state[CAPACITY]:
            capacity *= 2
        block = take_block(p, capacity)
        move(p, first, block, state[RUNS])
        give_block(p, slot)
        state[BLOCK], state[CAPACITY] = block, capacity
    state[BEGIN] = 0


@inline
def new_run(p: Pool, slot: int) -> int:
    """A row behind the slot's runs."""
    state = p.slots[slot]
    if state[BEGIN] + state[RUNS] == state[CAPACITY]:
        reserve(p, slot, state[RUNS] + 1)
    state[RUNS] += 1
    p.count[ALL_RUNS] += 1
    return state[BLOCK] + state[BEGIN] + state[RUNS] - 1


@inline
def copy_run(p: Probe, source: int, target: int) -> None:
    """Make row `target` a run that has captured what `source` has. Only runs without loops are copied."""
    for column in range(p.run.shape[1]):
        p.run[target, column] = p.run[source, column]


@inline
def new_node(p: Probe, slot: int) -> int:
    """A captured event from the pool."""
    node = p.count[NODE_FREE]
    if node >= 0:
        p.count[NODE_FREE] = p.node_after[node]
    else:
        node = p.count[NODE_TOP]
        p.count[NODE_TOP] += 1
    p.count[ALL_NODES] += 1
    p.slots[slot, NODES] += 1
    return node


@inline
def free_captures(p: Probe, slot: int, run: int) -> None:
    """Give back the lists of what a run's loops have captured."""
    if p.plan[LOOPS] == 0:
        return
    for k in range(p.plan[STEPS]):
        node = p.run[run, p.plan[REFS] + k] if p.loop[k] else np.int64(-1)
        while node >= 0:
            previous = np.int64(p.node_after[node])
            p.node[node, ORDINAL] = -1
            p.node_after[node] = p.count[NODE_FREE]
            p.count[NODE_FREE] = node
            p.count[ALL_NODES] -= 1
            p.slots[slot, NODES] -= 1
            node = previous


@inline
def last_ordinal(p: Probe, run: int) -> int:
    """The event that the run captured last."""
    step = p.run[run, STEP]
    ref = p.run[run, p.plan[REFS] + step]
    return p.node[ref, ORDINAL] if p.loop[step] else ref


@inline
def drop_first(p: Probe, slot: int) -> None:
    """Drop the slot's oldest run."""
    free_captures(p, slot, first_run(p, slot))
    p.slots[slot, BEGIN] += 1
    set_runs(p, slot, p.slots[slot, RUNS] - 1)


@inline
def set_runs(p: Pool, slot: int, runs: int) -> None:
    """Note how many runs the slot holds now; an empty block begins anew."""
    p.count[ALL_RUNS] += runs - p.slots[slot, RUNS]
    p.slots[slot, RUNS] = runs
    if runs == 0:
        p.slots[slot, BEGIN] = 0


@jit
def drop_started_by(p: Probe, slot: int, ordinal: int) -> None:
    """Drop every run that began at or before the event `ordinal`: the oldest ones."""
    while p.slots[slot, RUNS] > 0 and p.run[first_run(p, slot), START] <= ordinal:
        drop_first(p, slot)


@jit
def drop_one(p: Probe, slot: int, run: int) -> None:
    """Drop one run; those behind it move up."""
    free_captures(p, slot, run)
    end = first_run(p, slot) + p.slots[slot, RUNS]
    move(p, run + 1, run, end - run - 1)
    set_runs(p, slot, p.slots[slot, RUNS] - 1)


@jit
def distinct(p: Probe, m: Machine, run: int, w: int, row: int) -> int:
    """How many different values the run has captured for DISTINCT word w, the event of `row` just captured included."""
    null = m.words[p.captures[w, SLOT], row] == NULL
    if p.captures[w, WHAT] == CAP_DISTINCT_F:
        null = np.isnan(m.words_real[p.captures[w, SLOT], row])
    step, column = p.captures[w, OF_STEP], NODE_WORD + w
    if p.loop[step] == 0:
        return 0 if null else 1
    word = m.words[p.captures[w, SLOT], row]
    newest = p.run[run, p.plan[REFS] + step]
    p.node[newest, column] = word
    node = np.int64(p.node_after[newest])
    while node >= 0 and not null:
        if p.node[node, column] == word:
            return 0
        node = np.int64(p.node_after[node])
    return 0 if null else 1


@inline
def remember(p: Probe, m: Machine, run: int, step: int, row: int, first: bool) -> None:
    """Update the words that later filters read with the event just captured."""
    for w in range(p.captures.shape[0]):
        if p.captures[w, OF_STEP] != step:
            continue
        what, at = p.captures[w, WHAT], WORD + w
        if what == CAP_COUNT:
            p.run[run, at] = p.run[run, COUNT]
            continue
        word = m.words[p.captures[w, SLOT], row]
        if what == CAP_LAST or (what == CAP_FIRST and first):
            p.run[run, at] = word
        elif what == CAP_SUM_I:
            p.run[run, at] = (0 if first else p.run[run, at]) + (0 if word == NULL else word)
        elif what == CAP_DISTINCT_I or what == CAP_DISTINCT_F:
            p.run[run, at] = (0 if first else p.run[run, at]) + distinct(p, m, run, w, row)
        elif what >= FIRST_VALUE_I:
            if first:
                p.run[run, at] = p.initial[w]
            held = p.run[run, at] != p.initial[w]
            real = m.words_real[p.captures[w, SLOT], row]
            null = word == NULL if what == FIRST_VALUE_I or what == LAST_VALUE_I else np.isnan(real)
            if not null and (what >= LAST_VALUE_I or not held):
                p.run[run, at] = word
        elif what == CAP_COUNT_I or what == CAP_COUNT_F:
            null = word == NULL if what == CAP_COUNT_I else np.isnan(m.words_real[p.captures[w, SLOT], row])
            p.run[run, at] = (0 if first else p.run[run, at]) + (0 if null else 1)
        elif what == CAP_MIN_I or what == CAP_MAX_I:
            old = NULL if first else p.run[run, at]
            if old == NULL or word == NULL:
                p.run[run, at] = word if old == NULL else old
            else:
                p.run[run, at] = min(old, word) if what == CAP_MIN_I else max(old, word)
        elif what != CAP_FIRST:
            real = m.words_real[p.captures[w, SLOT], row]
            old_real = p.run_real[run, at]
            if what == CAP_SUM_F:
                p.run_real[run, at] = (0.0 if first else old_real) + (0.0 if np.isnan(real) else real)
            elif first or np.isnan(old_real):
                p.run_real[run, at] = real
            elif not np.isnan(real):
                p.run_real[run, at] = min(old_real, real) if what == CAP_MIN_F else max(old_real, real)


@inline
def capture(p: Probe, m: Machine, slot: int, run: int, step: int, row: int, ordinal: int, now_us: int) -> None:
    """The run captures the event for `step`."""
    first = p.run[run, COUNT] == 0 or p.run[run, STEP] != step
    if first:
        p.run[run, PREVIOUS_TIME] = p.run[run, LAST_TIME]
        p.run[run, STEP] = step
        p.run[run, COUNT] = 0
    p.run[run, COUNT] += 1
    p.run[run, LAST_TIME] = now_us
    p.run[run, LAST_EVENT] = p.slots[slot, KEY_EVENTS]
    ref = p.plan[REFS] + step
    if p.loop[step]:
        node = new_node(p, slot)
        p.node[node, ORDINAL] = ordinal
        p.node_after[node] = p.run[run, ref]
        p.run[run, ref] = node
    else:
        p.run[run, ref] = ordinal
    remember(p, m, run, step, row, first)
    p.slots[slot, SOONEST] = min(p.slots[slot, SOONEST], ends_at(p, run), deadline(p, run))


@inline
def deadline(p: Probe, run: int) -> int:
    """When the run completes if no trailing guard ends it; NEVER if it is not waiting for that."""
    last = p.plan[STEPS] - 1
    if p.plan[TRAILING] == 0 or p.run[run, STEP] != last or p.run[run, COUNT] < p.steps[last, LEAST]:
        return np.int64(NEVER)
    due = np.int64(-NEVER)
    if p.plan[TRAILING_US] >= 0:
        due = p.run[run, LAST_TIME] + p.plan[TRAILING_US]
    if p.plan[TRAILING_HORIZON]:
        due = max(due, p.run[run, START_TIME] + p.plan[WITHIN])
    if p.plan[WITHIN] >= 0 and due > p.run[run, START_TIME] + p.plan[WITHIN]:
        return np.int64(NEVER)
    return due


@inline
def ends_at(p: Probe, run: int) -> int:
    """The instant from which the run can do nothing more; NEVER when no window bounds it."""
    end = np.int64(NEVER)
    if p.plan[WITHIN] >= 0:
        end = p.run[run, START_TIME] + p.plan[WITHIN]
    if p.plan[PLAIN]:
        return end
    step = p.run[run, STEP]
    full = p.steps[step, MOST] >= 0 and p.run[run, COUNT] >= p.steps[step, MOST]
    if full and step + 1 < p.plan[STEPS] and p.steps[step + 1, WINDOW] >= 0:
        end = min(end, p.run[run, LAST_TIME] + p.steps[step + 1, WINDOW])
    if not full and p.run[run, COUNT] < p.steps[step, LEAST] and step > 0 and p.steps[step, WINDOW] >= 0:
        end = min(end, p.run[run, PREVIOUS_TIME] + p.steps[step, WINDOW])
    if (
        not full
        and step > 0
        and step + 1 < p.plan[STEPS]
        and p.steps[step, WINDOW] >= 0
        and p.steps[step + 1, WINDOW] >= 0
    ):
        closed = p.run[run, PREVIOUS_TIME] + p.steps[step, WINDOW]
        end = min(end, max(closed, p.run[run, LAST_TIME] + p.steps[step + 1, WINDOW]))
    return end
