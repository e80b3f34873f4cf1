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


@inline
def is_of_shard(key: Ints, at: int, shards: int, shard: int) -> bool:
    """Whether the key in `key[:, at]` is of that one of so many shards."""
    h = np.uint64(0)
    for part in range(key.shape[0]):
        h = mixed(h, key[part, at])
    return shard_of(h, shards) == shard


@kernel
def rows_of(event: npt.NDArray[np.int16], first: int, of: Ints, found: Ints) -> int:
    """Write the rows of the events `of`; how many. first: the row that `event` begins with."""
    count = 0
    if len(of) == 1:
        for i in range(len(event)):
            found[count] = first + i  # to be written over, unless it is one
            count += event[i] == of[0]
        return count
    for i in range(len(event)):
        for j in range(len(of)):
            if event[i] == of[j]:
                found[count] = first + i
                count += 1
                break
    return count


@kernel
def take_shard(
    rows: Ints, bits: Ints, key: Ints, shards: int, shard: int, own: Ints, own_bits: Ints, own_key: Ints, count: int
) -> int:
    """Write the rows whose keys are of one shard behind the `count` that are there; how many there are then.

    There is room for all of them and one more.
    """
    for i in range(len(rows)):
        own[count], own_bits[count] = rows[i], bits[i]  # to be written over, unless it is one
        for part in range(key.shape[0]):
            own_key[part, count] = key[part, i]
        count += is_of_shard(key, i, shards, shard)
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
    if len(columns) == 1:  # as nearly always, and then without a branch or a loop in the loop
        column = columns[0]
        for i in range(len(rows)):
            word = words[column, rows[i]]
            found[count], found_bits[count], key[0, count] = rows[i], bits[i], word
            count += (word != NULL) & (word != NAN_WORD)
        return count
    for i in range(len(rows)):
        if key_of(words, columns, rows[i], key, count):
            found[count], found_bits[count] = rows[i], bits[i]
            count += 1
    return count
