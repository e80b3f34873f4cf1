"""Conditions that hold for a while: windows, latest values, the condition, and the episode, one key at a time.

The condition is judged after each event of its key and at each instant at which an element leaves or enters a window.
Where it cannot become true without an event and no episode is open or pending, elements leave unobserved and cost no
timer.
The laws are those of docs/semantics.md, "`while`: episodes".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit, kernel
from cep.kernels.ahead import LATER, ahead, fetch
from cep.kernels.elements import USED, Windows, fetch_windows
from cep.kernels.keys import DUE, NEVER, KeySpace, next_due, remove, schedule, unlink
from cep.kernels.machine import evaluate
from cep.kernels.matches import DEADLINE, EVENT, FIRED, REFERENCES, RESOLVED, ROWS, Matches, begin, refer
from cep.kernels.runs import Machine
from cep.kernels.windows import advance, advance_all, arrive, drop_all, empty, estimated, next_change, value, wipe
from cep.kernels.windows import clear as clear_windows

Ints = npt.NDArray[np.int64]

# Places in Episodes.plan.
# JUDGED: how many aggregates the condition and `until` read (the others are only shown); JUDGED_BITS: their sources'.
# ROSTERED: the keys are those of a roster, which stay.
CONDITION, UNTIL, FOR, KEEP, FORGET, RISES, LONGEST, JUDGED, JUDGED_BITS, ROSTERED = range(10)

# Columns of Episodes.state. SINCE: when the pending began; of a key that has not been judged yet, its last event.
# OVER: since when the episode is over, NEVER if it is not. FIRST: when a key of a roster is judged without an event of
# its own, NEVER once it has been. OPENED_EVENT, LAST_EVENT: -1 before a key of a roster has had one.
PHASE, SINCE, OVER, OPENED, OPENED_EVENT, LAST_TIME, LAST_EVENT, FIRST = range(8)
STATE_COLUMNS = 8
CLOSED, PENDING, OPEN, SPENT = range(4)  # SPENT: resolved while the condition still held

# Columns of Episodes.sources: an aggregate's or latest value's bit, and the latest value's slot.
BIT, SLOT = range(2)

# Places in Episodes.count.
FORGOTTEN = 0

UNSEEN = 2**61  # LAST_TIME of a key that has not been judged: too late ever to be forgotten


class Episodes(NamedTuple):
    """plan; bits, resets: (aggregates,), of the rows that enter, and of those since which it counts (0: none).

    latest: (values, 2), bit and column. nulls: (values,), null as the column spells it.

    state: (slots, STATE_COLUMNS). now: (slots, values), the latest values. inputs: scratch, the condition's words.
    """

    plan: Ints
    bits: Ints
    resets: Ints
    latest: Ints
    nulls: Ints
    state: Ints
    now: Ints
    inputs: Ints
    count: Ints


@jit
def clear(e: Episodes, windows: Windows, slot: int) -> None:
    """Make a fresh slot empty."""
    clear_windows(windows, slot)
    for column in range(STATE_COLUMNS):
        e.state[slot, column] = 0
    e.state[slot, OVER] = e.state[slot, FIRST] = NEVER
    e.state[slot, LAST_TIME] = UNSEEN
    for v in range(len(e.nulls)):
        e.now[slot, v] = e.nulls[v]


@jit
def gather(e: Episodes, windows: Windows, slot: int) -> None:
    """Put the condition's words into the scratch inputs: the aggregates, then the latest values."""
    aggregates = len(e.bits)
    for a in range(aggregates):
        e.inputs[a] = value(windows, slot, a)
    for v in range(e.latest.shape[0]):
        e.inputs[aggregates + v] = e.now[slot, v]


@jit
def report(
    e: Episodes,
    keys: KeySpace,
    windows: Windows,
    matches: Matches,
    slot: int,
    now_us: int,
    kind: int,
    status: int,
) -> None:
    """Write an opening or a resolution: the words of the condition at that instant, and which aggregates are estimates.

    The latter is a bit each in the last value.
    """
    at = begin(matches, keys, slot, now_us, kind, e.state[slot, LAST_EVENT], e.state[slot, OPENED], status)
    if e.state[slot, OPENED_EVENT] >= 0:
        matches.count[at, 0] = 1
        refer(matches, e.state[slot, OPENED_EVENT])
    else:
        matches.count[at, 0] = 0
    for i in range(len(e.inputs)):
        matches.value[at, i] = e.inputs[i]
    guessed = np.int64(0)
    for a in range(len(e.bits)):
        guessed |= np.int64(estimated(windows, slot, a)) << a
    matches.value[at, len(e.inputs)] = guessed


@jit
def open_episode(
    e: Episodes, keys: KeySpace, windows: Windows, matches: Matches, slot: int, now_us: int, kind: int
) -> None:
    """The episode opens."""
    state = e.state[slot]
    state[PHASE], state[OVER], state[OPENED] = OPEN, NEVER, now_us
    state[OPENED_EVENT] = state[LAST_EVENT]
    report(e, keys, windows, matches, slot, now_us, kind, FIRED)


