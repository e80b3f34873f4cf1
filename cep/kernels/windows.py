"""Time windows: one list of elements for each slot and aggregate, O(1) amortised, never drifting.

An element that entered at t lives on [t, t + window). Sums of integers are exact; float sums are compensated
(Neumaier 1974) and start from zero whenever the window empties. min and max keep a monotonic list: only the elements
that can still become the extreme. count(distinct) keeps each value's latest element, found through a hash index; when
a window holds `DISTINCT_MAX` values the oldest leaves before its time, and that is counted.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import jit
from cep.kernels.keys import NEVER
from cep.layout import DISTINCT_MAX, NULL, Function

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Links = npt.NDArray[np.int32]

COUNT, DISTINCT, FIRST, LAST = int(Function.COUNT), int(Function.DISTINCT), int(Function.FIRST), int(Function.LAST)
SUM_I, SUM_F, AVG_I, AVG_F = int(Function.SUM_I), int(Function.SUM_F), int(Function.AVG_I), int(Function.AVG_F)
MIN_I, MAX_I, MIN_F, MAX_F = int(Function.MIN_I), int(Function.MAX_I), int(Function.MIN_F), int(Function.MAX_F)

# Places in Windows.count; columns of Windows.table; words of Windows.total.
USED, TOP, FREE, INDEXED, CUT = range(5)
COUNTS = 5
FUNCTION, VALUE, WINDOW, SCALE, REAL_IN, REAL = range(6)  # REAL_IN, REAL: the value, the result are floats
TOTAL, LOW = range(2)


class Windows(NamedTuple):
    """table: (aggregates, 6). head, tail, length: (slots, aggregates). total: (slots, aggregates, 2), a sum and its error.

    total_real: its float view. time, word, after, before, home: one for each element. index: element or -1 at the hash
    of (slot, aggregate, value), for DISTINCT; home: slot × aggregates + aggregate. scratch, scratch_real: one word, two views.
    """

    table: Ints
    head: Links
    tail: Links
    length: Ints
    total: Ints
    total_real: Floats
    time: Ints
    word: Ints
    after: Links
    before: Links
    home: Ints
    index: Links
    count: Ints
    scratch: Ints
    scratch_real: Floats


@jit
def as_float(windows: Windows, word: int) -> float:
    """The float whose bits are `word`."""
    windows.scratch[0] = word
    return windows.scratch_real[0]


@jit
def as_word(windows: Windows, real: float) -> int:
    """The bits of a float."""
    windows.scratch_real[0] = real
    return windows.scratch[0]


@jit
def is_float(function: int) -> bool:
    """Whether the function sums floats."""
    return function == SUM_F or function == AVG_F


@jit
def clear(windows: Windows, slot: int) -> None:
    """Make a fresh slot's windows empty."""
    for a in range(windows.table.shape[0]):
        windows.head[slot, a] = -1
        windows.tail[slot, a] = -1
        windows.length[slot, a] = 0
        windows.total[slot, a, TOTAL] = 0
        windows.total[slot, a, LOW] = 0


