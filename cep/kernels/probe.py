"""Sequences in which a filter looks back: each waiting run is asked by itself, oldest first.

At most `max` runs of a key wait (the oldest is dropped and counted). The laws are those of docs/semantics.md, which
this kernel follows line by line; `chain` is the fast form for rules without look-back, and both are held equal to the
oracle. A comparison of something captured with something of the event is a row of `compares`: two words, side by side;
whatever else a filter says is left to the evaluator.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit, kernel
from cep.kernels.ahead import LATER, LINE_WORDS, SOON, ahead, fetch
from cep.kernels.keys import NEVER, KeySpace, hand, hand_steps, next_due, remove, schedule
from cep.kernels.matches import DEADLINE, EVENT, FIRED, REFERENCES, ROWS, Matches, begin
from cep.kernels.offers import (
    COMPLETES,
    ENDS,
    completion,
    equal_to,
    equated,
    goes_on,
    guarded,
    holds,
    offer,
    offer_plain,
)
from cep.kernels.runs import (
    ALL_NODES,
    ALL_POLICY,
    BIT,
    CAPACITY,
    COUNT,
    DROPPED,
    EACH_POLICY,
    FIRST_POLICY,
    IMMEDIATE,
    KEY_EVENTS,
    LAST_POLICY,
    LAST_TIME,
    LEADING,
    LEAST,
    MAX_STARTS,
    NODES,
    ORDINAL,
    PLAIN,
    POLICY,
    REFS,
    RUN_TOP,
    RUNS,
    SEEN,
    SMALLEST_BLOCK,
    SOONEST,
    START,
    START_TIME,
    STEP,
    STEPS,
    TRAILING,
    WINDOW,
    WORD,
    Machine,
    Probe,
    capture,
    clear,
    copy_run,
    deadline,
    drop_first,
    drop_one,
    drop_started_by,
    ends_at,
    first_run,
    free_captures,
    give_block,
    last_ordinal,
    move,
    new_run,
    reserve,
    set_runs,
)

Ints = npt.NDArray[np.int64]
FETCHED_RUNS = 4  # of a key, before its turn comes
ONE = np.int64(1)


@jit
def emit(p: Probe, keys: KeySpace, matches: Matches, slot: int, run: int, time_us: int, kind: int, place: int) -> None:
    """Write a match with everything the run has captured."""
    at = begin(matches, keys, slot, time_us, kind, place, p.run[run, START], FIRED)
    for k in range(p.plan[STEPS]):
        ref, count = p.run[run, p.plan[REFS] + k], np.int64(1)
        if p.loop[k]:
            node = np.int64(p.node_after[ref])
            while node >= 0:
                count += 1
                node = np.int64(p.node_after[node])
        matches.count[at, k] = count
        place_at = matches.used[REFERENCES] + count
        matches.used[REFERENCES] = place_at
        if p.loop[k] == 0:
            matches.reference[place_at - 1] = ref
            continue
        while ref >= 0:
            place_at -= 1
            matches.reference[place_at] = p.node[ref, ORDINAL]
            ref = np.int64(p.node_after[ref])


@jit
def earliest_due(p: Probe, slot: int, until_us: int) -> int:
    """The run with the earliest deadline at or before `until_us`, of these the oldest; -1 if there is none."""
    best, best_due = np.int64(-1), until_us + 1
    first = first_run(p, slot)
    for run in range(first, first + p.slots[slot, RUNS]):
        due = deadline(p, run)
        if due < best_due:
            best, best_due = np.int64(run), due
    return best


@inline
def settle(p: Probe, keys: KeySpace, matches: Matches, slot: int, now_us: int) -> None:
    """Everything that ends or fires at or before `now_us`."""
    if p.slots[slot, SOONEST] > now_us:
        return
    if p.plan[PLAIN] and p.plan[POLICY] != ALL_POLICY:
        # Runs end in the order in which they began.
        while p.slots[slot, RUNS] > 0 and ends_at(p, first_run(p, slot)) <= now_us:
            drop_first(p, slot)
        p.slots[slot, SOONEST] = ends_at(p, first_run(p, slot)) if p.slots[slot, RUNS] > 0 else np.int64(NEVER)
    else:
        settle_each(p, keys, matches, slot, now_us)


@jit
def settle_each(p: Probe, keys: KeySpace, matches: Matches, slot: int, now_us: int) -> None:
    """Where runs may end out of turn, or fire: ask each of them."""
    while p.plan[TRAILING]:
        run = earliest_due(p, slot, now_us)
        if run < 0:
            break
        ordinal = last_ordinal(p, run)
        emit(p, keys, matches, slot, run, deadline(p, run), DEADLINE, ordinal)
        if p.plan[POLICY] == EACH_POLICY or p.plan[POLICY] == ALL_POLICY:
            drop_one(p, slot, run)
        else:
            drop_started_by(p, slot, ordinal)
    while p.slots[slot, RUNS] > 0 and ends_at(p, first_run(p, slot)) <= now_us:
        drop_first(p, slot)
    first, kept, soonest = first_run(p, slot), np.int64(0), np.int64(NEVER)
    for run in range(first, first + p.slots[slot, RUNS]):
        end = ends_at(p, run)
        if end <= now_us:
            free_captures(p, slot, run)
        else:
            soonest = min(soonest, end, deadline(p, run))
            move(p, run, first + kept, ONE)
            kept += 1
    set_runs(p, slot, kept)
    p.slots[slot, SOONEST] = soonest


@jit
def fork_all(
    p: Probe, m: Machine, keys: KeySpace, matches: Matches, slot: int, bits: int, row: int, ordinal: int, now_us: int
) -> None:
    """Policy all: a run that can go on does so as a copy, and itself goes on waiting for other events that fit.

    The copies come to stand behind the runs there were; one that would be too many is not made, and counted.
    """
    waiting = p.slots[slot, RUNS]
    reserve(p, slot, 2 * waiting + 1)
    first, kept, forks = first_run(p, slot), np.int64(0), np.int64(0)
    asked, column, word = np.int64(0), np.int64(0), np.int64(0)
    for run in range(first, first + waiting):
        target = p.run[run, STEP] + 1
        if target != asked:
            asked, column, word = target, equated(p, target), equal_to(p, m, target, row)
        if p.guards.shape[0] > 0 and guarded(p, m, slot, target, bits, run, row, now_us):
            continue
        if p.run[run, column] == word and goes_on(p, m, slot, run, bits, row, now_us):
            copy = first + waiting + forks
            copy_run(p, run, copy)
            capture(p, m, slot, copy, target, row, ordinal, now_us)
            if completion(p, copy) == COMPLETES:
                emit(p, keys, matches, slot, copy, now_us, EVENT, ordinal)
            elif waiting + forks < p.plan[MAX_STARTS]:
                forks += 1
            else:
                p.count[DROPPED] += 1
        elif target < p.plan[STEPS] and p.steps[target, IMMEDIATE]:
            continue
        move(p, run, first + kept, ONE)
        kept += 1
    move(p, first + waiting, first + kept, forks)
    set_runs(p, slot, kept + forks)


@inline
def offer_all(
    p: Probe, m: Machine, keys: KeySpace, matches: Matches, slot: int, bits: int, row: int, ordinal: int, now_us: int
) -> bool:
    """Offer the event to the slot's runs, oldest first. True if a match has consumed all."""
    if p.plan[POLICY] == ALL_POLICY:
        fork_all(p, m, keys, matches, slot, bits, row, ordinal, now_us)
        return False
    first, kept, newest = first_run(p, slot), np.int64(0), np.int64(-1)
    for run in range(first, first + p.slots[slot, RUNS]):
        if p.plan[PLAIN]:
            outcome = offer_plain(p, m, slot, run, bits, row, ordinal, now_us)
        else:
            outcome = offer(p, m, slot, run, bits, row, ordinal, now_us)
        if outcome == COMPLETES and p.plan[POLICY] != LAST_POLICY:
            emit(p, keys, matches, slot, run, now_us, EVENT, ordinal)
            if p.plan[POLICY] == FIRST_POLICY:
                consume(p, slot, kept, run)
                return True
            outcome = ENDS
        if outcome == ENDS:
            free_captures(p, slot, run)
            continue
        if outcome == COMPLETES:
            newest = first + kept
        move(p, run, first + kept, ONE)
        kept += 1
    set_runs(p, slot, kept)
    if newest >= 0:
        emit(p, keys, matches, slot, newest, now_us, EVENT, ordinal)
        drop_started_by(p, slot, ordinal)
        return True
    return False