@jit
def judge(
    e: Episodes, m: Machine, keys: KeySpace, windows: Windows, matches: Matches, slot: int, now_us: int, kind: int
) -> None:
    """Judge the condition as it stands, and move the episode on."""
    state = e.state[slot]
    gather(e, windows, slot)
    holds = evaluate(m.code, e.plan[CONDITION], m.consts, m.words, slot, e.inputs, m.stack, m.real) == 1
    if state[PHASE] == OPEN:
        over = not holds
        if e.plan[UNTIL] >= 0:
            over = evaluate(m.code, e.plan[UNTIL], m.consts, m.words, slot, e.inputs, m.stack, m.real) == 1
        if not over:
            state[OVER] = NEVER
        elif state[OVER] == NEVER:
            state[OVER] = now_us
            if e.plan[KEEP] == 0:
                resolve(e, m, keys, windows, matches, slot, now_us, kind)
    elif not holds:
        state[PHASE] = CLOSED
    elif state[PHASE] == CLOSED and e.plan[FOR] == 0:
        open_episode(e, keys, windows, matches, slot, now_us, kind)
    elif state[PHASE] == CLOSED:
        state[PHASE], state[SINCE] = PENDING, now_us


@jit
def resolve(
    e: Episodes, m: Machine, keys: KeySpace, windows: Windows, matches: Matches, slot: int, now_us: int, kind: int
) -> None:
    """The episode ends; while the condition still holds no other one begins."""
    holds = evaluate(m.code, e.plan[CONDITION], m.consts, m.words, slot, e.inputs, m.stack, m.real) == 1
    e.state[slot, PHASE] = SPENT if holds else CLOSED
    report(e, keys, windows, matches, slot, now_us, kind, RESOLVED)
    e.state[slot, OVER] = NEVER


@jit
def next_deadline(e: Episodes, slot: int) -> int:
    """When `for`, `keep` or `forget` next has something to say."""
    state = e.state[slot]
    soonest = min(state[LAST_TIME] + e.plan[FORGET], state[FIRST])
    if state[PHASE] == PENDING:
        soonest = min(soonest, state[SINCE] + e.plan[FOR])
    elif state[PHASE] == OPEN and state[OVER] != NEVER:
        soonest = min(soonest, state[OVER] + e.plan[KEEP])
    return soonest


@jit
def watched(e: Episodes, slot: int) -> bool:
    """Whether an element that leaves or enters a window can matter now."""
    return e.plan[RISES] == 1 or e.state[slot, PHASE] != CLOSED


@jit
def leave(e: Episodes, windows: Windows, slot: int, now_us: int) -> bool:
    """Elements leave and enter their windows; whether that changes a value of the condition."""
    changed = False
    for a in range(len(e.bits)):
        before = value(windows, slot, a)
        if advance(windows, slot, a, now_us) and a < e.plan[JUDGED] and value(windows, slot, a) != before:
            changed = True
    return changed


@inline
def can_report(matches: Matches) -> bool:
    """Whether there is room for what one instant can bring: a judgement and a deadline, with an opening or an end each.

    An event judged at that instant finds room too.
    """
    return matches.used[ROWS] + 8 <= matches.row.shape[0] and matches.used[REFERENCES] + 8 <= len(matches.reference)


@jit
def settle(
    e: Episodes, m: Machine, keys: KeySpace, windows: Windows, matches: Matches, slot: int, until_us: int
) -> bool:
    """Everything that happens at or before `until_us` without an event, in order of time.

    False when space has run out before that: what has been done stays done, and it can be called again.
    """
    while True:
        now_us = next_deadline(e, slot)
        if watched(e, slot):
            now_us = min(now_us, next_change(windows, slot))
        if now_us > until_us:
            return True
        if not can_report(matches):
            return False
        changed = leave(e, windows, slot, now_us)
        state = e.state[slot]
        begins = state[FIRST] <= now_us
        if begins:
            state[FIRST] = NEVER
        if begins or (changed and watched(e, slot)):
            judge(e, m, keys, windows, matches, slot, now_us, DEADLINE)
        if state[PHASE] == PENDING and state[SINCE] + e.plan[FOR] <= now_us:
            gather(e, windows, slot)
            open_episode(e, keys, windows, matches, slot, now_us, DEADLINE)
        elif state[PHASE] == OPEN and state[OVER] != NEVER and state[OVER] + e.plan[KEEP] <= now_us:
            gather(e, windows, slot)
            resolve(e, m, keys, windows, matches, slot, now_us, DEADLINE)
        if state[LAST_TIME] + e.plan[FORGET] <= now_us:
            forget(e, windows, slot)
            return True


