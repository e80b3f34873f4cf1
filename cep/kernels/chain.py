"""Sequences in which no filter looks back: one FIFO of runs per stage, so calm and attack cost the same.

All runs of a key that wait at one stage have the same future, so an event moves, ends or completes a prefix of a FIFO
and looks at no other run. A run is touched at most once for each stage it passes, which makes an event O(stages)
amortised however many runs wait. The events of a loop stand once, in a log of the key that all its runs share: what a
run has captured is a range of it. Runs stand in every FIFO in order of start, and deeper stages hold the older ones.

Stages: a single step is one that waits for the next; a loop is open while it may take more, then full. A guard with a
window of its own makes a waiting run age into a stage without that guard. The laws are those of docs/semantics.md.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit, kernel
from cep.kernels.ahead import LATER, LINE_WORDS, SOON, ahead, fetch
from cep.kernels.fifos import (
    AGE_EVENT,
    AGE_STAGE,
    AGE_US,
    BIT,
    EACH,
    EACH_REFERENCES_MAX,
    EVENTS,
    FULL,
    GUARD_FROM,
    GUARD_TO,
    HEAD,
    IMMEDIATE,
    KEY_EVENT,
    LAST_EVENT,
    LAST_STEP,
    LAST_TIME,
    LEAST,
    LOG_TAIL,
    LOGS,
    LOOPS,
    MOST,
    NEXT,
    NEXT_BIT,
    NEXT_GAP,
    NEXT_IMMEDIATE,
    NODE_AFTER,
    NODES,
    OPEN,
    ORDINAL,
    PREVIOUS_TIME,
    REF,
    RUNS,
    SEEN,
    SELF_BIT,
    SELF_GAP,
    SLOT_NODES,
    SLOT_RUNS,
    START,
    START_TIME,
    STEP,
    STEPS,
    TIME,
    TRAILING,
    WINDOW,
    Chain,
    clear,
    close,
    deadline,
    ends_at,
    forget_log,
    free_run,
    log,
    new_run,
    pop,
    push,
    ready,
    taken,
)
from cep.kernels.keys import (
    HAND,
    NEVER,
    POSITION,
    KeySpace,
    hand,
    hand_steps,
    next_due,
    remove,
    schedule,
)
from cep.kernels.matches import DEADLINE, EVENT, FIRED, REFERENCES, ROWS, Matches, begin, refer

Ints = npt.NDArray[np.int64]


@jit
def emit(c: Chain, keys: KeySpace, matches: Matches, slot: int, run: int, time_us: int, kind: int, place: int) -> None:
    """Write a match with everything the run has captured; the run's counts must be noted (see close)."""
    at = begin(matches, keys, slot, time_us, kind, place, c.run[run, START], FIRED)
    most = EACH_REFERENCES_MAX if c.plan[EACH] else np.int64(NEVER)
    for k in range(c.plan[STEPS]):
        ref, count = c.run[run, REF + 2 * k], c.run[run, REF + 2 * k + 1]
        matches.count[at, k] = count
        if c.loop[k] == 0:
            refer(matches, ref)
            continue
        for i in range(count):
            # Of more than `most` the first ones and the last one are kept.
            if i < most - 1 or i == count - 1:
                refer(matches, c.node[ref, ORDINAL])
            ref = np.int64(c.node[ref, NODE_AFTER])


@jit
def drop_started_by(c: Chain, slot: int, ordinal: int) -> None:
    """Drop every run that began at or before the event `ordinal`."""
    for s in range(c.stages.shape[0]):
        while c.slots[slot, HEAD + 2 * s] >= 0 and c.run[c.slots[slot, HEAD + 2 * s], START] <= ordinal:
            free_run(c, slot, pop(c, slot, s))


