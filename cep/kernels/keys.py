"""Key spaces: key → dense slot, slots reused when freed, and one timing wheel for what is due.

A key is found by open addressing. One that is a single small number, as the ids of texts are, is found in a table that
the number is the place in: no hash, no comparison, and a cache that holds sixteen keys a line.

A plan's state is arrays indexed by slot. Each live slot stands in the wheel at or before the next instant at which
something can end or fire in it, so a key that goes quiet is visited when that is due and then freed; a key that is
busy settles what is due when its next event comes, and costs the wheel nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit, kernel
from cep.layout.columns import KEY_PARTS_MAX

Ints = npt.NDArray[np.int64]
Slots = npt.NDArray[np.int32]

NEVER = 2**62  # later than any instant
BUCKETS = 1024  # of the wheel; a power of two
TICKS_PER_SPAN = 256  # of the plan's longest horizon, so that the wheel goes round in four horizons

# Columns of KeySpace.slots, one cache line for each key. AFTER, BEFORE: links in the wheel; AFTER also in the list of
# free slots.
HASH, DUE, AFTER, BEFORE, KEY = range(5)
SLOT_COLUMNS = KEY + KEY_PARTS_MAX

# Places in KeySpace.count.
LIVE, TOP, FREE, TICK, CURSOR, POSITION, HAND, SWEPT, SEED = range(9)
COUNTS = 9


class KeySpace(NamedTuple):
    """table: slot or -1, at least twice as long as there are slots. slots: (slots, SLOT_COLUMNS). head: the wheel.

    direct: slot or -1 of the keys that are one number from 0 up to its length; no such key stands in `table`.
    """

    table: Slots
    direct: Slots
    slots: Ints
    head: Slots
    count: Ints


@inline
def hash_of(words: Ints, column: int, seed: int) -> int:
    """A 63-bit hash of the key in `words[:, column]` (multiply and shift, after SplitMix64).

    Who does not know the seed cannot make up keys that all stand in one place.
    """
    h = np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(seed)
    for part in range(words.shape[0]):
        h = (h ^ np.uint64(words[part, column])) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h = h ^ (h >> np.uint64(31))
    return np.int64(h >> np.uint64(1))


@inline
def find(keys: KeySpace, words: Ints, column: int, hashed: int) -> int:
    """The slot of the key in `words[:, column]`, or -1."""
    mask = len(keys.table) - 1
    at = hashed & mask
    while keys.table[at] >= 0:
        slot = keys.table[at]
        if keys.slots[slot, HASH] == hashed:
            same = True
            for part in range(words.shape[0]):
                if keys.slots[slot, KEY + part] != words[part, column]:
                    same = False
            if same:
                return np.int64(slot)
        at = (at + 1) & mask
    return np.int64(-1)


@jit
def insert(keys: KeySpace, words: Ints, column: int, hashed: int) -> int:
    """A slot for a key that has none. The caller has made sure that one is free."""
    slot = keys.count[FREE]
    if slot >= 0:
        keys.count[FREE] = keys.slots[slot, AFTER]
    else:
        slot = keys.count[TOP]
        keys.count[TOP] += 1
    keys.count[LIVE] += 1
    for part in range(words.shape[0]):
        keys.slots[slot, KEY + part] = words[part, column]
    keys.slots[slot, HASH] = hashed
    keys.slots[slot, DUE] = NEVER
    place(keys.table, keys.direct, keys.slots, slot)
    return slot


@inline
def is_direct(direct: Slots, word: int) -> bool:
    """Whether a key that begins with the word is found by it alone; `direct` is empty where keys have several parts."""
    return word >= 0 and word < len(direct)


@jit
def place(table: Slots, direct: Slots, slots: Ints, slot: int) -> None:
    """Enter a slot where its key will be looked for."""
    if is_direct(direct, slots[slot, KEY]):
        direct[slots[slot, KEY]] = slot
        return
    mask = len(table) - 1
    at = slots[slot, HASH] & mask
    while table[at] >= 0:
        at = (at + 1) & mask
    table[at] = slot


@jit
def remove(keys: KeySpace, slot: int) -> None:
    """Free a slot that is not in the wheel."""
    if is_direct(keys.direct, keys.slots[slot, KEY]):
        keys.direct[keys.slots[slot, KEY]] = -1
    else:
        take_out(keys, slot)
    keys.slots[slot, HASH] = -1
    keys.slots[slot, AFTER] = keys.count[FREE]
    keys.count[FREE] = slot
    keys.count[LIVE] -= 1


@jit
def take_out(keys: KeySpace, slot: int) -> None:
    """Take a slot out of the table; later entries of its chain move up, so no tombstones are left."""
    mask = len(keys.table) - 1
    hole = keys.slots[slot, HASH] & mask
    while keys.table[hole] != slot:
        hole = (hole + 1) & mask
    at = (hole + 1) & mask
    while keys.table[at] >= 0:
        home = keys.slots[keys.table[at], HASH] & mask
        if ((at - home) & mask) >= ((at - hole) & mask):
            keys.table[hole] = keys.table[at]
            hole = at
        at = (at + 1) & mask
    keys.table[hole] = -1


@kernel
def rehash(table: Slots, direct: Slots, slots: Ints, top: int) -> None:
    """Fill empty tables from the slots below `top`; a freed slot's hash is -1."""
    for slot in range(top):
        if slots[slot, HASH] >= 0:
            place(table, direct, slots, slot)


