"""Sequences in which a filter looks back: each waiting run is asked by itself, oldest first.

A key's runs stand in one list in order of start; at most `max` wait (the oldest is dropped and counted). A run carries
the words of what it has captured that a later filter reads, and a list of the captured events, newest first. The laws
are those of docs/semantics.md, which this kernel follows line by line; `chain` is the fast form for rules without
look-back, and both are held equal to the oracle.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import jit
from cep.kernels.keys import LIVE, NEVER, KeySpace, find, hash_of, insert, next_due, remove, schedule
from cep.kernels.machine import evaluate
from cep.kernels.matches import DEADLINE, EVENT, REFERENCES, ROWS, Matches, begin
from cep.layout import NULL, Capture

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Links = npt.NDArray[np.int32]

# Columns of Probe.steps and Probe.guards; -1 is none.
BIT, LEAST, MOST, IMMEDIATE, WINDOW, CODE, GUARD_FROM, GUARD_TO = range(8)
STEP_COLUMNS = 8

# Places in Probe.plan.
WITHIN, POLICY, STEPS, TRAILING, TRAILING_US, TRAILING_HORIZON, MAX_STARTS, LEADING = range(8)
FIRST_POLICY, EACH_POLICY, LAST_POLICY = range(3)

# Columns of Probe.run, then the words that filters read.
START, START_TIME, STEP, COUNT, LAST_TIME, LAST_EVENT, PREVIOUS_TIME, NODE, EVENTS, WORD = range(10)

# Columns of Probe.captures and Probe.node.
OF_STEP, WHAT, SLOT = range(3)
ORDINAL, NODE_STEP, NODE_WORD = range(3)  # then the words of DISTINCT captures, in the order of the captures

# Places in Probe.count.
RUNS, RUN_TOP, RUN_FREE, NODES, NODE_TOP, NODE_FREE, DROPPED = range(7)

CAP_FIRST, CAP_LAST, CAP_COUNT = int(Capture.FIRST), int(Capture.LAST), int(Capture.COUNT)
CAP_SUM_I, CAP_SUM_F = int(Capture.SUM_I), int(Capture.SUM_F)
CAP_MIN_I, CAP_MAX_I = int(Capture.MIN_I), int(Capture.MAX_I)
CAP_MIN_F, CAP_MAX_F = int(Capture.MIN_F), int(Capture.MAX_F)
CAP_COUNT_I, CAP_COUNT_F = int(Capture.COUNT_I), int(Capture.COUNT_F)
FIRST_VALUE_I, FIRST_VALUE_F = int(Capture.FIRST_VALUE_I), int(Capture.FIRST_VALUE_F)
LAST_VALUE_I, LAST_VALUE_F = int(Capture.LAST_VALUE_I), int(Capture.LAST_VALUE_F)
CAP_DISTINCT_I, CAP_DISTINCT_F = int(Capture.DISTINCT_I), int(Capture.DISTINCT_F)


class Probe(NamedTuple):
    """steps, guards, captures, plan: tables; the guards of step j stand before those of j + 1, the trailing ones last.

    head, tail, runs, nodes, events, soonest: one for each slot. seen: (slots, leading guards). places: scratch, one for
    each place a run can wait at. initial: the words of a run that has captured nothing. run, after: the pool of runs; run_real is its float view. node, node_after: captures.
    """

    steps: Ints
    guards: Ints
    captures: Ints
    plan: Ints
    places: Ints
    initial: Ints
    head: Links
    tail: Links
    runs: Ints
    nodes: Ints
    events: Ints
    soonest: Ints
    seen: Ints
    run: Ints
    run_real: Floats
    after: Links
    node: Ints
    node_after: Links
    count: Ints


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
    p.head[slot], p.tail[slot] = -1, -1
    p.runs[slot], p.nodes[slot], p.events[slot] = 0, 0, 0
    p.soonest[slot] = NEVER
    for g in range(p.plan[LEADING]):
        p.seen[slot, g] = -NEVER


@jit
def new_run(p: Probe, slot: int) -> int:
    """A run at the end of the slot's list."""
    run = p.count[RUN_FREE]
    if run >= 0:
        p.count[RUN_FREE] = p.after[run]
    else:
        run = p.count[RUN_TOP]
        p.count[RUN_TOP] += 1
    p.count[RUNS] += 1
    p.runs[slot] += 1
    p.after[run] = -1
    if p.tail[slot] >= 0:
        p.after[p.tail[slot]] = run
    else:
        p.head[slot] = run
    p.tail[slot] = run
    return run


