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

from cep.kernels import inline, jit
from cep.kernels.keys import NEVER
from cep.layout import DISTINCT_MAX, NULL, Function

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Links = npt.NDArray[np.int32]

COUNT, DISTINCT, FIRST, LAST = int(Function.COUNT), int(Function.DISTINCT), int(Function.FIRST), int(Function.LAST)
SUM_I, SUM_F, AVG_I, AVG_F = int(Function.SUM_I), int(Function.SUM_F), int(Function.AVG_I), int(Function.AVG_F)
MIN_I, MAX_I, MIN_F, MAX_F = int(Function.MIN_I), int(Function.MAX_I), int(Function.MIN_F), int(Function.MAX_F)

# Places in Windows.count; columns of Windows.table, of Windows.slots for each aggregate, and of
# Windows.element.
USED, TOP, FREE, INDEXED, CUT = range(5)
COUNTS = 5
FUNCTION, VALUE, WINDOW, SCALE, REAL_IN, REAL = range(6)  # REAL_IN, REAL: the value, the result are floats
HEAD, TAIL, LENGTH, TOTAL, LOW = range(5)
COLUMNS = 5
TIME, WORD, AFTER, BEFORE, HOME = range(5)
ELEMENT_COLUMNS = 5


class Windows(NamedTuple):
    """table: (aggregates, 6). slots: (slots, COLUMNS × aggregates), with a float view: list, length, sum and its error.

    element: (elements, ELEMENT_COLUMNS); HOME is slot × aggregates + aggregate. index: element or -1 at the hash of
    (home, value), for DISTINCT. scratch: one word, with a float view.
    """

    table: Ints
    slots: Ints
    slots_real: Floats
    element: Ints
    index: Links
    count: Ints
    scratch: Ints
    scratch_real: Floats


@inline
def as_float(windows: Windows, word: int) -> float:
    """The float whose bits are `word`."""
    windows.scratch[0] = word
    return windows.scratch_real[0]


@inline
def as_word(windows: Windows, real: float) -> int:
    """The bits of a float."""
    windows.scratch_real[0] = real
    return windows.scratch[0]


@inline
def is_float(function: int) -> bool:
    """Whether the function sums floats."""
    return function == SUM_F or function == AVG_F


@jit
def clear(windows: Windows, slot: int) -> None:
    """Make a fresh slot's windows empty."""
    for a in range(windows.table.shape[0]):
        windows.slots[slot, COLUMNS * a + HEAD] = -1
        windows.slots[slot, COLUMNS * a + TAIL] = -1
        windows.slots[slot, COLUMNS * a + LENGTH] = 0
        windows.slots[slot, COLUMNS * a + TOTAL] = 0
        windows.slots[slot, COLUMNS * a + LOW] = 0


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
        if windows.element[element, HOME] == home and windows.element[element, WORD] == word:
            break
        at = (at + 1) & mask
    return at


@jit
def distinct_remove(windows: Windows, element: int) -> None:
    """Take an element out of the index."""
    mask = len(windows.index) - 1
    hole = distinct_find(windows, windows.element[element, HOME], windows.element[element, WORD])
    at = (hole + 1) & mask
    while windows.index[at] >= 0:
        other = windows.index[at]
        home = distinct_hash(windows.element[other, HOME], windows.element[other, WORD]) & mask
        if ((at - home) & mask) >= ((at - hole) & mask):
            windows.index[hole] = other
            hole = at
        at = (at + 1) & mask
    windows.index[hole] = -1
    windows.count[INDEXED] -= 1


@inline
def add(windows: Windows, slot: int, a: int, word: int, sign: int) -> None:
    """Add a value to the window's sum, or take it away (sign -1)."""
    if not is_float(windows.table[a, FUNCTION]):
        windows.slots[slot, COLUMNS * a + TOTAL] += sign * word
        return
    value = sign * as_float(windows, word)
    total = windows.slots_real[slot, COLUMNS * a + TOTAL]
    s = total + value
    if abs(total) >= abs(value):
        windows.slots_real[slot, COLUMNS * a + LOW] += (total - s) + value
    else:
        windows.slots_real[slot, COLUMNS * a + LOW] += (value - s) + total
    windows.slots_real[slot, COLUMNS * a + TOTAL] = s


@inline
def release(windows: Windows, slot: int, a: int, element: int) -> None:
    """Unlink an element and give it back."""
    after, before = windows.element[element, AFTER], windows.element[element, BEFORE]
    if before >= 0:
        windows.element[before, AFTER] = after
    else:
        windows.slots[slot, COLUMNS * a + HEAD] = after
    if after >= 0:
        windows.element[after, BEFORE] = before
    else:
        windows.slots[slot, COLUMNS * a + TAIL] = before
    windows.slots[slot, COLUMNS * a + LENGTH] -= 1
    windows.element[element, HOME] = -1
    windows.element[element, AFTER] = windows.count[FREE]
    windows.count[FREE] = element
    windows.count[USED] -= 1