@jit
def last_ordinal(c: Chain, slot: int, s: int, run: int) -> int:
    """The ordinal of the last event that a run with noted counts has captured."""
    k = c.stages[s, STEP]
    ref = c.run[run, REF + 2 * k]
    if c.loop[k] == 0:
        return ref
    for _ in range(c.run[run, REF + 2 * k + 1] - 1):
        ref = np.int64(c.node[ref, NODE_AFTER])
    return c.node[ref, ORDINAL]


@jit
def complete_due(c: Chain, keys: KeySpace, matches: Matches, slot: int, until_us: int) -> None:
    """Make the matches whose deadline is at or before `until_us`, oldest first."""
    s = c.stages.shape[0] - 1
    while s >= 0 and c.stages[s, LAST_STEP]:
        run = np.int64(c.slots[slot, HEAD + 2 * s])
        if run < 0 or deadline(c, slot, s, run) > until_us:
            # A run that can never complete (its deadline lies behind its horizon) must not hold up those behind it.
            if run >= 0 and ends_at(c, slot, s, run) <= until_us and deadline(c, slot, s, run) == NEVER:
                free_run(c, slot, pop(c, slot, s))
                continue
            s -= 1
            continue
        due = deadline(c, slot, s, run)
        if c.stages[s, OPEN]:
            close(c, slot, s, run)
        ordinal = last_ordinal(c, slot, s, run)
        emit(c, keys, matches, slot, run, due, DEADLINE, ordinal)
        if c.plan[EACH]:
            free_run(c, slot, pop(c, slot, s))
        else:
            drop_started_by(c, slot, ordinal)


@inline
def settle(c: Chain, keys: KeySpace, matches: Matches, slot: int, now_us: int) -> None:
    """Everything that ends or fires at or before `now_us`."""
    if c.plan[TRAILING]:
        complete_due(c, keys, matches, slot, now_us)
    for s in range(c.stages.shape[0]):
        stage = c.stages[s]
        while c.slots[slot, HEAD + 2 * s] >= 0 and ends_at(c, slot, s, np.int64(c.slots[slot, HEAD + 2 * s])) <= now_us:
            free_run(c, slot, pop(c, slot, s))
        if stage[OPEN] and stage[SELF_GAP] >= 0:
            while (
                c.slots[slot, HEAD + 2 * s] >= 0
                and c.run[c.slots[slot, HEAD + 2 * s], PREVIOUS_TIME] + stage[SELF_GAP] <= now_us
            ):
                run = pop(c, slot, s)
                # Where the very next event was wanted and has gone by, a loop that cannot grow any more is at its end.
                last = c.node[c.slots[slot, c.plan[LOGS] + 3 * (stage[STEP]) + LOG_TAIL], KEY_EVENT]
                missed = stage[NEXT_IMMEDIATE] == 1 and last != c.slots[slot, EVENTS] - 1
                if ready(c, slot, s, run) and not missed:
                    close(c, slot, s, run)
                    push(c, slot, stage[FULL], run)
                else:
                    free_run(c, slot, run)
        if stage[AGE_STAGE] >= 0:
            while c.slots[slot, HEAD + 2 * s] >= 0 and aged(c, slot, s, np.int64(c.slots[slot, HEAD + 2 * s]), now_us):
                push(c, slot, stage[AGE_STAGE], pop(c, slot, s))


@inline
def aged(c: Chain, slot: int, s: int, run: int, now_us: int) -> bool:
    """Whether the next guard of the stage has no more to say about the run."""
    if c.stages[s, AGE_EVENT]:
        return c.run[run, LAST_EVENT] < c.slots[slot, EVENTS] - 1
    return c.run[run, LAST_TIME] + c.stages[s, AGE_US] <= now_us


@inline
def guarded(c: Chain, slot: int, s: int, bits: int, now_us: int) -> bool:
    """Whether a guard of stage s ends the runs that are ready in it."""
    for g in range(c.stages[s, GUARD_FROM], c.stages[s, GUARD_TO]):
        if not bits & c.guards[g, BIT]:
            continue
        if c.stages[s, OPEN] == 0:
            return True
        last = c.slots[slot, c.plan[LOGS] + 3 * (c.stages[s, STEP]) + LOG_TAIL]
        late = c.guards[g, WINDOW] >= 0 and c.node[last, TIME] + c.guards[g, WINDOW] <= now_us
        apart = c.guards[g, IMMEDIATE] and c.node[last, KEY_EVENT] != c.slots[slot, EVENTS] - 1
        if not late and not apart:
            return True
    return False