@jit
def consume(p: Probe, slot: int, kept: int, run: int) -> None:
    """Drop all runs in the middle of a walk: the `kept` first ones, and those from `run` on."""
    first = first_run(p, slot)
    for i in range(first, first + kept):
        free_captures(p, slot, i)
    for i in range(run, first + p.slots[slot, RUNS]):
        free_captures(p, slot, i)
    set_runs(p, slot, np.int64(0))


@inline
def start(
    p: Probe, m: Machine, keys: KeySpace, matches: Matches, slot: int, row: int, ordinal: int, now_us: int
) -> None:
    """A run begins at the event, if its filter on itself allows; of too many the oldest is dropped."""
    if not holds(p, m, p.steps[0], p.initial, p.initial_real, row):
        return
    if p.slots[slot, RUNS] >= p.plan[MAX_STARTS]:
        drop_first(p, slot)
        p.count[DROPPED] += 1
    run = new_run(p, slot)
    for column in range(WORD):
        p.run[run, column] = 0
    for w in range(len(p.initial)):
        p.run[run, WORD + w] = p.initial[w]
    p.run[run, START] = ordinal
    p.run[run, START_TIME] = now_us
    p.run[run, LAST_TIME] = now_us
    for k in range(p.plan[STEPS]):
        p.run[run, p.plan[REFS] + k] = -1
    capture(p, m, slot, run, np.int64(0), row, ordinal, now_us)
    if completion(p, run) == COMPLETES:
        emit(p, keys, matches, slot, run, now_us, EVENT, ordinal)
        drop_one(p, slot, run)