@jit
def free_after(p: Probe, slot: int, before: int) -> int:
    """Free the run behind `before` in the slot's list (-1: the first); the run that now stands there."""
    run = np.int64(p.after[before] if before >= 0 else p.head[slot])
    follower = p.after[run]
    if before >= 0:
        p.after[before] = follower
    else:
        p.head[slot] = follower
    if follower < 0:
        p.tail[slot] = before
    node = p.run[run, NODE]
    while node >= 0:
        previous = np.int64(p.node_after[node])
        p.node[node, ORDINAL] = -1
        p.node_after[node] = p.count[NODE_FREE]
        p.count[NODE_FREE] = node
        p.count[NODES] -= 1
        p.nodes[slot] -= 1
        node = previous
    p.run[run, START] = -1
    p.after[run] = p.count[RUN_FREE]
    p.count[RUN_FREE] = run
    p.count[RUNS] -= 1
    p.runs[slot] -= 1
    return np.int64(follower)


@jit
def drop_started_by(p: Probe, slot: int, ordinal: int) -> None:
    """Drop every run that began at or before the event `ordinal`: the list's front, for it is in order of start."""
    while p.head[slot] >= 0 and p.run[p.head[slot], START] <= ordinal:
        free_after(p, slot, np.int64(-1))


@jit
def distinct(p: Probe, m: Machine, run: int, w: int, row: int) -> int:
    """How many different values the run has captured for DISTINCT word w, the event of `row` just captured included."""
    column = NODE_WORD + w
    word = m.words[p.captures[w, SLOT], row]
    newest = p.run[run, NODE]
    p.node[newest, column] = word
    null = word == NULL if p.captures[w, WHAT] == CAP_DISTINCT_I else np.isnan(m.words_real[p.captures[w, SLOT], row])
    if null:
        return 0
    node = np.int64(p.node_after[newest])
    while node >= 0:
        if p.node[node, NODE_STEP] == p.captures[w, OF_STEP] and p.node[node, column] == word:
            return 0
        node = np.int64(p.node_after[node])
    return 1


@jit
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


@jit
def capture(p: Probe, m: Machine, slot: int, run: int, step: int, row: int, ordinal: int, now_us: int) -> None:
    """The run captures the event for `step`."""
    first = p.run[run, COUNT] == 0 or p.run[run, STEP] != step
    if first:
        p.run[run, PREVIOUS_TIME] = p.run[run, LAST_TIME]
        p.run[run, STEP] = step
        p.run[run, COUNT] = 0
    p.run[run, COUNT] += 1
    p.run[run, EVENTS] += 1
    p.run[run, LAST_TIME] = now_us
    p.run[run, LAST_EVENT] = p.events[slot]
    node = p.count[NODE_FREE]
    if node >= 0:
        p.count[NODE_FREE] = p.node_after[node]
    else:
        node = p.count[NODE_TOP]
        p.count[NODE_TOP] += 1
    p.count[NODES] += 1
    p.nodes[slot] += 1
    p.node[node, ORDINAL] = ordinal
    p.node[node, NODE_STEP] = step
    p.node_after[node] = p.run[run, NODE]
    p.run[run, NODE] = node
    remember(p, m, run, step, row, first)
    p.soonest[slot] = min(p.soonest[slot], ends_at(p, run), deadline(p, run))


@jit
def emit(p: Probe, keys: KeySpace, matches: Matches, slot: int, run: int, time_us: int, kind: int, place: int) -> None:
    """Write a match with everything the run has captured."""
    at = begin(matches, keys.words, slot, time_us, kind, place, p.run[run, START], 0)
    for k in range(p.plan[STEPS]):
        matches.count[at, k] = 0
    count = p.run[run, EVENTS]
    place_at = matches.used[REFERENCES] + count
    matches.used[REFERENCES] = place_at
    node = p.run[run, NODE]
    while node >= 0:
        place_at -= 1
        matches.reference[place_at] = p.node[node, ORDINAL]
        matches.count[at, p.node[node, NODE_STEP]] += 1
        node = np.int64(p.node_after[node])


@jit
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


