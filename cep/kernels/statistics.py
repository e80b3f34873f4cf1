"""What the further aggregates do when an element enters or leaves, and what they give.

The element stands in its window's list when it has entered, and still stands there when it leaves, so the elements
beside it are known: successive values make increases and changes.
"""

from __future__ import annotations

import math

import numpy as np

from cep.kernels import inline, jit
from cep.kernels.distinct import count_less, count_more
from cep.kernels.elements import (
    AFTER,
    BEFORE,
    CHANGES,
    COLUMNS,
    EWMA,
    EXTRA_COLUMNS,
    FUNCTION,
    INCREASE_F,
    INCREASE_I,
    LENGTH,
    LOW,
    MARK,
    NEW,
    PARAMETER,
    PREV,
    RANK,
    REAL,
    REAL_IN,
    ROOT,
    SCALE,
    SIZE,
    SLOPE,
    STDDEV,
    TAIL,
    TIME,
    TOP,
    TOTAL,
    WORD,
    ZSCORE,
    Windows,
    as_float,
    as_word,
)
from cep.kernels.moments import add_to, begin_sums, deviation, distance, moments_add, slope
from cep.kernels.ranks import tree_at, tree_insert, tree_remove
from cep.layout.columns import NULL


@inline
def add(windows: Windows, slot: int, a: int, word: int, sign: int) -> None:
    """Add a value to the window's sum, or take it away (sign -1)."""
    if windows.table[a, REAL_IN]:
        add_to(windows.slots_real, slot, COLUMNS * a + TOTAL, sign * as_float(windows, word))
    else:
        windows.slots[slot, COLUMNS * a + TOTAL] += sign * word


@inline
def ordered(windows: Windows, a: int, word: int) -> int:
    """A whole number that orders as the value does."""
    return word ^ np.int64(0x7FFFFFFFFFFFFFFF) if windows.table[a, REAL_IN] and word < 0 else word


@jit
def add_step(windows: Windows, slot: int, a: int, before: int, after: int, sign: int) -> None:
    """What successive elements add to an increase or a number of changes; a counter that falls began again from 0."""
    old, new = windows.element[before, WORD], windows.element[after, WORD]
    function = windows.table[a, FUNCTION]
    if function == CHANGES:
        windows.slots[slot, COLUMNS * a + TOTAL] += sign * (1 if old != new else 0)
    elif function == INCREASE_I:
        windows.slots[slot, COLUMNS * a + TOTAL] += sign * (new - old if new >= old else new)
    else:
        x, y = as_float(windows, old), as_float(windows, new)
        add_to(windows.slots_real, slot, COLUMNS * a + TOTAL, sign * y)
        if y >= x:
            add_to(windows.slots_real, slot, COLUMNS * a + TOTAL, -sign * x)


@jit
def move_average(windows: Windows, slot: int, a: int, element: int) -> None:
    """The mean moves towards the new value; older values weigh half as much for every half-life."""
    real, mean, weight = windows.slots_real, COLUMNS * a + TOTAL, COLUMNS * a + LOW
    word = windows.element[element, WORD]
    x = as_float(windows, word) if windows.table[a, REAL_IN] else word / windows.table[a, SCALE]
    before = windows.element[element, BEFORE]
    if before < 0:
        real[slot, mean], real[slot, weight] = x, 1.0
        return
    age = windows.element[element, TIME] - windows.element[before, TIME]
    real[slot, weight] = real[slot, weight] * 2.0 ** (-age / windows.table[a, PARAMETER]) + 1.0
    real[slot, mean] += (x - real[slot, mean]) / real[slot, weight]


@inline
def entered(windows: Windows, slot: int, a: int, element: int) -> None:
    """An element has entered the list of a further aggregate."""
    function, word = windows.table[a, FUNCTION], windows.element[element, WORD]
    if function == STDDEV or function == ZSCORE or function == SLOPE:
        if windows.slots[slot, COLUMNS * a + LENGTH] == 1:
            begin_sums(windows, slot, a, windows.element[element, TIME], word)
        moments_add(windows, slot, a, function, element, 1)
    elif function == INCREASE_I or function == INCREASE_F or function == CHANGES:
        if windows.element[element, BEFORE] >= 0:
            add_step(windows, slot, a, windows.element[element, BEFORE], element, 1)
    elif function == RANK:
        place = EXTRA_COLUMNS * a + ROOT
        ranked = ordered(windows, a, word)
        windows.extra[slot, place] = tree_insert(
            windows.tree, windows.extra[slot, place], element, ranked, windows.element[element, MARK]
        )
    elif function == TOP:
        count_more(windows, slot, a, element)
    elif function == EWMA:
        move_average(windows, slot, a, element)


@inline
def leaving(windows: Windows, slot: int, a: int, element: int) -> None:
    """The oldest element is about to leave the list of a further aggregate."""
    function = windows.table[a, FUNCTION]
    if function == STDDEV or function == ZSCORE or function == SLOPE:
        moments_add(windows, slot, a, function, element, -1)
    elif function == INCREASE_I or function == INCREASE_F or function == CHANGES:
        if windows.element[element, AFTER] >= 0:
            add_step(windows, slot, a, element, windows.element[element, AFTER], -1)
    elif function == RANK:
        place = EXTRA_COLUMNS * a + ROOT
        windows.extra[slot, place] = tree_remove(windows.tree, windows.extra[slot, place], element)
    elif function == TOP:
        count_less(windows, slot, a, element)


@jit
def statistic(windows: Windows, slot: int, a: int) -> int:
    """A further aggregate's word. Of no elements: 0 changes, and null for the others."""
    function, tail = windows.table[a, FUNCTION], windows.slots[slot, COLUMNS * a + TAIL]
    if function == CHANGES or (function == NEW and tail >= 0):
        return windows.slots[slot, COLUMNS * a + TOTAL]
    if tail < 0 or (function == PREV and windows.element[tail, BEFORE] < 0):
        return as_word(windows, math.nan) if windows.table[a, REAL] else np.int64(NULL)
    if function == STDDEV:
        return as_word(windows, deviation(windows, slot, a))
    if function == ZSCORE:
        return as_word(windows, distance(windows, slot, a))
    if function == SLOPE:
        return as_word(windows, slope(windows, slot, a))
    if function == INCREASE_I:
        return windows.slots[slot, COLUMNS * a + TOTAL]
    if function == INCREASE_F:
        total, low = windows.slots_real[slot, COLUMNS * a + TOTAL], windows.slots_real[slot, COLUMNS * a + LOW]
        return as_word(windows, total + low)
    if function == EWMA:
        return windows.slots[slot, COLUMNS * a + TOTAL]
    return windows.element[chosen(windows, slot, a, function, tail), WORD]


@inline
def chosen(windows: Windows, slot: int, a: int, function: int, tail: int) -> int:
    """The element of which the aggregate speaks: the last but one, the most frequent, or that of a percentile."""
    if function == PREV:
        return windows.element[tail, BEFORE]
    n = windows.slots[slot, COLUMNS * a + LENGTH]
    root = windows.extra[slot, EXTRA_COLUMNS * a + ROOT]
    if function == TOP:
        return tree_at(windows.tree, root, windows.tree[root, SIZE])
    return tree_at(windows.tree, root, (n * windows.table[a, PARAMETER] + 99) // 100)
