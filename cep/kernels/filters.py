"""An index of filters: which of many, that ask the same of an event but for constants, does it pass.

A filter is an equality of one column with a constant, an interval of another, and an expression for whatever else it
asks. Filters with one constant stand together, those whose interval begins first in front, so that of the many that a
small value fails none is looked at. What is looked at in vain is only what other bounds and expressions turn away.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit, kernel
from cep.kernels.machine import evaluate
from cep.kernels.runs import Machine
from cep.layout.columns import NULL

Ints = npt.NDArray[np.int64]

# Places in Filters.plan: the columns of equality and of intervals (-1: none), and whether the latter is floats.
EQUAL, ORDERED, REAL = range(3)

# Columns of Filters.row. LOW, HIGH: the interval, both ends in it, in the order of `ordered_word`. BOUNDED: whether
# there is one at all. CODE: -1 for nothing else.
LOW, HIGH, BOUNDED, CODE, MEMBER = range(5)
ROW_COLUMNS = 5

_EXPONENT = 0x7FF0000000000000
_LARGEST = 2**63 - 1


class Filters(NamedTuple):
    """word: the constants of equality, ascending. begin: of each its first row, then that of the filters without one,
    then the number of rows. row: the filters, of one constant by BOUNDED and LOW.
    """

    plan: Ints
    word: Ints
    begin: Ints
    row: Ints


@kernel
def ordered_word(word: int, real: int) -> int:
    """An integer that stands to others as the value does to other values; NULL of null."""
    if not real:
        return word
    if (word & _LARGEST) > _EXPONENT:
        return np.int64(NULL)
    if word == NULL:  # the bits of −0.0
        return np.int64(0)
    return word if word >= 0 else word ^ _LARGEST


@inline
def group_of(f: Filters, word: int) -> int:
    """The place of a constant, -1 for one that no filter names."""
    low, high = 0, len(f.word)
    while low < high:
        middle = (low + high) // 2
        if f.word[middle] < word:
            low = middle + 1
        else:
            high = middle
    return low if low < len(f.word) and f.word[low] == word else -1


@inline
def bounded_word(f: Filters, m: Machine, row: int) -> int:
    """What the event has in the ordered column, in that order."""
    return ordered_word(m.words[f.plan[ORDERED], row], f.plan[REAL]) if f.plan[ORDERED] >= 0 else np.int64(0)


@inline
def passes_rest(f: Filters, i: int, m: Machine, row: int) -> bool:
    """Whether the event passes whatever else filter i asks."""
    code = f.row[i, CODE]
    return code < 0 or evaluate(m.code, code, m.consts, m.words, row, m.consts, m.stack, m.real) == 1


@inline
def passing_of(f: Filters, group: int, m: Machine, row: int, found: Ints, count: int, most: int) -> int:
    """Add the members of one group whose filter the event passes, up to `most`; how many there are then."""
    value = bounded_word(f, m, row)
    for i in range(f.begin[group], f.begin[group + 1]):
        if count == most:
            break
        if f.row[i, BOUNDED]:
            if value == NULL or f.row[i, LOW] > value:
                break
            if f.row[i, HIGH] < value:
                continue
        if passes_rest(f, i, m, row):
            found[count] = f.row[i, MEMBER]
            count += 1
    return count


@inline
def passing_any(f: Filters, m: Machine, row: int, found: Ints, most: int) -> int:
    """`passing`, to be compiled into a loop."""
    count = np.int64(0)
    if f.plan[EQUAL] >= 0:
        group = group_of(f, m.words[f.plan[EQUAL], row])
        if group >= 0:
            count = passing_of(f, group, m, row, found, count, most)
    return passing_of(f, np.int64(len(f.word)), m, row, found, count, most)


@jit
def passing(f: Filters, m: Machine, row: int, found: Ints, most: int) -> int:
    """Write the members whose filter the event in `row` passes to `found`, in no order, up to `most`; how many."""
    return passing_any(f, m, row, found, most)


@jit
def select_one(f: Filters, m: Machine, rows: Ints, chosen: Ints) -> int:
    """Of a single filter: write those of `rows` that pass it to `chosen`, in order; how many."""
    count = 0
    for i in range(len(rows)):
        row = rows[i]
        if len(f.word) and m.words[f.plan[EQUAL], row] != f.word[0]:
            continue
        if f.row[0, BOUNDED]:
            value = bounded_word(f, m, row)
            if value == NULL or f.row[0, LOW] > value or f.row[0, HIGH] < value:
                continue
        if passes_rest(f, np.int64(0), m, row):
            chosen[count] = row
            count += 1
    return count


@kernel
def select_any(f: Filters, m: Machine, rows: Ints, chosen: Ints) -> int:
    """Write those of `rows` that pass some filter to `chosen`, in order; how many."""
    if len(f.row) == 1:
        return select_one(f, m, rows, chosen)
    count = 0
    for i in range(len(rows)):
        # The place where the first passing member would be noted is one that this row may be written to anyway.
        if passing_any(f, m, rows[i], chosen[count : count + 1], np.int64(1)) > 0:
            chosen[count] = rows[i]
            count += 1
    return count
