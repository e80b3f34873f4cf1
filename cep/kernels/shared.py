"""Sequences that differ only in what their last step asks: one chain of runs for all, a fence for each rule and key.

Up to the last step all members do the same, so a run waits once for all of them. An event of the last step is offered
to the members whose filter it passes, which the index of filters tells; each completes the runs that it has not
consumed. Runs stand in order of start, and what a member consumes is always what started up to some event: its fence.
So a run that one member has consumed goes on waiting for the others, until its horizon is over, and a member that
makes no match costs nothing. Of a plan with one member, runs behind the fence are dropped instead.

The stage whose runs wait for the last step is the last but one; the last is never stood in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit, kernel
from cep.kernels.chain import drop_started_by, emit, fetch_stages, guarded, may_start, next_fits, offer, settle, start
from cep.kernels.fifos import (
    AFTER,
    EACH,
    EACH_REFERENCES_MAX,
    EVENTS,
    HEAD,
    LOOPS,
    NODES,
    OPEN,
    REF,
    RUNS,
    SLOT_NODES,
    START,
    STEPS,
    TAIL,
    WITHIN,
    Chain,
    close,
    forget_log,
    ready,
)
from cep.kernels.filters import Filters, passing
from cep.kernels.keys import KeySpace
from cep.kernels.matches import EVENT, FIRED, MEMBER, REFERENCES, ROWS, Matches, begin, refer
from cep.kernels.runs import Machine

Ints = npt.NDArray[np.int64]

# Columns of Shared.fence. PLACE: slot and member in one number, -1 of an empty row. ORDINAL: what started up to here is
# consumed. RUN, RUN_START: the last run, when the fence was set, that waited for the last step and is behind the fence:
# the first one in front of it stands after that one, as long as it is there. UNTIL: when all runs behind are gone.
PLACE, ORDINAL, RUN, RUN_START, UNTIL = range(5)
FENCE_COLUMNS = 5

# What became of an event of the last step.
NO_ROOM, OFFERED, CONSUMED = np.int64(0), np.int64(1), np.int64(2)


class Shared(NamedTuple):
    """since: (members,), the last event that was before the member's time. fence: open addressing, at most half full.

    count: (1,), the fences. passing, first: (members,), scratch.
    """

    since: Ints
    fence: Ints
    count: Ints
    passing: Ints
    first: Ints


@inline
def place_of(sh: Shared, slot: int, member: int) -> int:
    """The row of a fence, or the empty one where it would stand."""
    wanted = slot * len(sh.since) + member
    mask = len(sh.fence) - 1
    at = np.int64((np.uint64(wanted) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & mask
    while sh.fence[at, PLACE] >= 0 and sh.fence[at, PLACE] != wanted:
        at = (at + 1) & mask
    return at


@kernel
def consumed_up_to(sh: Shared, slot: int, member: int) -> int:
    """The last event up to which the member has consumed what started, or which was before its time."""
    at = place_of(sh, slot, member)
    return max(sh.since[member], sh.fence[at, ORDINAL]) if sh.fence[at, PLACE] >= 0 else sh.since[member]


@jit
def set_fence(sh: Shared, slot: int, member: int, ordinal: int, run: int, run_start: int, until_us: int) -> None:
    """The member has consumed what started up to `ordinal`."""
    at = place_of(sh, slot, member)
    if sh.fence[at, PLACE] < 0:
        sh.count[0] += 1
    row = sh.fence[at]
    row[PLACE] = slot * len(sh.since) + member
    row[ORDINAL], row[RUN], row[RUN_START], row[UNTIL] = ordinal, run, run_start, until_us


@kernel
def copy_fences(source: Ints, target: Shared, now_us: int) -> None:
    """Set the fences of a table of the same members that some run may still be behind."""
    members = len(target.since)
    for i in range(source.shape[0]):
        row = source[i]
        if row[PLACE] >= 0 and row[UNTIL] > now_us:
            slot = row[PLACE] // members
            member = row[PLACE] - slot * members
            set_fence(target, slot, member, row[ORDINAL], row[RUN], row[RUN_START], row[UNTIL])


@jit
def first_open(c: Chain, sh: Shared, slot: int, s: int, member: int) -> int:
    """The first run of stage s that the member has not consumed, -1 for none."""
    after = consumed_up_to(sh, slot, member)
    run = c.slots[slot, HEAD + 2 * s]
    if c.run[c.slots[slot, TAIL + 2 * s], START] <= after:
        return np.int64(-1)
    at = place_of(sh, slot, member)
    behind = sh.fence[at, RUN]
    if sh.fence[at, PLACE] >= 0 and behind >= 0 and c.run[behind, START] == sh.fence[at, RUN_START]:
        run = c.run[behind, AFTER]
    while run >= 0 and c.run[run, START] <= after:
        run = c.run[run, AFTER]
    return run


@jit
def completions(c: Chain, sh: Shared, slot: int, s: int, count: int) -> int:
    """Find for each passing member the first run that it completes (-1: none); how many matches there will be."""
    total = 0
    for j in range(count):
        run = first_open(c, sh, slot, s, sh.passing[j])
        if run >= 0 and not ready(c, slot, s, run):
            run = np.int64(-1)
        sh.first[j] = run
        while run >= 0 and ready(c, slot, s, run):
            total += 1
            run = c.run[run, AFTER] if c.plan[EACH] else np.int64(-1)
    return total


@inline
def references_of(c: Chain, slot: int) -> int:
    """The most references that a match of this slot can have."""
    if c.plan[EACH]:
        return c.plan[STEPS] * (EACH_REFERENCES_MAX if c.plan[LOOPS] else 1)
    return c.plan[STEPS] + c.slots[slot, SLOT_NODES]


@jit
def complete(
    c: Chain, sh: Shared, keys: KeySpace, matches: Matches, slot: int, f: Filters, m: Machine, row: int, ordinal: int
) -> int:
    """Offer an event of the last step to the runs that wait for it; CONSUMED when it must not begin a run either.

    Without the room for all matches it is NO_ROOM, and nothing is done.
    """
    s, now_us = np.int64(c.stages.shape[0] - 2), m.words[0, row]
    count = passing(f, m, row, sh.passing, np.int64(len(sh.passing)))
    total = completions(c, sh, slot, s, count)
    if matches.used[ROWS] + total > matches.row.shape[0]:
        return NO_ROOM
    if matches.used[REFERENCES] + total * references_of(c, slot) > len(matches.reference):
        return NO_ROOM
    if 2 * (sh.count[0] + count) > len(sh.fence):
        return NO_ROOM
    last = REF + 2 * (c.plan[STEPS] - 1)
    for j in range(count):
        member, run, behind = sh.passing[j], sh.first[j], np.int64(-1)
        while run >= 0 and ready(c, slot, s, run):
            if c.stages[s, OPEN]:
                close(c, slot, s, run)
            c.run[run, last], c.run[run, last + 1] = ordinal, 1
            matches.row[matches.used[ROWS], MEMBER] = member
            emit(c, keys, matches, slot, run, now_us, EVENT, ordinal)
            behind = run
            run = c.run[run, AFTER] if c.plan[EACH] else np.int64(-1)
        if behind < 0:
            continue
        if not c.plan[EACH]:
            behind = c.slots[slot, TAIL + 2 * s]
        consumed = c.run[behind, START] if c.plan[EACH] else ordinal
        if len(sh.since) == 1:
            drop_started_by(c, slot, consumed)
        else:
            set_fence(sh, slot, member, consumed, behind, c.run[behind, START], now_us + c.plan[WITHIN])
    return CONSUMED if total > 0 and len(sh.since) == 1 and not c.plan[EACH] else OFFERED


@inline
def waits(c: Chain, slot: int, bits: int, now_us: int) -> bool:
    """Whether some run may complete at the event."""
    s = np.int64(c.stages.shape[0] - 2)
    head = np.int64(c.slots[slot, HEAD + 2 * s])
    return (
        head >= 0
        and next_fits(c, slot, s, bits, now_us)
        and ready(c, slot, s, head)
        and not (guarded(c, slot, s, bits, now_us))
    )


@jit
def match_single(
    c: Chain, sh: Shared, keys: KeySpace, matches: Matches, slot: int, f: Filters, m: Machine, row: int, ordinal: int
) -> bool:
    """The matches at one event of sequences of one step. False, and nothing is done, without the room."""
    count = passing(f, m, row, sh.passing, np.int64(len(sh.passing)))
    if matches.used[ROWS] + count > matches.row.shape[0] or matches.used[REFERENCES] + count > len(matches.reference):
        return False
    for j in range(count):
        matches.row[matches.used[ROWS], MEMBER] = sh.passing[j]
        at = begin(matches, keys, slot, m.words[0, row], EVENT, ordinal, ordinal, FIRED)
        matches.count[at, 0] = 1
        refer(matches, ordinal)
    return True


@kernel
def feed(
    c: Chain,
    sh: Shared,
    keys: KeySpace,
    matches: Matches,
    f: Filters,
    m: Machine,
    rows: Ints,
    bits: Ints,
    slots: Ints,
    last_bit: int,
    keep: npt.NDArray[np.uint8],
    base: int,
    begin_at: int,
) -> int:
    """Offer rows[begin_at:], as the chain's `feed` does; `last_bit` is that of the last step."""
    steps = c.plan[STEPS]
    for i in range(begin_at, len(rows)):
        fetch_stages(c, slots, i)
        slot, row, row_bits = slots[i], rows[i], bits[i]
        if slot < 0:
            continue
        if c.count[RUNS] + 1 > c.run.shape[0] or c.count[NODES] + steps > c.node.shape[0]:
            return i
        now_us, ordinal = m.words[0, row], base + row
        settle(c, keys, matches, slot, now_us)
        if steps == 1:
            free = may_start(c, slot, row_bits, now_us)
            if row_bits & 1 and free and not match_single(c, sh, keys, matches, slot, f, m, row, ordinal):
                return i
        else:
            done = OFFERED
            if row_bits & last_bit and waits(c, slot, row_bits, now_us):
                done = complete(c, sh, keys, matches, slot, f, m, row, ordinal)
                if done == NO_ROOM:
                    return i
            offer(c, keys, matches, slot, row_bits & ~last_bit, ordinal, now_us)
            free = may_start(c, slot, row_bits, now_us)
            if row_bits & 1 and free and done != CONSUMED:
                start(c, keys, matches, slot, ordinal, now_us)
        c.slots[slot, EVENTS] += 1
        if c.plan[LOOPS]:
            forget_log(c, slot)
        keep[row] = 1
    return len(rows)
