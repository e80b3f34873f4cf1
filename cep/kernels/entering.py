"""The rows that enter a plan: their bits and the words of their keys, in order, without those that have no key.

Which shard a key is of depends on its words alone, whichever columns they stand in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, kernel
from cep.layout.columns import NAN_WORD, NULL

Ints = npt.NDArray[np.int64]


@inline
def mixed(h: np.uint64, word: int) -> np.uint64:
    """The hash of a key with one part more (multiply and shift)."""
    h = (h ^ np.uint64(word)) * np.uint64(0x9E3779B97F4A7C15)
    return h ^ (h >> np.uint64(32))


@inline
def shard_of(h: np.uint64, shards: int) -> int:
    """The shard of a key's hash; 0 of no key at all."""
    return np.int64(((h & np.uint64(0xFFFFFFFF)) * np.uint64(shards)) >> np.uint64(32))


@kernel
def rows_of(event: npt.NDArray[np.int16], of: Ints, found: Ints) -> int:
    """Write the rows of the events `of`; how many."""
    count = 0
    if len(of) == 1:
        for row in range(len(event)):
            found[count] = row  # to be written over, unless it is one
            count += event[row] == of[0]
        return count
    for row in range(len(event)):
        for i in range(len(of)):
            if event[row] == of[i]:
                found[count] = row
                count += 1
                break
    return count


@kernel
def rows_of_shard(words: Ints, columns: Ints, rows: Ints, shards: int, shard: int, found: Ints) -> int:
    """Write those of `rows` whose keys, in `columns`, are of that one of so many shards; how many."""
    count = 0
    if len(columns) == 1:  # as nearly always, and then without a loop in the loop
        column = columns[0]
        for i in range(len(rows)):
            found[count] = rows[i]
            count += shard_of(mixed(np.uint64(0), words[column, rows[i]]), shards) == shard
        return count
    for i in range(len(rows)):
        h = np.uint64(0)
        for part in range(len(columns)):
            h = mixed(h, words[columns[part], rows[i]])
        found[count] = rows[i]
        count += shard_of(h, shards) == shard
    return count


@kernel
def merge(rows: Ints, bits: Ints, further: Ints, further_bits: int, merged: Ints, merged_bits: Ints) -> int:
    """The rows of two ascending lists in one, a row of both once, with the bits of both; how many."""
    i = j = count = 0
    while i < len(rows) and j < len(further):
        a, b = rows[i], further[j]
        merged[count] = min(a, b)  # without a branch, for none could be foretold
        merged_bits[count] = (bits[i] if a <= b else 0) | (further_bits if b <= a else 0)
        i += a <= b
        j += b <= a
        count += 1
    for place in range(i, len(rows)):
        merged[count], merged_bits[count] = rows[place], bits[place]
        count += 1
    for place in range(j, len(further)):
        merged[count], merged_bits[count] = further[place], further_bits
        count += 1
    return count


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
def gather(words: Ints, columns: Ints, rows: Ints, bits: Ints, found: Ints, found_bits: Ints, key: Ints) -> int:
    """Those of `rows` that have a key, with their bits; how many."""
    count = 0
    for i in range(len(rows)):
        if key_of(words, columns, rows[i], key, count):
            found[count], found_bits[count] = rows[i], bits[i]
            count += 1
    return count