@jit
def ends_at(p: Probe, run: int) -> int:
    """The instant from which the run can do nothing more; NEVER when no window bounds it."""
    end = np.int64(NEVER)
    if p.plan[WITHIN] >= 0:
        end = p.run[run, START_TIME] + p.plan[WITHIN]
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


@jit
def earliest_due(p: Probe, slot: int, until_us: int) -> int:
    """The run with the earliest deadline at or before `until_us`, of these the oldest; -1 if there is none."""
    best, best_due = np.int64(-1), until_us + 1
    run = np.int64(p.head[slot])
    while run >= 0:
        due = deadline(p, run)
        if due < best_due:
            best, best_due = run, due
        run = np.int64(p.after[run])
    return best


@jit
def free_one(p: Probe, slot: int, run: int) -> None:
    """Free a run of which the place in the list is not known."""
    before, at = np.int64(-1), np.int64(p.head[slot])
    while at != run:
        before, at = at, np.int64(p.after[at])
    free_after(p, slot, before)


@jit
def settle(p: Probe, keys: KeySpace, matches: Matches, slot: int, now_us: int) -> None:
    """Everything that ends or fires at or before `now_us`."""
    if p.soonest[slot] > now_us:
        return
    while p.plan[TRAILING]:
        run = earliest_due(p, slot, now_us)
        if run < 0:
            break
        ordinal = p.node[p.run[run, NODE], ORDINAL]
        emit(p, keys, matches, slot, run, deadline(p, run), DEADLINE, ordinal)
        if p.plan[POLICY] == EACH_POLICY:
            free_one(p, slot, run)
        else:
            drop_started_by(p, slot, ordinal)
    before, run = np.int64(-1), np.int64(p.head[slot])
    while run >= 0:
        if ends_at(p, run) <= now_us:
            run = free_after(p, slot, before)
        else:
            before, run = run, np.int64(p.after[run])
    look_ahead(p, slot)


@jit
def look_ahead(p: Probe, slot: int) -> None:
    """Work out when something next ends or fires in the slot."""
    soonest = np.int64(NEVER)
    run = np.int64(p.head[slot])
    while run >= 0:
        soonest = min(soonest, ends_at(p, run), deadline(p, run))
        run = np.int64(p.after[run])
    p.soonest[slot] = soonest


@jit
def fits(p: Probe, m: Machine, bits: int, bit: int, code: int, run: int, row: int) -> bool:
    """Whether the event fits a step or guard of this run."""
    if not bits & bit:
        return False
    return code < 0 or evaluate(m.code, code, m.consts, m.words, row, p.run[run, WORD:], m.stack, m.real) == 1


@jit
def guarded(p: Probe, m: Machine, slot: int, step: int, bits: int, run: int, row: int, now_us: int) -> bool:
    """Whether a guard before `step` (the number of steps: a trailing one) ends the run."""
    first = p.steps[step, GUARD_FROM] if step < p.plan[STEPS] else p.steps[step - 1, GUARD_TO]
    last = p.steps[step, GUARD_TO] if step < p.plan[STEPS] else p.guards.shape[0]
    for g in range(first, last):
        window = p.guards[g, WINDOW]
        if window >= 0 and p.run[run, LAST_TIME] + window <= now_us:
            continue
        if p.guards[g, IMMEDIATE] and p.run[run, LAST_EVENT] != p.events[slot] - 1:
            continue
        if fits(p, m, bits, p.guards[g, BIT], p.guards[g, CODE], run, row):
            return True
    return False


# What an event did to a run.
STAYS, ENDS, COMPLETES = range(3)