@inline
def unlink(keys: KeySpace, slot: int) -> None:
    """Take a slot out of the wheel."""
    after, before = keys.slots[slot, AFTER], keys.slots[slot, BEFORE]
    if before >= 0:
        keys.slots[before, AFTER] = after
    else:
        keys.head[(keys.slots[slot, DUE] // keys.count[TICK]) & (BUCKETS - 1)] = after
    if after >= 0:
        keys.slots[after, BEFORE] = before
    keys.slots[slot, DUE] = NEVER


@inline
def schedule(keys: KeySpace, slot: int, due_us: int) -> None:
    """See to it that the slot is visited by `due_us`. One that stands earlier stays: its visit will put it right."""
    if keys.slots[slot, DUE] <= due_us:
        return
    if keys.slots[slot, DUE] != NEVER:
        unlink(keys, slot)
    bucket = (due_us // keys.count[TICK]) & (BUCKETS - 1)
    first = keys.head[bucket]
    keys.head[bucket] = slot
    keys.slots[slot, AFTER] = first
    keys.slots[slot, BEFORE] = -1
    if first >= 0:
        keys.slots[first, BEFORE] = slot
    keys.slots[slot, DUE] = due_us


@kernel
def begin_sweep(keys: KeySpace, until_us: int) -> None:
    """Prepare to visit all that is due up to and including `until_us`."""
    oldest = until_us // keys.count[TICK] - BUCKETS + 1
    keys.count[CURSOR] = max(keys.count[CURSOR], oldest)
    keys.count[POSITION] = keys.head[keys.count[CURSOR] & (BUCKETS - 1)]


@jit
def next_due(keys: KeySpace, until_us: int) -> int:
    """A slot that is due, taken out of the wheel, or -1 when the sweep is over."""
    last = until_us // keys.count[TICK]
    position = keys.count[POSITION]
    while True:
        while position >= 0:
            after = keys.slots[position, AFTER]
            if keys.slots[position, DUE] <= until_us:
                keys.count[POSITION] = after
                unlink(keys, position)
                return position
            position = after
        if keys.count[CURSOR] >= last:
            keys.count[POSITION] = -1
            return np.int64(-1)
        keys.count[CURSOR] += 1
        position = np.int64(keys.head[keys.count[CURSOR] & (BUCKETS - 1)])


@kernel
def resolve(keys: KeySpace, key: Ints, bits: Ints, wakes: int, slots: Ints, begin_at: int) -> int:
    """slots[i] = the slot of the key `key[:, i]`, from `begin_at` on; the place reached when no slot is free.

    A key that has none gets one if its row has a bit of `wakes`, and is -1 otherwise. Looked up with nothing in
    between, the cache misses of one row overlap those of the next.
    """
    seed = keys.count[SEED]
    for i in range(begin_at, len(bits)):
        direct = key.shape[0] == 1 and is_direct(keys.direct, key[0, i])
        slot = np.int64(keys.direct[key[0, i]]) if direct else find(keys, key, i, hash_of(key, i, seed))
        if slot < 0 and bits[i] & wakes:
            if keys.count[LIVE] + 2 > len(keys.slots):
                return i
            slot = insert(keys, key, i, hash_of(key, i, seed))
        slots[i] = slot
    return len(bits)


@kernel
def group(slots: Ints, rows: Ints, bits: Ints, starts: Slots, grouped: Ints) -> None:
    """Rows, bits and slots, shape (3, n), in the order of their slots, those of one slot in their own (counting sort).

    Keys do not see each other, so a plan may take the rows of a batch key by key, and then meets each key's state once.
    starts: zeros, two more than the largest slot; slot -1 comes first.
    """
    for i in range(len(slots)):
        starts[slots[i] + 2] += 1
    for s in range(1, len(starts)):
        starts[s] += starts[s - 1]
    for i in range(len(slots)):
        at = slots[i] + 1
        place = starts[at]
        grouped[0, place], grouped[1, place], grouped[2, place] = rows[i], bits[i], slots[i]
        starts[at] += 1


@jit
def hand_steps(keys: KeySpace, until_us: int) -> int:
    """How many slots the clock's hand moves on by: once round all of them in two spans of time.

    For plans in which nothing fires at a deadline: a key that has gone quiet is then freed within two more spans.
    """
    elapsed, top = until_us - keys.count[SWEPT], keys.count[TOP]
    span = 2 * keys.count[TICK] * TICKS_PER_SPAN
    steps = top if elapsed >= span else np.int64(top * (elapsed / span))
    if steps > 0:
        keys.count[SWEPT] = until_us
    return steps


@inline
def hand(keys: KeySpace) -> int:
    """The next slot under the hand; -1 if it holds no key."""
    slot = keys.count[HAND]
    if slot >= keys.count[TOP]:
        slot = np.int64(0)
    keys.count[HAND] = slot + 1
    return slot if keys.slots[slot, HASH] >= 0 else np.int64(-1)