@jit
def distinct_hash(home: int, word: int) -> int:
    """A 63-bit hash of a value in a window."""
    h = (np.uint64(word) ^ (np.uint64(home) * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
    return np.int64((h ^ (h >> np.uint64(32))) >> np.uint64(1))


@jit
def distinct_find(windows: Windows, home: int, word: int) -> int:
    """The place in the index of the element that holds `word` in window `home`, or of the free place for it."""
    mask = len(windows.index) - 1
    at = distinct_hash(home, word) & mask
    while windows.index[at] >= 0:
        element = windows.index[at]
        if windows.home[element] == home and windows.word[element] == word:
            break
        at = (at + 1) & mask
    return at


@jit
def distinct_remove(windows: Windows, element: int) -> None:
    """Take an element out of the index."""
    mask = len(windows.index) - 1
    hole = distinct_find(windows, windows.home[element], windows.word[element])
    at = (hole + 1) & mask
    while windows.index[at] >= 0:
        other = windows.index[at]
        home = distinct_hash(windows.home[other], windows.word[other]) & mask
        if ((at - home) & mask) >= ((at - hole) & mask):
            windows.index[hole] = other
            hole = at
        at = (at + 1) & mask
    windows.index[hole] = -1
    windows.count[INDEXED] -= 1


@jit
def add(windows: Windows, slot: int, a: int, word: int, sign: int) -> None:
    """Add a value to the window's sum, or take it away (sign -1)."""
    if not is_float(windows.table[a, FUNCTION]):
        windows.total[slot, a, TOTAL] += sign * word
        return
    value = sign * as_float(windows, word)
    total = windows.total_real[slot, a, TOTAL]
    s = total + value
    if abs(total) >= abs(value):
        windows.total_real[slot, a, LOW] += (total - s) + value
    else:
        windows.total_real[slot, a, LOW] += (value - s) + total
    windows.total_real[slot, a, TOTAL] = s


@jit
def release(windows: Windows, slot: int, a: int, element: int) -> None:
    """Unlink an element and give it back."""
    after, before = windows.after[element], windows.before[element]
    if before >= 0:
        windows.after[before] = after
    else:
        windows.head[slot, a] = after
    if after >= 0:
        windows.before[after] = before
    else:
        windows.tail[slot, a] = before
    windows.length[slot, a] -= 1
    windows.home[element] = -1
    windows.after[element] = windows.count[FREE]
    windows.count[FREE] = element
    windows.count[USED] -= 1


@jit
def drop_first(windows: Windows, slot: int, a: int) -> None:
    """The oldest element leaves its window."""
    element = np.int64(windows.head[slot, a])
    function = windows.table[a, FUNCTION]
    if function == DISTINCT:
        distinct_remove(windows, element)
    elif SUM_I <= function <= AVG_F:
        add(windows, slot, a, windows.word[element], -1)
    release(windows, slot, a, element)
    if windows.length[slot, a] == 0:
        windows.total[slot, a, TOTAL] = 0
        windows.total[slot, a, LOW] = 0


@jit
def expire(windows: Windows, slot: int, a: int, now_us: int) -> bool:
    """Elements with time + window <= now leave; whether any did."""
    window_us = windows.table[a, WINDOW]
    left = False
    while windows.head[slot, a] >= 0 and windows.time[windows.head[slot, a]] + window_us <= now_us:
        drop_first(windows, slot, a)
        left = True
    return left


@jit
def next_expiry(windows: Windows, slot: int) -> int:
    """The instant at which the next element leaves any window of the slot; NEVER if all are empty."""
    soonest = np.int64(NEVER)
    for a in range(windows.table.shape[0]):
        element = windows.head[slot, a]
        if element >= 0:
            soonest = min(soonest, windows.time[element] + windows.table[a, WINDOW])
    return soonest


@jit
def beaten(windows: Windows, function: int, old: int, new: int) -> bool:
    """Whether a new word makes an older one irrelevant to a min or max."""
    if function == MIN_I:
        return new <= old
    if function == MAX_I:
        return new >= old
    newer, older = as_float(windows, new), as_float(windows, old)
    return newer <= older if function == MIN_F else newer >= older


@jit
def push(windows: Windows, slot: int, a: int, now_us: int, word: int) -> None:
    """An element enters; null does not count. The caller has made sure that one is free."""
    function = windows.table[a, FUNCTION]
    if windows.table[a, VALUE] >= 0:
        if windows.table[a, REAL_IN]:
            if math.isnan(as_float(windows, word)):
                return
        elif word == NULL:
            return
    home = slot * windows.table.shape[0] + a
    at = np.int64(-1)
    if MIN_I <= function <= MAX_F:
        while windows.tail[slot, a] >= 0 and beaten(windows, function, windows.word[windows.tail[slot, a]], word):
            release(windows, slot, a, np.int64(windows.tail[slot, a]))
    elif function == DISTINCT:
        at = distinct_find(windows, home, word)
        if windows.index[at] >= 0:
            release(windows, slot, a, np.int64(windows.index[at]))
        elif windows.length[slot, a] >= DISTINCT_MAX:
            drop_first(windows, slot, a)
            windows.count[CUT] += 1
            at = distinct_find(windows, home, word)
            windows.count[INDEXED] += 1
        else:
            windows.count[INDEXED] += 1
    elif SUM_I <= function <= AVG_F:
        add(windows, slot, a, word, 1)
    element = append(windows, slot, a, now_us, word, home)
    if at >= 0:
        windows.index[at] = element


@jit
def append(windows: Windows, slot: int, a: int, now_us: int, word: int, home: int) -> int:
    """A new element at the end of a window's list."""
    element = windows.count[FREE]
    if element >= 0:
        windows.count[FREE] = windows.after[element]
    else:
        element = windows.count[TOP]
        windows.count[TOP] += 1
    windows.count[USED] += 1
    windows.time[element] = now_us
    windows.word[element] = word
    windows.home[element] = home
    last = windows.tail[slot, a]
    windows.before[element] = last
    windows.after[element] = -1
    if last >= 0:
        windows.after[last] = element
    else:
        windows.head[slot, a] = element
    windows.tail[slot, a] = element
    windows.length[slot, a] += 1
    return element


@jit
def value(windows: Windows, slot: int, a: int) -> int:
    """The aggregate's word. Of no elements: 0 for count, distinct and sum, null for the others."""
    function = windows.table[a, FUNCTION]
    length = windows.length[slot, a]
    if function == COUNT or function == DISTINCT:
        return length
    if function == SUM_I:
        return windows.total[slot, a, TOTAL]
    if function == SUM_F:
        return as_word(windows, windows.total_real[slot, a, TOTAL] + windows.total_real[slot, a, LOW])
    if length == 0:
        return as_word(windows, math.nan) if windows.table[a, REAL] else np.int64(NULL)
    if function == AVG_I:
        return as_word(windows, windows.total[slot, a, TOTAL] / windows.table[a, SCALE] / length)
    if function == AVG_F:
        return as_word(windows, (windows.total_real[slot, a, TOTAL] + windows.total_real[slot, a, LOW]) / length)
    return windows.word[windows.tail[slot, a] if function == LAST else windows.head[slot, a]]


@jit
def empty(windows: Windows, slot: int) -> bool:
    """Whether no window of the slot holds anything."""
    for a in range(windows.table.shape[0]):
        if windows.head[slot, a] >= 0:
            return False
    return True


@jit
def reindex(windows: Windows) -> None:
    """Fill an empty index from the elements of all DISTINCT windows."""
    for element in range(windows.count[TOP]):
        home = windows.home[element]
        if home >= 0 and windows.table[home % windows.table.shape[0], FUNCTION] == DISTINCT:
            at = distinct_find(windows, home, windows.word[element])
            windows.index[at] = element