@jit
def offer(p: Probe, m: Machine, slot: int, run: int, bits: int, row: int, ordinal: int, now_us: int) -> int:
    """Offer the event to one run (docs/semantics.md, "runs", 1)."""
    step, count = p.run[run, STEP], p.run[run, COUNT]
    full = p.steps[step, MOST] >= 0 and count >= p.steps[step, MOST]
    ready = count >= p.steps[step, LEAST]
    target = step + 1
    last_step = target == p.plan[STEPS]
    if ready and not last_step:
        window = p.steps[target, WINDOW]
        in_time = window < 0 or now_us < p.run[run, LAST_TIME] + window
        adjacent = not p.steps[target, IMMEDIATE] or p.run[run, LAST_EVENT] == p.events[slot] - 1
        if in_time and adjacent and fits(p, m, bits, p.steps[target, BIT], p.steps[target, CODE], run, row):
            if guarded(p, m, slot, target, bits, run, row, now_us):
                return ENDS
            capture(p, m, slot, run, target, row, ordinal, now_us)
            return completion(p, run)
    if not full and (
        step == 0 or p.steps[step, WINDOW] < 0 or now_us < p.run[run, PREVIOUS_TIME] + p.steps[step, WINDOW]
    ):
        if fits(p, m, bits, p.steps[step, BIT], p.steps[step, CODE], run, row):
            capture(p, m, slot, run, step, row, ordinal, now_us)
            return completion(p, run)
    if ready and guarded(p, m, slot, target, bits, run, row, now_us):
        return ENDS
    if ready and full and not last_step and p.steps[target, IMMEDIATE]:
        return ENDS
    return STAYS


@jit
def completion(p: Probe, run: int) -> int:
    """Whether a run that has just captured an event is a match."""
    step = p.run[run, STEP]
    last = step + 1 == p.plan[STEPS] and p.run[run, COUNT] >= p.steps[step, LEAST]
    return COMPLETES if last and p.plan[TRAILING] == 0 else STAYS


@jit
def offer_all(
    p: Probe, m: Machine, keys: KeySpace, matches: Matches, slot: int, bits: int, row: int, ordinal: int, now_us: int
) -> bool:
    """Offer the event to the slot's runs, oldest first. True if a match has consumed all."""
    before, run = np.int64(-1), np.int64(p.head[slot])
    newest = np.int64(-1)
    while run >= 0:
        outcome = offer(p, m, slot, run, bits, row, ordinal, now_us)
        if outcome == COMPLETES and p.plan[POLICY] != LAST_POLICY:
            emit(p, keys, matches, slot, run, now_us, EVENT, ordinal)
            if p.plan[POLICY] == FIRST_POLICY:
                drop_started_by(p, slot, ordinal)
                return True
            outcome = ENDS
        elif outcome == COMPLETES:
            newest = run
        if outcome == ENDS:
            run = free_after(p, slot, before)
        else:
            before, run = run, np.int64(p.after[run])
    if newest >= 0:
        emit(p, keys, matches, slot, newest, now_us, EVENT, ordinal)
        drop_started_by(p, slot, ordinal)
        return True
    return False


@jit
def start(
    p: Probe, m: Machine, keys: KeySpace, matches: Matches, slot: int, row: int, ordinal: int, now_us: int
) -> None:
    """A run begins at the event, if its filter on itself allows; of too many the oldest is dropped."""
    code = p.steps[0, CODE]
    if code >= 0 and evaluate(m.code, code, m.consts, m.words, row, p.initial, m.stack, m.real) != 1:
        return
    if p.runs[slot] >= p.plan[MAX_STARTS]:
        free_after(p, slot, np.int64(-1))
        p.count[DROPPED] += 1
    run = new_run(p, slot)
    for column in range(WORD):
        p.run[run, column] = 0
    for w in range(len(p.initial)):
        p.run[run, WORD + w] = p.initial[w]
    p.run[run, START] = ordinal
    p.run[run, START_TIME] = now_us
    p.run[run, LAST_TIME] = now_us
    p.run[run, NODE] = -1
    capture(p, m, slot, run, np.int64(0), row, ordinal, now_us)
    if completion(p, run) == COMPLETES:
        emit(p, keys, matches, slot, run, now_us, EVENT, ordinal)
        free_one(p, slot, run)


@jit
def keep_newest(p: Probe, slot: int) -> None:
    """Policy last: of the runs at one place (step, count up to the minimum) only the newest start stays."""
    for place in range(len(p.places)):
        p.places[place] = -1
    run = np.int64(p.head[slot])
    while run >= 0:
        p.places[place_of(p, run)] = p.run[run, START]
        run = np.int64(p.after[run])
    before, run = np.int64(-1), np.int64(p.head[slot])
    while run >= 0:
        if p.places[place_of(p, run)] != p.run[run, START]:
            run = free_after(p, slot, before)
        else:
            before, run = run, np.int64(p.after[run])