@inline
def next_fits(c: Chain, slot: int, s: int, bits: int, now_us: int) -> bool:
    """Whether the event is one that the ready runs of stage s go on with."""
    stage = c.stages[s]
    if not bits & stage[NEXT_BIT]:
        return False
    if stage[OPEN]:
        last = c.slots[slot, c.plan[LOGS] + 3 * (stage[STEP]) + LOG_TAIL]
        if stage[NEXT_GAP] >= 0 and c.node[last, TIME] + stage[NEXT_GAP] <= now_us:
            return False
        return not (stage[NEXT_IMMEDIATE] and c.node[last, KEY_EVENT] != c.slots[slot, EVENTS] - 1)
    return True


@inline
def enter(c: Chain, slot: int, s: int, run: int, ordinal: int, now_us: int) -> None:
    """The run captures the event as the first one of stage s's step. It stands in no FIFO yet."""
    k = c.stages[s, STEP]
    c.run[run, PREVIOUS_TIME] = c.run[run, LAST_TIME]
    c.run[run, LAST_TIME] = now_us
    c.run[run, LAST_EVENT] = c.slots[slot, EVENTS]
    c.run[run, REF + 2 * k] = log(c, slot, k, ordinal, now_us) if c.loop[k] else ordinal
    c.run[run, REF + 2 * k + 1] = 1


@inline
def completes(c: Chain, s: int, count: int) -> bool:
    """Whether a run with `count` events in stage s's step is a match."""
    return c.plan[TRAILING] == 0 and c.stages[s, LAST_STEP] == 1 and count >= c.stages[s, LEAST]


@inline
def advance(c: Chain, keys: KeySpace, matches: Matches, slot: int, s: int, ordinal: int, now_us: int) -> bool:
    """The ready runs of stage s capture the event for the next step. True if a match has consumed all."""
    target = c.stages[s, NEXT]
    while c.slots[slot, HEAD + 2 * s] >= 0 and ready(c, slot, s, np.int64(c.slots[slot, HEAD + 2 * s])):
        run = pop(c, slot, s)
        if c.stages[s, OPEN]:
            close(c, slot, s, run)
        enter(c, slot, target, run, ordinal, now_us)
        if completes(c, target, 1):
            emit(c, keys, matches, slot, run, now_us, EVENT, ordinal)
            free_run(c, slot, run)
            if not c.plan[EACH]:
                drop_started_by(c, slot, ordinal)
                return True
        else:
            push(c, slot, target, run)
    return False


@inline
def drop_ready(c: Chain, slot: int, s: int) -> None:
    """A guard has ended the ready runs of stage s."""
    while c.slots[slot, HEAD + 2 * s] >= 0 and ready(c, slot, s, np.int64(c.slots[slot, HEAD + 2 * s])):
        free_run(c, slot, pop(c, slot, s))


@inline
def take(c: Chain, keys: KeySpace, matches: Matches, slot: int, s: int, ordinal: int, now_us: int) -> bool:
    """The runs of an open loop capture the event. True if a match has consumed all."""
    log(c, slot, c.stages[s, STEP], ordinal, now_us)
    stage = c.stages[s]
    while c.slots[slot, HEAD + 2 * s] >= 0:
        run = np.int64(c.slots[slot, HEAD + 2 * s])
        count = taken(c, slot, s, run)
        if completes(c, s, count):
            close(c, slot, s, run)
            emit(c, keys, matches, slot, run, now_us, EVENT, ordinal)
            if not c.plan[EACH]:
                drop_started_by(c, slot, ordinal)
                return True
            free_run(c, slot, pop(c, slot, s))
        elif stage[MOST] >= 0 and count >= stage[MOST]:
            close(c, slot, s, run)
            push(c, slot, stage[FULL], pop(c, slot, s))
        else:
            break
    return False