@jit
def keep_newest(p: Probe, slot: int) -> None:
    """Policy last: of the runs at one place (step, count up to the minimum) only the newest start stays."""
    for place in range(len(p.places)):
        p.places[place] = -1
    first, kept = first_run(p, slot), np.int64(0)
    for run in range(first, first + p.slots[slot, RUNS]):
        p.places[place_of(p, run)] = p.run[run, START]
    for run in range(first, first + p.slots[slot, RUNS]):
        if p.places[place_of(p, run)] != p.run[run, START]:
            free_captures(p, slot, run)
        else:
            move(p, run, first + kept, ONE)
            kept += 1
    set_runs(p, slot, kept)


@jit
def place_of(p: Probe, run: int) -> int:
    """The number of the place at which a run waits: one for each step and count up to the step's minimum."""
    step = p.run[run, STEP]
    place = min(p.run[run, COUNT], p.steps[step, LEAST])
    for k in range(step):
        place += p.steps[k, LEAST] + 1
    return place


@inline
def may_start(p: Probe, slot: int, bits: int, now_us: int) -> bool:
    """Note the event for the leading guards, and whether they let a run begin at it."""
    free = True
    for g in range(p.plan[LEADING]):
        if bits & p.guards[g, BIT]:
            p.slots[slot, SEEN + g] = now_us
        if p.slots[slot, SEEN + g] + p.guards[g, WINDOW] > now_us:
            free = False
    return free


@inline
def next_instant(p: Probe, slot: int, now_us: int) -> int:
    """When something next ends or fires in the slot if no event comes."""
    soonest = p.slots[slot, SOONEST]
    for g in range(p.plan[LEADING]):
        if p.slots[slot, SEEN + g] + p.guards[g, WINDOW] > now_us:
            soonest = min(soonest, p.slots[slot, SEEN + g] + p.guards[g, WINDOW])
    return min(max(soonest, now_us + 1), NEVER - 1)