@jit
def forget(e: Episodes, windows: Windows, slot: int) -> None:
    """The key has been quiet for too long: all its state goes, an open episode too, which is counted."""
    if e.state[slot, PHASE] == OPEN:
        e.count[FORGOTTEN] += 1
    last_time, last_event = e.state[slot, LAST_TIME], e.state[slot, LAST_EVENT]
    wipe(windows, slot)
    clear(e, windows, slot)
    e.state[slot, LAST_TIME], e.state[slot, LAST_EVENT] = last_time, last_event


@inline
def last_seen(e: Episodes, slot: int) -> int:
    """The time of the last event that is judged; before there is one, of the last event that is only shown."""
    if e.state[slot, LAST_TIME] == UNSEEN:
        return e.state[slot, SINCE]
    return e.state[slot, LAST_TIME]


@jit
def next_instant(e: Episodes, windows: Windows, slot: int, now_us: int) -> int:
    """When the slot has to be visited if no event comes: something may flip, or all of it may be freed."""
    soonest = min(next_deadline(e, slot), last_seen(e, slot) + e.plan[FORGET])
    if watched(e, slot):
        soonest = min(soonest, next_change(windows, slot))
    elif e.latest.shape[0] == 0 and e.plan[ROSTERED] == 0:
        soonest = min(soonest, max(last_seen(e, slot) + e.plan[LONGEST], now_us + 1))
    return max(soonest, now_us + 1)


@kernel
def enrol(e: Episodes, keys: KeySpace, slots: Ints, first_us: int) -> None:
    """The keys of a roster that are new, by their slots, are judged for the first time at `first_us`."""
    for slot in slots:
        e.state[slot, FIRST] = first_us
        e.state[slot, OPENED_EVENT] = e.state[slot, LAST_EVENT] = -1
        schedule(keys, slot, first_us)


@kernel
def dismiss(e: Episodes, keys: KeySpace, windows: Windows, slots: Ints) -> None:
    """Keys that have left the roster lose their state; an open episode is counted as forgotten."""
    for slot in slots:
        forget(e, windows, slot)
        clear(e, windows, slot)
        if keys.slots[slot, DUE] != NEVER:
            unlink(keys, slot)
        remove(keys, slot)


@kernel
def feed(
    e: Episodes,
    m: Machine,
    keys: KeySpace,
    windows: Windows,
    matches: Matches,
    rows: Ints,
    bits: Ints,
    slots: Ints,
    keep: npt.NDArray[np.uint8],
    base: int,
    begin_at: int,
) -> int:
    """Apply rows[begin_at:]. Returns the place reached: less than len(rows) when space has run out.

    rows, bits: (m,). slots: (m,).
    keep[row] is set for every row that is judged, for any may be the last before an episode opens; a row's ordinal is
    base + row.
    """
    for i in range(begin_at, len(rows)):
        fetch_windows(windows, slots, i)
        fetch(e.state, ahead(slots, i, LATER), 0)
        fetch(keys.slots, ahead(slots, i, LATER), 0)
        slot, row, row_bits = slots[i], rows[i], bits[i]
        if windows.count[USED] + len(e.bits) > len(windows.element) or not can_report(matches):
            return i
        now_us = m.words[0, row]
        if not settle(e, m, keys, windows, matches, slot, now_us):
            return i
        for a in range(len(e.bits)):
            advance(windows, slot, a, now_us)
            if row_bits & e.resets[a]:
                drop_all(windows, slot, a)
            elif row_bits & e.bits[a]:
                arrive(windows, slot, a, now_us, m.words, row)
        for v in range(e.latest.shape[0]):
            if row_bits & e.latest[v, BIT]:
                e.now[slot, v] = m.words[e.latest[v, SLOT], row]
        if row_bits & e.plan[JUDGED_BITS]:
            e.state[slot, LAST_TIME], e.state[slot, LAST_EVENT] = now_us, base + row
            keep[row] = 1
            judge(e, m, keys, windows, matches, slot, now_us, EVENT)
        elif e.state[slot, LAST_TIME] == UNSEEN:
            e.state[slot, SINCE] = now_us
        if keys.slots[slot, DUE] > next_deadline(e, slot) or watched(e, slot) or keys.slots[slot, DUE] == NEVER:
            schedule(keys, slot, next_instant(e, windows, slot, now_us))
    return len(rows)


@kernel
def sweep(e: Episodes, m: Machine, keys: KeySpace, windows: Windows, matches: Matches, until_us: int) -> bool:
    """Settle every key in which something is due by `until_us`; false when space has run out (call again)."""
    while True:
        slot = next_due(keys, until_us)
        if slot < 0:
            return True
        if not settle(e, m, keys, windows, matches, slot, until_us):
            schedule(keys, slot, until_us)
            return False
        advance_all(windows, slot, until_us)
        gone = last_seen(e, slot) + e.plan[FORGET] <= until_us
        idle = e.state[slot, PHASE] == CLOSED and empty(windows, slot) and e.plan[ROSTERED] == 0
        if gone or (idle and e.latest.shape[0] == 0):
            wipe(windows, slot)
            clear(e, windows, slot)
            remove(keys, slot)
        else:
            schedule(keys, slot, next_instant(e, windows, slot, until_us))