@inline
def offer(c: Chain, keys: KeySpace, matches: Matches, slot: int, bits: int, ordinal: int, now_us: int) -> bool:
    """Offer the event to every waiting run, deepest stage first. True if a match has consumed all."""
    for s in range(c.stages.shape[0] - 1, -1, -1):
        if c.slots[slot, HEAD + 2 * s] < 0:
            continue
        stage = c.stages[s]
        loops = stage[OPEN] == 1 and bits & stage[SELF_BIT] != 0
        if next_fits(c, slot, s, bits, now_us) and ready(c, slot, s, np.int64(c.slots[slot, HEAD + 2 * s])):
            if guarded(c, slot, s, bits, now_us):
                drop_ready(c, slot, s)
            elif advance(c, keys, matches, slot, s, ordinal, now_us):
                return True
            if loops and c.slots[slot, HEAD + 2 * s] >= 0 and take(c, keys, matches, slot, s, ordinal, now_us):
                return True
        elif loops:
            if take(c, keys, matches, slot, s, ordinal, now_us):
                return True
        elif guarded(c, slot, s, bits, now_us) or (stage[OPEN] == 0 and stage[NEXT_IMMEDIATE]):
            drop_ready(c, slot, s)
    return False


@inline
def may_start(c: Chain, slot: int, bits: int, now_us: int) -> bool:
    """Note the event for the leading guards, and whether they let a run begin at it."""
    free = True
    for g in range(c.leading.shape[0]):
        if bits & c.leading[g, BIT]:
            c.slots[slot, c.plan[SEEN] + g] = now_us
        if c.slots[slot, c.plan[SEEN] + g] + c.leading[g, WINDOW] > now_us:
            free = False
    return free


@inline
def start(c: Chain, keys: KeySpace, matches: Matches, slot: int, ordinal: int, now_us: int) -> None:
    """A run begins at the event."""
    run = new_run(c, slot)
    c.run[run, START] = ordinal
    c.run[run, START_TIME] = now_us
    c.run[run, LAST_TIME] = now_us
    enter(c, slot, np.int64(0), run, ordinal, now_us)
    if completes(c, np.int64(0), 1):
        emit(c, keys, matches, slot, run, now_us, EVENT, ordinal)
        free_run(c, slot, run)
    else:
        push(c, slot, np.int64(0), run)


@inline
def next_instant(c: Chain, slot: int, now_us: int) -> int:
    """When something next ends or fires in the slot if no event comes."""
    soonest = np.int64(NEVER)
    for s in range(c.stages.shape[0]):
        run = c.slots[slot, HEAD + 2 * s]
        if run >= 0:
            soonest = min(soonest, ends_at(c, slot, s, run), deadline(c, slot, s, run))
    for g in range(c.leading.shape[0]):
        if c.slots[slot, c.plan[SEEN] + g] + c.leading[g, WINDOW] > now_us:
            soonest = min(soonest, c.slots[slot, c.plan[SEEN] + g] + c.leading[g, WINDOW])
    return min(max(soonest, now_us + 1), NEVER - 1)


@inline
def room(c: Chain, keys: KeySpace, matches: Matches, slot: int) -> bool:
    """Whether one more event of this slot (-1: of a new one) is sure to find all the space it may need."""
    steps = c.plan[STEPS]
    if c.count[RUNS] + 1 > c.run.shape[0]:
        return False
    if c.count[NODES] + steps > c.node.shape[0]:
        return False
    waiting, logged = np.int64(1), np.int64(1)
    if slot >= 0:
        waiting += c.slots[slot, SLOT_RUNS]
        logged += c.slots[slot, SLOT_NODES]
    if matches.used[ROWS] + waiting > matches.row.shape[0]:
        return False
    references = waiting * steps
    references += waiting * steps * EACH_REFERENCES_MAX if c.plan[EACH] and c.plan[LOOPS] else logged
    return matches.used[REFERENCES] + references <= len(matches.reference)


