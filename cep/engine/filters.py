"""An index of filters as the kernels read it, with a state's ids for the constants that are texts."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import numpy.typing as npt

from cep.kernels import filters as fk
from cep.kernels.filters import Filters
from cep.layout.columns import NULL
from cep.layout.expressions import FilterIndex, IndexedFilter, Opcode
from cep.layout.program import Program

Ints = npt.NDArray[np.int64]

_LEAST, _MOST = NULL + 1, 2**63 - 1
_EQUAL = (Opcode.EQ_I, Opcode.EQ_F)
_LESS = (Opcode.LT_I, Opcode.LT_F)


class Indexes:
    """A program's indexes of filters, each laid out when it is first asked for."""

    def __init__(self, program: Program, consts: Ints) -> None:
        self._indexes, self._consts = program.indexes, consts
        self._laid_out: dict[int, Filters] = {}

    def of(self, index: int) -> Filters:
        """The index at a place in Program.indexes."""
        if index not in self._laid_out:
            self._laid_out[index] = _laid_out(self._indexes[index], self._consts)
        return self._laid_out[index]


def _laid_out(index: FilterIndex, consts: Ints) -> Filters:
    """The index, its rows in the order in which they are looked at."""
    word = sorted({int(consts[f.equals]) for f in index.filters if f.equals >= 0})
    place = {w: at for at, w in enumerate(word)}
    rows = []
    for member, asked in enumerate(index.filters):
        group = place[int(consts[asked.equals])] if asked.equals >= 0 else len(word)
        low, high = _interval(asked, consts, index.real)
        rows.append((group, int(bool(asked.bounds)), low, high, asked.code, member))
    rows.sort()
    groups = [row[0] for row in rows]
    return Filters(
        plan=np.array([index.equal, index.ordered, index.real], np.int64),
        word=np.array(word, np.int64),
        begin=np.array([bisect_left(groups, group) for group in range(len(word) + 2)], np.int64),
        row=np.array([(low, high, bounded, code, member) for _, bounded, low, high, code, member in rows], np.int64),
    )


def _interval(asked: IndexedFilter, consts: Ints, real: bool) -> tuple[int, int]:
    """The first and the last word, in the order of `ordered_word`, for which all bounds hold."""
    low, high = _LEAST, _MOST
    for opcode, const, flipped in asked.bounds:
        word = int(fk.ordered_word(consts[const], real))
        beside = int(opcode in _LESS)  # the neighbour, for a bound that is not in it itself
        if flipped or opcode in _EQUAL:
            low = max(low, word + beside)
        if not flipped or opcode in _EQUAL:
            high = min(high, word - beside)
    return low, high
