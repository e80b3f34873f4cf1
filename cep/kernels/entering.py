"""The rows that enter a plan: their bits and the words of their keys, in order, without those that have no key."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, kernel
from cep.layout import NAN_WORD, NULL

Ints = npt.NDArray[np.int64]


@kernel
def mark(mask: Ints, rows: Ints, bits: int) -> None:
    """Add bits to those of some rows."""
    for i in range(len(rows)):
        mask[rows[i]] |= bits


@inline
def key_of(words: Ints, columns: Ints, row: int, key: Ints, at: int) -> bool:
    """Write the row's key to `key[:, at]`; false when a part of it is null."""
    for part in range(len(columns)):
        word = words[columns[part], row]
        if word == NULL or word == NAN_WORD:
            return False
        key[part, at] = word
    return True


@kernel
def gather(words: Ints, columns: Ints, rows: Ints, bits: int, found: Ints, found_bits: Ints, key: Ints) -> int:
    """Those of `rows` that have a key, all with the same bits; how many."""
    count = 0
    for i in range(len(rows)):
        if key_of(words, columns, rows[i], key, count):
            found[count], found_bits[count] = rows[i], bits
            count += 1
    return count


@kernel
def gather_marked(words: Ints, columns: Ints, mask: Ints, found: Ints, found_bits: Ints, key: Ints) -> int:
    """The rows with bits in `mask` that have a key; how many."""
    count = 0
    for row in range(len(mask)):
        if mask[row] and key_of(words, columns, row, key, count):
            found[count], found_bits[count] = row, mask[row]
            count += 1
    return count