@jit
def place_of(p: Probe, run: int) -> int:
    """The number of the place at which a run waits: one for each step and count up to the step's minimum."""
    step = p.run[run, STEP]
    place = min(p.run[run, COUNT], p.steps[step, LEAST])
    for k in range(step):
        place += p.steps[k, LEAST] + 1
    return place


@jit
def may_start(p: Probe, slot: int, bits: int, now_us: int) -> bool:
    """Note the event for the leading guards, and whether they let a run begin at it."""
    free = True
    for g in range(p.plan[LEADING]):
        if bits & p.guards[g, BIT]:
            p.seen[slot, g] = now_us
        if p.seen[slot, g] + p.guards[g, WINDOW] > now_us:
            free = False
    return free


@jit
def next_instant(p: Probe, slot: int, now_us: int) -> int:
    """When something next ends or fires in the slot if no event comes."""
    soonest = p.soonest[slot]
    for g in range(p.plan[LEADING]):
        if p.seen[slot, g] + p.guards[g, WINDOW] > now_us:
            soonest = min(soonest, p.seen[slot, g] + p.guards[g, WINDOW])
    return min(max(soonest, now_us + 1), NEVER - 1)


@jit
def room(p: Probe, keys: KeySpace, matches: Matches, slot: int) -> bool:
    """Whether one more event of this slot (-1: of a new one) is sure to find all the space it may need."""
    waiting, nodes = np.int64(1), np.int64(1)
    if slot >= 0:
        waiting += p.runs[slot]
        nodes += p.nodes[slot] + p.runs[slot]
    if keys.count[LIVE] + 1 >= len(keys.hashes) or p.count[RUNS] + 1 > p.run.shape[0]:
        return False
    if p.count[NODES] + waiting > p.node.shape[0] or matches.used[ROWS] + waiting > matches.row.shape[0]:
        return False
    return matches.used[REFERENCES] + nodes <= len(matches.reference)


@jit
def feed(
    p: Probe,
    m: Machine,
    keys: KeySpace,
    matches: Matches,
    rows: Ints,
    bits: Ints,
    key: Ints,
    keep: npt.NDArray[np.uint8],
    base: int,
    begin_at: int,
) -> int:
    """Offer rows[begin_at:] in order. Returns the place reached: less than len(rows) when space has run out.

    rows, bits: (m,); bit 0 is the first step. key: (parts, m). keep[row] is set for rows that a run or a match refers
    to; a row's ordinal is base + row.
    """
    wakes = np.int64(1)
    for g in range(p.plan[LEADING]):
        wakes |= p.guards[g, BIT]
    for i in range(begin_at, len(rows)):
        hashed = hash_of(key, i)
        slot = find(keys, key, i, hashed)
        row, row_bits = rows[i], bits[i]
        if slot < 0 and not row_bits & wakes:
            continue
        if not room(p, keys, matches, slot):
            return i
        now_us, ordinal = m.words[0, row], base + row
        if slot < 0:
            slot = insert(keys, key, i, hashed)
            clear(p, slot)
        settle(p, keys, matches, slot, now_us)
        consumed = offer_all(p, m, keys, matches, slot, row_bits, row, ordinal, now_us)
        free = may_start(p, slot, row_bits, now_us)
        if row_bits & 1 and free and not consumed:
            start(p, m, keys, matches, slot, row, ordinal, now_us)
        if p.plan[POLICY] == LAST_POLICY:
            keep_newest(p, slot)
        p.events[slot] += 1
        keep[row] = 1
        if keys.due[slot] == NEVER or p.plan[TRAILING]:
            schedule(keys, slot, next_instant(p, slot, now_us))
    return len(rows)


@jit
def sweep(p: Probe, keys: KeySpace, matches: Matches, until_us: int) -> bool:
    """Settle every key in which something is due by `until_us`; false when space has run out (call again)."""
    while True:
        slot = next_due(keys, until_us)
        if slot < 0:
            return True
        if not room(p, keys, matches, slot):
            schedule(keys, slot, until_us)
            return False
        p.soonest[slot] = until_us
        settle(p, keys, matches, slot, until_us)
        idle = p.runs[slot] == 0
        for g in range(p.plan[LEADING]):
            idle = idle and p.seen[slot, g] + p.guards[g, WINDOW] <= until_us
        if idle:
            remove(keys, slot)
        else:
            schedule(keys, slot, next_instant(p, slot, until_us))
