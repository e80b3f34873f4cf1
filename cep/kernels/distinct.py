"""Which values a window holds: an index over all windows from (window, value) to an element.

For count(distinct) and `new` it is each value's latest element, so the list has one element a value. count(distinct)
is exact up to `DISTINCT_MAX` values; from there on it counts a sample (Gibbons 2001): the values whose hash ends in k
zero bits, each for 2^k, with k one more whenever the sample is full and one less when it has become sparse. Its
standard error is then about 1/√n of a sample of n values, which is 1.5 to 3 per cent. For `top` it is the latest
element of each value, which stands in a tree ordered by (how often, when last).
"""

from __future__ import annotations

import numpy as np

from cep.kernels import inline, jit, kernel
from cep.kernels.elements import (
    AFTER,
    COLUMNS,
    CUT,
    DISTINCT,
    EXTRA_COLUMNS,
    FUNCTION,
    HEAD,
    HOME,
    INDEXED,
    LENGTH,
    LOW,
    MARK,
    NEW,
    NEWEST,
    RANKED,
    ROOT,
    SIZE,
    TIE,
    TOP,
    TOP_ELEMENT,
    TOTAL,
    WORD,
    Windows,
    release,
)
from cep.kernels.ranks import tree_insert, tree_remove
from cep.layout.aggregates import DISTINCT_MAX


