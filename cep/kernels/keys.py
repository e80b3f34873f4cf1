"""Key spaces: key → dense slot by open addressing, slots reused when freed, and one timing wheel for what is due.

A plan's state is arrays indexed by slot. Each live slot stands in the wheel at or before the next instant at which
something can end or fire in it, so a key that goes quiet is visited when that is due and then freed; a key that is
busy settles what is due when its next event comes, and costs the wheel nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import jit

Ints = npt.NDArray[np.int64]
Slots = npt.NDArray[np.int32]

NEVER = 2**62  # later than any instant
BUCKETS = 1024  # of the wheel; a power of two
TICKS_PER_SPAN = 256  # of the plan's longest horizon, so that the wheel goes round in four horizons

# Places in KeySpace.count.
LIVE, TOP, FREE, TICK, CURSOR, POSITION = range(6)
COUNTS = 6


class KeySpace(NamedTuple):
    """table: slot or -1, twice as long as there are slots at least. words: (slots, parts). after, before: wheel links."""

    table: Slots
    words: Ints
    hashes: Ints
    head: Slots
    after: Slots
    before: Slots
    due: Ints
    count: Ints


@jit
def hash_of(words: Ints, column: int) -> int:
    """A 63-bit hash of the key in `words[:, column]` (multiply and shift, after SplitMix64)."""
    h = np.uint64(0x9E3779B97F4A7C15)
    for part in range(words.shape[0]):
        h = (h ^ np.uint64(words[part, column])) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h = h ^ (h >> np.uint64(31))
    return np.int64(h >> np.uint64(1))


@jit
def find(keys: KeySpace, words: Ints, column: int, hashed: int) -> int:
    """The slot of the key in `words[:, column]`, or -1."""
    mask = len(keys.table) - 1
    at = hashed & mask
    while keys.table[at] >= 0:
        slot = keys.table[at]
        if keys.hashes[slot] == hashed:
            same = True
            for part in range(words.shape[0]):
                if keys.words[slot, part] != words[part, column]:
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
        keys.count[FREE] = keys.after[slot]
    else:
        slot = keys.count[TOP]
        keys.count[TOP] += 1
    keys.count[LIVE] += 1
    for part in range(words.shape[0]):
        keys.words[slot, part] = words[part, column]
    keys.hashes[slot] = hashed
    keys.due[slot] = NEVER
    place(keys.table, keys.hashes, slot)
    return slot


@jit
def place(table: Slots, hashes: Ints, slot: int) -> None:
    """Enter a slot in the table."""
    mask = len(table) - 1
    at = hashes[slot] & mask
    while table[at] >= 0:
        at = (at + 1) & mask
    table[at] = slot


@jit
def remove(keys: KeySpace, slot: int) -> None:
    """Free a slot that is not in the wheel; later entries of its chain move up, so no tombstones are left."""
    mask = len(keys.table) - 1
    hole = keys.hashes[slot] & mask
    while keys.table[hole] != slot:
        hole = (hole + 1) & mask
    at = (hole + 1) & mask
    while keys.table[at] >= 0:
        home = keys.hashes[keys.table[at]] & mask
        if ((at - home) & mask) >= ((at - hole) & mask):
            keys.table[hole] = keys.table[at]
            hole = at
        at = (at + 1) & mask
    keys.table[hole] = -1
    keys.hashes[slot] = -1
    keys.after[slot] = keys.count[FREE]
    keys.count[FREE] = slot
    keys.count[LIVE] -= 1


@jit
def rehash(table: Slots, hashes: Ints, top: int) -> None:
    """Fill an empty table from the slots below `top`; a freed slot's hash is -1."""
    for slot in range(top):
        if hashes[slot] >= 0:
            place(table, hashes, slot)


@jit
def unlink(keys: KeySpace, slot: int) -> None:
    """Take a slot out of the wheel."""
    after, before = keys.after[slot], keys.before[slot]
    if before >= 0:
        keys.after[before] = after
    else:
        keys.head[(keys.due[slot] // keys.count[TICK]) & (BUCKETS - 1)] = after
    if after >= 0:
        keys.before[after] = before
    keys.due[slot] = NEVER


@jit
def schedule(keys: KeySpace, slot: int, due_us: int) -> None:
    """See to it that the slot is visited by `due_us`. One that stands earlier stays: its visit will put it right."""
    if keys.due[slot] <= due_us:
        return
    if keys.due[slot] != NEVER:
        unlink(keys, slot)
    bucket = (due_us // keys.count[TICK]) & (BUCKETS - 1)
    first = keys.head[bucket]
    keys.head[bucket] = slot
    keys.after[slot] = first
    keys.before[slot] = -1
    if first >= 0:
        keys.before[first] = slot
    keys.due[slot] = due_us


@jit
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
            after = keys.after[position]
            if keys.due[position] <= until_us:
                keys.count[POSITION] = after
                unlink(keys, position)
                return position
            position = after
        if keys.count[CURSOR] >= last:
            keys.count[POSITION] = -1
            return np.int64(-1)
        keys.count[CURSOR] += 1
        position = np.int64(keys.head[keys.count[CURSOR] & (BUCKETS - 1)])