@inline
def drop_first(windows: Windows, slot: int, a: int) -> None:
    """The oldest element leaves its window."""
    element = np.int64(windows.slots[slot, COLUMNS * a + HEAD])
    function = windows.table[a, FUNCTION]
    if function == DISTINCT:
        distinct_remove(windows, element)
    elif SUM_I <= function <= AVG_F:
        add(windows, slot, a, windows.element[element, WORD], -1)
    release(windows, slot, a, element)
    if windows.slots[slot, COLUMNS * a + LENGTH] == 0:
        windows.slots[slot, COLUMNS * a + TOTAL] = 0
        windows.slots[slot, COLUMNS * a + LOW] = 0


@inline
def expire(windows: Windows, slot: int, a: int, now_us: int) -> bool:
    """Elements with time + window <= now leave; whether any did."""
    window_us = windows.table[a, WINDOW]
    left = False
    while (
        windows.slots[slot, COLUMNS * a + HEAD] >= 0
        and windows.element[windows.slots[slot, COLUMNS * a + HEAD], TIME] + window_us <= now_us
    ):
        drop_first(windows, slot, a)
        left = True
    return left


@inline
def next_expiry(windows: Windows, slot: int) -> int:
    """The instant at which the next element leaves any window of the slot; NEVER if all are empty."""
    soonest = np.int64(NEVER)
    for a in range(windows.table.shape[0]):
        element = windows.slots[slot, COLUMNS * a + HEAD]
        if element >= 0:
            soonest = min(soonest, windows.element[element, TIME] + windows.table[a, WINDOW])
    return soonest


@inline
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
        while windows.slots[slot, COLUMNS * a + TAIL] >= 0 and beaten(
            windows, function, windows.element[windows.slots[slot, COLUMNS * a + TAIL], WORD], word
        ):
            release(windows, slot, a, np.int64(windows.slots[slot, COLUMNS * a + TAIL]))
    elif function == DISTINCT:
        at = distinct_find(windows, home, word)
        if windows.index[at] >= 0:
            release(windows, slot, a, np.int64(windows.index[at]))
        elif windows.slots[slot, COLUMNS * a + LENGTH] >= DISTINCT_MAX:
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


@inline
def append(windows: Windows, slot: int, a: int, now_us: int, word: int, home: int) -> int:
    """A new element at the end of a window's list."""
    element = windows.count[FREE]
    if element >= 0:
        windows.count[FREE] = windows.element[element, AFTER]
    else:
        element = windows.count[TOP]
        windows.count[TOP] += 1
    windows.count[USED] += 1
    windows.element[element, TIME] = now_us
    windows.element[element, WORD] = word
    windows.element[element, HOME] = home
    last = windows.slots[slot, COLUMNS * a + TAIL]
    windows.element[element, BEFORE] = last
    windows.element[element, AFTER] = -1
    if last >= 0:
        windows.element[last, AFTER] = element
    else:
        windows.slots[slot, COLUMNS * a + HEAD] = element
    windows.slots[slot, COLUMNS * a + TAIL] = element
    windows.slots[slot, COLUMNS * a + LENGTH] += 1
    return element


@inline
def value(windows: Windows, slot: int, a: int) -> int:
    """The aggregate's word. Of no elements: 0 for count, distinct and sum, null for the others."""
    function = windows.table[a, FUNCTION]
    length = windows.slots[slot, COLUMNS * a + LENGTH]
    if function == COUNT or function == DISTINCT:
        return length
    if function == SUM_I:
        return windows.slots[slot, COLUMNS * a + TOTAL]
    if function == SUM_F:
        return as_word(
            windows, windows.slots_real[slot, COLUMNS * a + TOTAL] + windows.slots_real[slot, COLUMNS * a + LOW]
        )
    if length == 0:
        return as_word(windows, math.nan) if windows.table[a, REAL] else np.int64(NULL)
    if function == AVG_I:
        return as_word(windows, windows.slots[slot, COLUMNS * a + TOTAL] / windows.table[a, SCALE] / length)
    if function == AVG_F:
        return as_word(
            windows,
            (windows.slots_real[slot, COLUMNS * a + TOTAL] + windows.slots_real[slot, COLUMNS * a + LOW]) / length,
        )
    return windows.element[
        windows.slots[slot, COLUMNS * a + TAIL] if function == LAST else windows.slots[slot, COLUMNS * a + HEAD], WORD
    ]


@inline
def empty(windows: Windows, slot: int) -> bool:
    """Whether no window of the slot holds anything."""
    for a in range(windows.table.shape[0]):
        if windows.slots[slot, COLUMNS * a + HEAD] >= 0:
            return False
    return True


@jit
def reindex(windows: Windows) -> None:
    """Fill an empty index from the elements of all DISTINCT windows."""
    for element in range(windows.count[TOP]):
        home = windows.element[element, HOME]
        if home >= 0 and windows.table[home % windows.table.shape[0], FUNCTION] == DISTINCT:
            at = distinct_find(windows, home, windows.element[element, WORD])
            windows.index[at] = element
