"""`match all` over single steps without look-back: every combination of events, held once in a shared graph.

At each stage stand the events that the runs there captured last, as nodes; a node knows the newest node of the stage
before that it goes on from, and all older ones there are its predecessors too. So an event adds one node a stage,
however many runs it moves, and a match is a walk back along the graph, made only when it is complete. Newer nodes have
newer starts, so a walk never meets a dead end: between two matches lie at most as many nodes as the rule has steps.
(After Bucchi et al., "CORE: a complex event recognition engine", VLDB 2022, for one shape of pattern.)

Of one event at most `max` matches are made, the newest events first; that more were cut off is counted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit, kernel
from cep.kernels.keys import NEVER, KeySpace, hand, hand_steps, remove
from cep.kernels.matches import EVENT, FIRED, REFERENCES, ROWS, Matches, begin, refer

Ints = npt.NDArray[np.int64]

# Columns of Combinations.stages: stage s holds what has captured step s and waits for step s + 1. A gap of -1 is none.
NEXT_BIT, NEXT_GAP, NEXT_IMMEDIATE, GUARD_BITS = range(4)
STAGE_COLUMNS = 4

# Columns of Combinations.leading.
BIT, WINDOW = range(2)

# Places in Combinations.plan. SEEN: the column of Combinations.slots where the times of leading guards begin.
WITHIN, STEPS, MOST, SEEN = range(4)

# Columns of Combinations.slots: how many events the key has had and how many nodes it holds, then for each stage its
# oldest and newest node, how many, and the event up to which nodes go on no more because a guard has ended them.
EVENTS, SLOT_NODES, FIRST_STAGE = range(3)
HEAD, TAIL, LENGTH, BARRIER = range(4)
SLOT_STAGE_COLUMNS = 4

# Columns of Combinations.node. START, START_TIME: the newest run that ends here. LINK: its newest predecessor; those
# captured up to the event LOW are none. BEFORE, AFTER: the neighbours in its stage.
ORDINAL, TIME, KEY_EVENT, START, START_TIME, LINK, LOW, BEFORE, AFTER = range(9)
NODE_COLUMNS = 9

# Columns of Combinations.walk: at each stage the node where a walk stands, the bound of its neighbours, and when the
# event behind it in the walk was.
AT, BOUND, UNTIL = range(3)
WALK_COLUMNS = 3

# Places in Combinations.count. CUT: how many events completed more matches than were made.
NODES, NODE_TOP, NODE_FREE, CUT = range(4)
COUNTS = 4


class Combinations(NamedTuple):
    """stages, leading, plan: tables. slots: one row for each key. node: the pool. walk: scratch, a row a stage."""

    stages: Ints
    leading: Ints
    plan: Ints
    slots: Ints
    node: Ints
    walk: Ints
    count: Ints


@inline
def of_stage(s: int) -> int:
    """The column of a slot from which on stage s keeps its HEAD, TAIL, LENGTH and BARRIER."""
    return FIRST_STAGE + SLOT_STAGE_COLUMNS * s


@jit
def clear(c: Combinations, slot: int) -> None:
    """Make a fresh slot empty."""
    c.slots[slot, EVENTS] = 0
    c.slots[slot, SLOT_NODES] = 0
    for s in range(c.stages.shape[0]):
        c.slots[slot, of_stage(s) + HEAD] = -1
        c.slots[slot, of_stage(s) + TAIL] = -1
        c.slots[slot, of_stage(s) + LENGTH] = 0
        c.slots[slot, of_stage(s) + BARRIER] = -1
    for g in range(c.leading.shape[0]):
        c.slots[slot, c.plan[SEEN] + g] = -NEVER


@inline
def drop_first(c: Combinations, slot: int, s: int) -> None:
    """The oldest node of a stage goes."""
    node = c.slots[slot, of_stage(s) + HEAD]
    after = c.node[node, AFTER]
    c.slots[slot, of_stage(s) + HEAD] = after
    c.slots[slot, of_stage(s) + LENGTH] -= 1
    if after >= 0:
        c.node[after, BEFORE] = -1
    else:
        c.slots[slot, of_stage(s) + TAIL] = -1
    c.node[node, ORDINAL] = -1
    c.node[node, AFTER] = c.count[NODE_FREE]
    c.count[NODE_FREE] = node
    c.count[NODES] -= 1
    c.slots[slot, SLOT_NODES] -= 1


@inline
def settle(c: Combinations, slot: int, now_us: int) -> None:
    """Nodes in which no run is left go: their newest start lies a horizon back."""
    for s in range(c.stages.shape[0]):
        while (
            c.slots[slot, of_stage(s) + HEAD] >= 0
            and c.node[c.slots[slot, of_stage(s) + HEAD], START_TIME] + c.plan[WITHIN] <= now_us
        ):
            drop_first(c, slot, s)


@inline
def append(c: Combinations, slot: int, s: int, ordinal: int, now_us: int, link: int, low: int) -> None:
    """The event becomes the newest node of a stage; `link` -1 begins runs."""
    node = c.count[NODE_FREE]
    if node >= 0:
        c.count[NODE_FREE] = c.node[node, AFTER]
    else:
        node = c.count[NODE_TOP]
        c.count[NODE_TOP] += 1
    c.count[NODES] += 1
    c.slots[slot, SLOT_NODES] += 1
    last = c.slots[slot, of_stage(s) + TAIL]
    c.node[node, ORDINAL] = ordinal
    c.node[node, TIME] = now_us
    c.node[node, KEY_EVENT] = c.slots[slot, EVENTS]
    c.node[node, START] = c.node[link, START] if link >= 0 else ordinal
    c.node[node, START_TIME] = c.node[link, START_TIME] if link >= 0 else now_us
    c.node[node, LINK] = link
    c.node[node, LOW] = low
    c.node[node, BEFORE] = last
    c.node[node, AFTER] = -1
    if last >= 0:
        c.node[last, AFTER] = node
    else:
        c.slots[slot, of_stage(s) + HEAD] = node
    c.slots[slot, of_stage(s) + TAIL] = node
    c.slots[slot, of_stage(s) + LENGTH] += 1


@inline
def emit(c: Combinations, keys: KeySpace, matches: Matches, slot: int, ordinal: int, now_us: int) -> None:
    """Write the match that the walk stands at; the event completes it."""
    start = c.node[c.walk[0, AT], ORDINAL] if c.stages.shape[0] > 0 else ordinal
    at = begin(matches, keys, slot, now_us, EVENT, ordinal, start, FIRED)
    for k in range(c.plan[STEPS]):
        matches.count[at, k] = 1
        refer(matches, c.node[c.walk[k, AT], ORDINAL] if k < c.stages.shape[0] else ordinal)


@inline
def precedes(c: Combinations, k: int, now_us: int) -> bool:
    """Whether the node where the walk stands at stage k is a predecessor of the one behind it, and has a run."""
    node = c.walk[k, AT]
    if node < 0 or c.node[node, ORDINAL] <= c.walk[k, BOUND]:
        return False
    if c.node[node, START_TIME] + c.plan[WITHIN] <= now_us:
        return False
    return c.stages[k, NEXT_GAP] < 0 or c.node[node, TIME] + c.stages[k, NEXT_GAP] > c.walk[k, UNTIL]


@jit
def enumerate_matches(
    c: Combinations, keys: KeySpace, matches: Matches, slot: int, tail: int, low: int, ordinal: int, now_us: int
) -> None:
    """Make the matches that the event completes from the last stage's nodes, `tail` being the newest.

    Walks go from newer to older nodes; the rows are turned round in the end, for runs stand in the order in which they
    came to be.
    """
    deepest = c.stages.shape[0] - 1
    first = matches.used[ROWS]
    k = deepest
    c.walk[k, AT], c.walk[k, BOUND], c.walk[k, UNTIL] = tail, low, now_us
    while True:
        if not precedes(c, k, now_us):
            if k == deepest:
                break
            k += 1
        elif k > 0:
            node = c.walk[k, AT]
            c.walk[k - 1, AT], c.walk[k - 1, BOUND] = c.node[node, LINK], c.node[node, LOW]
            c.walk[k - 1, UNTIL] = c.node[node, TIME]
            k -= 1
            continue
        elif matches.used[ROWS] - first == c.plan[MOST]:
            c.count[CUT] += 1
            break
        else:
            emit(c, keys, matches, slot, ordinal, now_us)
        c.walk[k, AT] = c.node[c.walk[k, AT], BEFORE]
    turn_round(matches, first, matches.used[ROWS] - 1)


@jit
def turn_round(matches: Matches, low: int, high: int) -> None:
    """Turn the order of some rows round; every row has one count a step, and knows where its references are."""
    while low < high:
        for i in range(matches.row.shape[1]):
            matches.row[low, i], matches.row[high, i] = matches.row[high, i], matches.row[low, i]
        low += 1
        high -= 1


@inline
def extend(c: Combinations, keys: KeySpace, matches: Matches, slot: int, s: int, ordinal: int, now_us: int) -> None:
    """The runs of stage s that may do so go on with the event, as copies."""
    tail, low = c.slots[slot, of_stage(s) + TAIL], c.slots[slot, of_stage(s) + BARRIER]
    if c.stages[s, NEXT_IMMEDIATE]:
        if c.node[tail, KEY_EVENT] != c.slots[slot, EVENTS] - 1:
            return
        low = max(low, c.node[tail, ORDINAL] - 1)
    if c.node[tail, ORDINAL] <= low:
        return
    if c.stages[s, NEXT_GAP] >= 0 and c.node[tail, TIME] + c.stages[s, NEXT_GAP] <= now_us:
        return
    if s + 1 == c.stages.shape[0]:
        enumerate_matches(c, keys, matches, slot, np.int64(tail), np.int64(low), ordinal, now_us)
    else:
        append(c, slot, s + 1, ordinal, now_us, tail, low)


@inline
def offer(c: Combinations, keys: KeySpace, matches: Matches, slot: int, bits: int, ordinal: int, now_us: int) -> None:
    """Offer the event to the runs of every stage, deepest first, so that none takes it twice."""
    for s in range(c.stages.shape[0] - 1, -1, -1):
        tail = c.slots[slot, of_stage(s) + TAIL]
        if tail < 0:
            continue
        if bits & c.stages[s, GUARD_BITS]:
            c.slots[slot, of_stage(s) + BARRIER] = c.node[tail, ORDINAL]
        elif bits & c.stages[s, NEXT_BIT]:
            extend(c, keys, matches, slot, s, ordinal, now_us)


@inline
def may_start(c: Combinations, slot: int, bits: int, now_us: int) -> bool:
    """Note the event for the leading guards, and whether they let a run begin at it."""
    free = True
    for g in range(c.leading.shape[0]):
        if bits & c.leading[g, BIT]:
            c.slots[slot, c.plan[SEEN] + g] = now_us
        if c.slots[slot, c.plan[SEEN] + g] + c.leading[g, WINDOW] > now_us:
            free = False
    return free


@inline
def room(c: Combinations, matches: Matches, slot: int) -> bool:
    """Whether one more event of this slot is sure to find all the space it may need."""
    if c.count[NODES] + c.stages.shape[0] > c.node.shape[0]:
        return False
    made = np.int64(1)
    for s in range(c.stages.shape[0]):
        made = min(made * c.slots[slot, of_stage(s) + LENGTH], c.plan[MOST])
    made = max(made, np.int64(1))
    if matches.used[ROWS] + made > matches.row.shape[0]:
        return False
    return matches.used[REFERENCES] + made * c.plan[STEPS] <= len(matches.reference)


@kernel
def feed(
    c: Combinations,
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

    rows, bits, times: (m,); bit 0 is the first step. slots: (m,), -1 for a key that nothing waits for. keep[row] is
    set for rows that a node or a match refers to; a row's ordinal is base + row.
    """
    for i in range(begin_at, len(rows)):
        slot, row, row_bits = slots[i], rows[i], bits[i]
        if slot < 0:
            continue
        now_us, ordinal = times[i], base + row
        settle(c, slot, now_us)
        if not room(c, matches, slot):
            return i
        offer(c, keys, matches, slot, row_bits, ordinal, now_us)
        free = may_start(c, slot, row_bits, now_us)
        if row_bits & 1 and free:
            if c.stages.shape[0] > 0:
                append(c, slot, np.int64(0), ordinal, now_us, np.int64(-1), np.int64(-1))
            else:
                emit(c, keys, matches, slot, ordinal, now_us)
        c.slots[slot, EVENTS] += 1
        keep[row] = 1
    return len(rows)


@inline
def idle(c: Combinations, slot: int, now_us: int) -> bool:
    """Whether nothing in the slot can matter any more."""
    none = c.slots[slot, SLOT_NODES] == 0
    for g in range(c.leading.shape[0]):
        none = none and c.slots[slot, c.plan[SEEN] + g] + c.leading[g, WINDOW] <= now_us
    return none


@kernel
def tidy(c: Combinations, keys: KeySpace, until_us: int) -> None:
    """Let the clock's hand free what has ended by `until_us`."""
    for _ in range(hand_steps(keys, until_us)):
        slot = hand(keys)
        if slot < 0:
            continue
        settle(c, slot, until_us)
        if idle(c, slot, until_us):
            clear(c, slot)
            remove(keys, slot)