@inline
def fetch_runs(c: Chain, slot: int) -> None:
    """Ask for the first run of each stage."""
    for s in range(c.stages.shape[0]):
        fetch(c.run, c.slots[slot, HEAD + 2 * s], 0)


@inline
def fetch_stages(c: Chain, slots: Ints, i: int) -> None:
    """Ask for what rows soon to come will read: of a key its state, and then the first run of each stage."""
    later = ahead(slots, i, LATER)
    fetch(c.slots, later, 0)
    fetch(c.slots, later, LINE_WORDS)
    fetch_runs(c, ahead(slots, i, SOON))


@kernel
def feed(
    c: Chain,
    keys: KeySpace,
    matches: Matches,
    rows: Ints,
    bits: Ints,
    slots: Ints,
    times: Ints,
    keep: npt.NDArray[np.uint8],
    base: int,
    begin_at: int,
) -> int:
    """Offer rows[begin_at:]. Returns the place reached: less than len(rows) when space has run out.

    rows, bits: (m,); bit 0 is the first step. slots: (m,), -1 for a key that nothing waits for.
    times: (m,). keep[row] is set for rows that a run or a
    match refers to; a row's ordinal is base + row.
    """
    for i in range(begin_at, len(rows)):
        fetch_stages(c, slots, i)
        slot, row, row_bits = slots[i], rows[i], bits[i]
        if slot < 0:
            continue
        if not room(c, keys, matches, slot):
            return i
        now_us, ordinal = times[i], base + row
        settle(c, keys, matches, slot, now_us)
        consumed = offer(c, keys, matches, slot, row_bits, ordinal, now_us)
        free = may_start(c, slot, row_bits, now_us)
        if row_bits & 1 and free and not consumed:
            start(c, keys, matches, slot, ordinal, now_us)
        c.slots[slot, EVENTS] += 1
        if c.plan[LOOPS]:
            forget_log(c, slot)
        keep[row] = 1
        if c.plan[TRAILING]:
            schedule(keys, slot, next_instant(c, slot, now_us))
    return len(rows)


@inline
def idle(c: Chain, slot: int, now_us: int) -> bool:
    """Whether nothing in the slot can matter any more."""
    none = c.slots[slot, SLOT_RUNS] == 0
    for g in range(c.leading.shape[0]):
        none = none and c.slots[slot, c.plan[SEEN] + g] + c.leading[g, WINDOW] <= now_us
    return none


@kernel
def sweep(c: Chain, keys: KeySpace, matches: Matches, until_us: int) -> bool:
    """Settle every key in which something is due by `until_us`; false when space has run out (call again)."""
    while True:
        slot = next_due(keys, until_us)
        if slot < 0:
            return True
        fetch(c.slots, keys.count[POSITION], 0)
        if not room(c, keys, matches, slot):
            schedule(keys, slot, until_us)
            return False
        settle(c, keys, matches, slot, until_us)
        if c.plan[LOOPS]:
            forget_log(c, slot)
        if idle(c, slot, until_us):
            clear(c, slot)
            remove(keys, slot)
        else:
            schedule(keys, slot, next_instant(c, slot, until_us))


@kernel
def tidy(c: Chain, keys: KeySpace, matches: Matches, until_us: int) -> None:
    """Where nothing fires at a deadline: let the clock's hand free what has ended by `until_us`."""
    for _ in range(hand_steps(keys, until_us)):
        slot = hand(keys)
        fetch_runs(c, min(keys.count[HAND] + SOON, c.slots.shape[0] - 1))
        if slot < 0:
            continue
        settle(c, keys, matches, slot, until_us)
        if c.plan[LOOPS]:
            forget_log(c, slot)
        if idle(c, slot, until_us):
            clear(c, slot)
            remove(keys, slot)