@jit
def value_hash(home: int, word: int) -> int:
    """A 63-bit hash of a value in a window."""
    h = (np.uint64(word) ^ (np.uint64(home) * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
    return np.int64((h ^ (h >> np.uint64(32))) >> np.uint64(1))


@jit
def find_value(windows: Windows, home: int, word: int) -> int:
    """The place in the index of the element that holds `word` in window `home`, or of the free place for it."""
    mask = len(windows.index) - 1
    at = value_hash(home, word) & mask
    while windows.index[at] >= 0:
        element = windows.index[at]
        if windows.element[element, HOME] == home and windows.element[element, WORD] == word:
            break
        at = (at + 1) & mask
    return at


@jit
def unindex(windows: Windows, element: int) -> None:
    """Take an element out of the index."""
    mask = len(windows.index) - 1
    hole = find_value(windows, windows.element[element, HOME], windows.element[element, WORD])
    at = (hole + 1) & mask
    while windows.index[at] >= 0:
        other = windows.index[at]
        home = value_hash(windows.element[other, HOME], windows.element[other, WORD]) & mask
        if ((at - home) & mask) >= ((at - hole) & mask):
            windows.index[hole] = other
            hole = at
        at = (at + 1) & mask
    windows.index[hole] = -1
    windows.count[INDEXED] -= 1


@inline
def index_at(windows: Windows, at: int, element: int) -> None:
    """Enter an element at the place that `find_value` gave."""
    if windows.index[at] < 0:
        windows.count[INDEXED] += 1
    windows.index[at] = element


@inline
def weight(windows: Windows, a: int, element: int) -> int:
    """For how many values an element of count(distinct) counts; a count window never holds too many."""
    return np.int64(1) if windows.table[a, NEWEST] else np.int64(1) << windows.element[element, MARK]


@inline
def sampled(hashed: int, bits: int) -> bool:
    """Whether a value belongs to a sample of one in 2^bits. The index uses the low bits, the sample the high ones."""
    return (hashed >> 20) & ((np.int64(1) << bits) - 1) == 0


@inline
def forget_value(windows: Windows, slot: int, a: int, element: int) -> None:
    """A value's element leaves."""
    if windows.table[a, FUNCTION] == DISTINCT:
        windows.slots[slot, COLUMNS * a + TOTAL] -= weight(windows, a, element)
    unindex(windows, element)
    release(windows, slot, a, element)


@jit
def thin_out(windows: Windows, slot: int, a: int) -> None:
    """The sample is full: keep about every second value, and let it count twice."""
    bits = windows.slots[slot, COLUMNS * a + LOW] + 1
    windows.slots[slot, COLUMNS * a + LOW] = bits
    windows.count[CUT] += 1
    element = windows.slots[slot, COLUMNS * a + HEAD]
    while element >= 0:
        after = windows.element[element, AFTER]
        if windows.element[element, MARK] < bits:
            if sampled(value_hash(np.int64(0), windows.element[element, WORD]), bits):
                windows.slots[slot, COLUMNS * a + TOTAL] += (np.int64(1) << bits) - weight(windows, a, element)
                windows.element[element, MARK] = bits
            else:
                forget_value(windows, slot, a, element)
        element = after


@inline
def make_room_for_value(windows: Windows, slot: int, a: int, word: int) -> bool:
    """Before a value enters count(distinct): its older element leaves; whether it is to be held."""
    home = slot * windows.table.shape[0] + a
    at = find_value(windows, home, word)
    if windows.index[at] >= 0:
        forget_value(windows, slot, a, np.int64(windows.index[at]))
    if windows.table[a, NEWEST]:
        return True
    while windows.slots[slot, COLUMNS * a + LENGTH] >= DISTINCT_MAX:
        thin_out(windows, slot, a)
    bits = windows.slots[slot, COLUMNS * a + LOW]
    if bits > 0 and windows.slots[slot, COLUMNS * a + LENGTH] < DISTINCT_MAX // 4:
        bits -= 1
        windows.slots[slot, COLUMNS * a + LOW] = bits
    return sampled(value_hash(np.int64(0), word), bits)


@inline
def hold_value(windows: Windows, slot: int, a: int, element: int) -> None:
    """A value's element, which is in its list, enters the index."""
    if windows.table[a, FUNCTION] == DISTINCT:
        if not windows.table[a, NEWEST]:
            windows.element[element, MARK] = windows.slots[slot, COLUMNS * a + LOW]
        windows.slots[slot, COLUMNS * a + TOTAL] += weight(windows, a, element)
    at = find_value(windows, windows.element[element, HOME], windows.element[element, WORD])
    index_at(windows, at, element)


@jit
def count_more(windows: Windows, slot: int, a: int, element: int) -> None:
    """For `top`: one more element of its value, now the latest."""
    tree, place = windows.tree, EXTRA_COLUMNS * a + ROOT
    root, often = windows.extra[slot, place], np.int64(1)
    at = find_value(windows, windows.element[element, HOME], windows.element[element, WORD])
    if windows.index[at] >= 0:
        often += tree[windows.index[at], RANKED]
        root = tree_remove(tree, root, np.int64(windows.index[at]))
    index_at(windows, at, element)
    windows.extra[slot, place] = tree_insert(tree, root, element, often, windows.element[element, MARK])


@jit
def count_less(windows: Windows, slot: int, a: int, element: int) -> None:
    """For `top`: the oldest element of a value leaves; the latest stands for it, and may be the same one."""
    tree, place = windows.tree, EXTRA_COLUMNS * a + ROOT
    at = find_value(windows, windows.element[element, HOME], windows.element[element, WORD])
    latest = np.int64(windows.index[at])
    often, tie = tree[latest, RANKED], tree[latest, TIE]
    root = tree_remove(tree, windows.extra[slot, place], latest)
    if often > 1:
        root = tree_insert(tree, root, latest, often - 1, tie)
    else:
        unindex(windows, element)
    windows.extra[slot, place] = root


@kernel
def reindex(windows: Windows) -> None:
    """Fill an empty index from the elements of all windows that have one."""
    for element in range(windows.count[TOP_ELEMENT]):
        home = windows.element[element, HOME]
        if home < 0:
            continue
        function = windows.table[home % windows.table.shape[0], FUNCTION]
        if function == DISTINCT or function == NEW or (function == TOP and windows.tree[element, SIZE] > 0):
            windows.index[find_value(windows, home, windows.element[element, WORD])] = element