@inline
def room(p: Probe, keys: KeySpace, matches: Matches, slot: int) -> bool:
    """Whether one more event of this slot (-1: of a new one) is sure to find all the space it may need."""
    waiting, logged, capacity = np.int64(1), np.int64(0), np.int64(SMALLEST_BLOCK)
    if slot >= 0:
        waiting += p.slots[slot, RUNS]
        logged += p.slots[slot, NODES]
        capacity = max(capacity, 2 * p.slots[slot, CAPACITY])
    if p.plan[POLICY] == ALL_POLICY:
        waiting *= 2
        capacity = max(capacity, 4 * waiting)
    if p.count[RUN_TOP] + capacity > p.run.shape[0]:
        return False
    if p.count[ALL_NODES] + waiting > p.node.shape[0] or matches.used[ROWS] + waiting > matches.row.shape[0]:
        return False
    return matches.used[REFERENCES] + logged + waiting * (p.plan[STEPS] + 1) <= len(matches.reference)


@inline
def fetch_runs(p: Probe, slots: Ints, i: int) -> None:
    """Ask for what rows soon to come will read: of a key its state, and then its first runs."""
    fetch(p.slots, ahead(slots, i, LATER), 0)
    slot = ahead(slots, i, SOON)
    first = first_run(p, slot)
    for run in range(first, first + min(p.slots[slot, RUNS], FETCHED_RUNS)):
        fetch(p.run, run, 0)
        fetch(p.run, run, LINE_WORDS)


@kernel
def feed(
    p: Probe,
    m: Machine,
    keys: KeySpace,
    matches: Matches,
    rows: Ints,
    bits: Ints,
    slots: Ints,
    keep: npt.NDArray[np.uint8],
    base: int,
    begin_at: int,
) -> int:
    """Offer rows[begin_at:]. Returns the place reached: less than len(rows) when space has run out.

    rows, bits: (m,); bit 0 is the first step. slots: (m,), -1 for a key that nothing waits for.
    keep[row] is set for rows that a run or a match refers
    to; a row's ordinal is base + row.
    """
    for i in range(begin_at, len(rows)):
        fetch_runs(p, slots, i)
        slot, row, row_bits = slots[i], rows[i], bits[i]
        if slot < 0:
            continue
        if not room(p, keys, matches, slot):
            return i
        now_us, ordinal = m.words[0, i], base + row
        settle(p, keys, matches, slot, now_us)
        consumed = offer_all(p, m, keys, matches, slot, row_bits, i, ordinal, now_us)
        free = may_start(p, slot, row_bits, now_us)
        if row_bits & 1 and free and not consumed:
            start(p, m, keys, matches, slot, i, ordinal, now_us)
        if p.plan[POLICY] == LAST_POLICY:
            keep_newest(p, slot)
        p.slots[slot, KEY_EVENTS] += 1
        keep[row] = 1
        if p.plan[TRAILING]:
            schedule(keys, slot, next_instant(p, slot, now_us))
    return len(rows)


@inline
def idle(p: Probe, slot: int, now_us: int) -> bool:
    """Whether nothing in the slot can matter any more."""
    none = p.slots[slot, RUNS] == 0
    for g in range(p.plan[LEADING]):
        none = none and p.slots[slot, SEEN + g] + p.guards[g, WINDOW] <= now_us
    return none


@kernel
def sweep(p: Probe, keys: KeySpace, matches: Matches, until_us: int) -> bool:
    """Settle every key in which something is due by `until_us`; false when space has run out (call again)."""
    while True:
        slot = next_due(keys, until_us)
        if slot < 0:
            return True
        if not room(p, keys, matches, slot):
            schedule(keys, slot, until_us)
            return False
        settle(p, keys, matches, slot, until_us)
        if idle(p, slot, until_us):
            give_block(p, slot)
            clear(p, slot)
            remove(keys, slot)
        else:
            schedule(keys, slot, next_instant(p, slot, until_us))


@kernel
def tidy(p: Probe, keys: KeySpace, matches: Matches, until_us: int) -> None:
    """Where nothing fires at a deadline: let the clock's hand free what has ended by `until_us`."""
    for _ in range(hand_steps(keys, until_us)):
        slot = hand(keys)
        if slot < 0 or (p.slots[slot, RUNS] > 0 and p.slots[slot, SOONEST] > until_us):
            continue
        settle(p, keys, matches, slot, until_us)
        if idle(p, slot, until_us):
            give_block(p, slot)
            clear(p, slot)
            remove(keys, slot)
