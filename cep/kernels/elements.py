"""What windows are made of: for each slot and aggregate a list of elements, and a few words of sums.

An element is an event's time and the word that the aggregate takes of it. Lists are doubly linked and in order of
entering; elements are given back when they leave.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import inline
from cep.kernels.ahead import LATER, SOON, ahead, fetch
from cep.layout.aggregates import Form, Function

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Links = npt.NDArray[np.int32]

COUNT, DISTINCT, FIRST, LAST = int(Function.COUNT), int(Function.DISTINCT), int(Function.FIRST), int(Function.LAST)
SUM_I, SUM_F, AVG_I, AVG_F = int(Function.SUM_I), int(Function.SUM_F), int(Function.AVG_I), int(Function.AVG_F)
MIN_I, MAX_I, MIN_F, MAX_F = int(Function.MIN_I), int(Function.MAX_I), int(Function.MIN_F), int(Function.MAX_F)
PREV, RANK, TOP, NEW = int(Function.PREV), int(Function.RANK), int(Function.TOP), int(Function.NEW)
STDDEV, ZSCORE, SLOPE = int(Function.STDDEV), int(Function.ZSCORE), int(Function.SLOPE)
INCREASE_I, INCREASE_F = int(Function.INCREASE_I), int(Function.INCREASE_F)
CHANGES, EWMA = int(Function.CHANGES), int(Function.EWMA)
EACH, SESSION = int(Form.EACH), int(Form.SESSION)

# Places in Windows.count. CUT: how often a limit was met.
USED, TOP_ELEMENT, FREE, INDEXED, CUT = range(5)
COUNTS = 5

# Columns of Windows.table, a row for each aggregate. REAL_IN, REAL: the value, the result are floats. WHOLE: all
# elements leave together. DELAYED: elements wait before they enter. FURTHER: it has words in Windows.extra.
FUNCTION, VALUE, LENGTH_US, STEP_US, NEWEST, OFFSET_US, UNTIL_SLOT = range(7)
SCALE, REAL_IN, REAL, PARAMETER, FORM, WHOLE, DELAYED, FURTHER = range(7, 15)
TABLE_COLUMNS = 15

# Columns of Windows.slots for each aggregate: the list, how many elements count, and a sum with its error.
HEAD, TAIL, LENGTH, TOTAL, LOW = range(5)
COLUMNS = 5

# Columns of Windows.extra for each aggregate. UNTIL: when all elements leave. WAITING, LAST_WAITING: the elements that
# have not entered yet. SEQUENCE: how many have entered. ROOT: of the tree. ORIGIN, BASE: what times and values are
# counted from. Then sums with their errors: of squares, times, squares of times, and times × values. PEAK: the largest
# that SQUARES has been.
UNTIL, WAITING, LAST_WAITING, SEQUENCE, ROOT, ORIGIN, BASE = range(7)
SQUARES, SQUARES_LOW, TIMES, TIMES_LOW, TIME_SQUARES, TIME_SQUARES_LOW, PRODUCTS, PRODUCTS_LOW = range(7, 15)
PEAK = 15
EXTRA_COLUMNS = 16
LINKS = (WAITING, LAST_WAITING, ROOT)  # -1 in an empty window

# Columns of Windows.element. MARK: its place in the sequence; of a value counted by count(distinct), the bits of its
# weight; of an element that waits, when its stretch of the calendar ends.
TIME, WORD, AFTER, BEFORE, HOME, MARK = range(6)
ELEMENT_COLUMNS = 6
NOWHERE, WAITS = -1, -2  # HOME of an element that is free, and of one that has not entered

# Columns of Windows.tree: a node for each element of a ranked window, SIZE 0 when it has none.
LEFT, RIGHT, PARENT, SIZE, RANKED, TIE = range(6)
TREE_COLUMNS = 6


class Windows(NamedTuple):
    """table: (aggregates, TABLE_COLUMNS). slots, extra: (slots, columns × aggregates), each with a float view; extra
    has no columns where no aggregate needs it.

    element: (elements, ELEMENT_COLUMNS); HOME is slot × aggregates + aggregate. tree: as long, or empty where nothing
    is ranked. index: element or -1 at the hash of (home, value). scratch: one word, with a float view.
    """

    table: Ints
    slots: Ints
    slots_real: Floats
    extra: Ints
    extra_real: Floats
    element: Ints
    tree: Ints
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
def above_base(windows: Windows, slot: int, a: int, word: int) -> float:
    """How far a value lies above the window's first, as a float or in whole numbers of its unit."""
    base = EXTRA_COLUMNS * a + BASE
    if windows.table[a, REAL_IN]:
        return as_float(windows, word) - windows.extra_real[slot, base]
    return float(word - windows.extra[slot, base])


@inline
def take(windows: Windows, now_us: int, word: int, home: int) -> int:
    """An element that is free, filled in. The caller has made sure that there is one."""
    element = windows.count[FREE]
    if element >= 0:
        windows.count[FREE] = windows.element[element, AFTER]
        fetch(windows.element, windows.count[FREE], 0)  # the next one to be taken
    else:
        element = windows.count[TOP_ELEMENT]
        windows.count[TOP_ELEMENT] += 1
    windows.count[USED] += 1
    windows.element[element, TIME] = now_us
    windows.element[element, WORD] = word
    windows.element[element, HOME] = home
    windows.element[element, AFTER] = -1
    return element


@inline
def fetch_windows(windows: Windows, slots: Ints, i: int) -> None:
    """Ask for what rows soon to come will read: of a key its windows, and then the ends of their lists."""
    fetch(windows.slots, ahead(slots, i, LATER), 0)
    slot = ahead(slots, i, SOON)
    for a in range(windows.table.shape[0]):
        fetch(windows.element, windows.slots[slot, COLUMNS * a + HEAD], 0)
        fetch(windows.element, windows.slots[slot, COLUMNS * a + TAIL], 0)


@inline
def give_back(windows: Windows, element: int) -> None:
    """Free an element that stands in no list."""
    windows.element[element, HOME] = NOWHERE
    windows.element[element, AFTER] = windows.count[FREE]
    windows.count[FREE] = element
    windows.count[USED] -= 1


@inline
def append(windows: Windows, slot: int, a: int, element: int) -> None:
    """Put an element at the end of a window's list."""
    last = windows.slots[slot, COLUMNS * a + TAIL]
    windows.element[element, BEFORE] = last
    if last >= 0:
        windows.element[last, AFTER] = element
    else:
        windows.slots[slot, COLUMNS * a + HEAD] = element
    windows.slots[slot, COLUMNS * a + TAIL] = element
    windows.slots[slot, COLUMNS * a + LENGTH] += 1


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
    give_back(windows, element)
