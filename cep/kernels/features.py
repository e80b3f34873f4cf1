"""Aggregates in a `when`: for each row that reads one, its value over what came before, then the row enters itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit
from cep.kernels.keys import (
    CHUNK,
    LIVE,
    KeySpace,
    find,
    hash_of,
    insert,
    look_up,
    next_due,
    remove,
    schedule,
    touch,
)
from cep.kernels.windows import (
    COLUMNS,
    TAIL,
    TIME,
    USED,
    VALUE,
    WINDOW,
    Windows,
    clear,
    empty,
    expire,
    push,
    value,
)
from cep.layout import READ_SHIFT

Ints = npt.NDArray[np.int64]


@jit
def null_of(windows: Windows, a: int) -> int:
    """What aggregate `a` gives for a key that has never been seen: `value` of an empty slot, without one."""
    return value(windows, windows.slots.shape[0] - 1, a)


@jit
def longest_window(windows: Windows) -> int:
    """The longest window of the plan."""
    longest = np.int64(0)
    for a in range(windows.table.shape[0]):
        longest = max(longest, windows.table[a, WINDOW])
    return longest


@jit
def feed(
    keys: KeySpace, windows: Windows, rows: Ints, bits: Ints, key: Ints, words: Ints, outputs: Ints, start: int
) -> int:
    """Read, then enter, rows[start:] in order. Returns the place reached: less than len(rows) when space has run out.

    rows, bits: (m,). key: (parts, m). words: (slots, n), of which column outputs[a] is filled for the rows that read a.
    """
    aggregates = windows.table.shape[0]
    longest = longest_window(windows)
    for i in range(start, len(rows)):
        if (i - start) % CHUNK == 0:
            look_up(keys, key, i, min(i + CHUNK, len(rows)))
            touch(keys, windows.slots, min(CHUNK, len(rows) - i))
        slot = keys.found[(i - start) % CHUNK]
        if slot < 0:
            slot = find(keys, key, i, hash_of(key, i))
        row, row_bits = rows[i], bits[i]
        now_us = words[0, row]
        enters = (row_bits & ((1 << READ_SHIFT) - 1)) != 0
        if enters:
            # One slot stays empty for good: it is what a key that has never been seen reads.
            full = keys.count[LIVE] + 2 >= len(keys.slots) or windows.count[USED] + aggregates > len(windows.element)
            if full:
                return i
        for a in range(aggregates):
            if row_bits >> (READ_SHIFT + a) & 1:
                if slot < 0:
                    words[outputs[a], row] = null_of(windows, a)
                else:
                    expire(windows, slot, a, now_us)
                    words[outputs[a], row] = value(windows, slot, a)
        if not enters:
            continue
        if slot < 0:
            slot = insert(keys, key, i, hash_of(key, i))
            clear(windows, slot)
        for a in range(aggregates):
            if row_bits >> a & 1:
                expire(windows, slot, a, now_us)
                source = windows.table[a, VALUE]
                push(windows, slot, a, now_us, words[source, row] if source >= 0 else 0)
        schedule(keys, slot, now_us + longest)
    return len(rows)


@inline
def last_expiry(windows: Windows, slot: int) -> int:
    """When the last element of the slot leaves its window."""
    last = np.int64(0)
    for a in range(windows.table.shape[0]):
        newest = windows.slots[slot, COLUMNS * a + TAIL]
        if newest >= 0:
            last = max(last, windows.element[newest, TIME] + windows.table[a, WINDOW])
    return last


@jit
def sweep(keys: KeySpace, windows: Windows, until_us: int) -> None:
    """Let go of what has left its window by `until_us` in keys that are due, and free the keys that hold nothing."""
    while True:
        slot = next_due(keys, until_us)
        if slot < 0:
            return
        for a in range(windows.table.shape[0]):
            expire(windows, slot, a, until_us)
        if empty(windows, slot):
            remove(keys, slot)
        else:
            schedule(keys, slot, last_expiry(windows, slot))
