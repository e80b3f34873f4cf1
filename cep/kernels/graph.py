"""Sequences with structure: groups, choices, what may be left out, `then each`, `until`, `resume at`.

Each waiting run is offered each event (see `moves`); here is what then becomes of all the runs of a key: copies,
starts, matches by policy, deadlines. At most `max` runs of a key wait.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit, kernel
from cep.kernels.graph_runs import drop_first, keep_newest, offer_all, report, settle, start
from cep.kernels.keys import NEVER, KeySpace, hand, hand_steps, next_due, remove, schedule
from cep.kernels.matches import REFERENCES, ROWS, Matches
from cep.kernels.paths import ALL_NODES, DEADLINES, LEADING, MAX_STARTS, POLICY, Paths, captured
from cep.kernels.runs import (
    CAPACITY,
    KEY_EVENTS,
    LAST_POLICY,
    NODES,
    RUN_TOP,
    RUNS,
    SEEN,
    SMALLEST_BLOCK,
    SOONEST,
    Machine,
    first_run,
    give_block,
)

Ints = npt.NDArray[np.int64]


@jit
def clear(p: Paths, slot: int) -> None:
    """Make a slot empty."""
    for column in range(SEEN):
        p.slots[slot, column] = 0
    p.slots[slot, SOONEST] = NEVER
    for w in range(p.plan[LEADING]):
        p.slots[slot, SEEN + w] = -NEVER


@inline
def next_instant(p: Paths, slot: int, now_us: int) -> int:
    """When something next ends or fires in the slot if no event comes."""
    soonest = p.slots[slot, SOONEST]
    for w in range(p.plan[LEADING]):
        if p.slots[slot, SEEN + w] + p.watched[w, 1] > now_us:
            soonest = min(soonest, p.slots[slot, SEEN + w] + p.watched[w, 1])
    return min(max(soonest, now_us + 1), NEVER - 1)


@inline
def idle(p: Paths, slot: int, now_us: int) -> bool:
    """Whether nothing in the slot can matter any more."""
    none = p.slots[slot, RUNS] == 0
    for w in range(p.plan[LEADING]):
        none = none and p.slots[slot, SEEN + w] + p.watched[w, 1] <= now_us
    return none


@jit
def references(p: Paths, slot: int) -> int:
    """How many events the matches of one more event can refer to at most."""
    first, total = first_run(p, slot), np.int64(1)
    for run in range(first, first + p.slots[slot, RUNS]):
        total += 2 * (captured(p, run) + 1)
    return total


@inline
def room(p: Paths, matches: Matches, slot: int) -> bool:
    """Whether one more event of this slot is sure to find all the space it may need."""
    waiting = 2 * p.slots[slot, RUNS] + 1
    capacity = max(2 * p.slots[slot, CAPACITY], 4 * waiting, np.int64(SMALLEST_BLOCK))
    if p.count[RUN_TOP] + capacity > p.run.shape[0]:
        return False
    if p.count[ALL_NODES] + waiting > p.node.shape[0] or matches.used[ROWS] + waiting > matches.row.shape[0]:
        return False
    left = len(matches.reference) - matches.used[REFERENCES]
    return waiting * (p.slots[slot, NODES] + 1) <= left or references(p, slot) <= left


@kernel
def feed(
    p: Paths,
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

    rows, bits: (m,). slots: (m,), -1 for a key that nothing waits for. keep[row] is set for rows that a run or a match
    refers to; a row's ordinal is base + row.
    """
    for i in range(begin_at, len(rows)):
        slot, row, row_bits = slots[i], rows[i], bits[i]
        if slot < 0:
            continue
        if not room(p, matches, slot):
            return i
        now_us, ordinal = m.words[0, i], base + row
        settle(p, keys, matches, slot, now_us)
        offer_all(p, m, slot, row_bits, i, ordinal, now_us)
        start(p, m, slot, row_bits, i, ordinal, now_us)
        report(p, keys, matches, slot, ordinal, now_us)
        if p.plan[POLICY] == LAST_POLICY:
            keep_newest(p, slot)
        while p.slots[slot, RUNS] > p.plan[MAX_STARTS]:
            drop_first(p, slot)
        p.slots[slot, KEY_EVENTS] += 1
        keep[row] = 1
        if p.plan[DEADLINES]:
            schedule(keys, slot, next_instant(p, slot, now_us))
    return len(rows)


@kernel
def sweep(p: Paths, keys: KeySpace, matches: Matches, until_us: int) -> bool:
    """Settle every key in which something is due by `until_us`; false when space has run out (call again)."""
    while True:
        slot = next_due(keys, until_us)
        if slot < 0:
            return True
        if not room(p, matches, slot):
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
def tidy(p: Paths, keys: KeySpace, matches: Matches, until_us: int) -> None:
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
