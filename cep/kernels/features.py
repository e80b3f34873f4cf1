"""Aggregates in a `when`: for each row that reads one, its value over what came before, then the row enters itself."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cep.kernels import jit, kernel
from cep.kernels.elements import FUNCTION, NEW, REAL_IN, USED, VALUE, Windows, as_float, fetch_windows
from cep.kernels.keys import KeySpace, hand, hand_steps, remove
from cep.kernels.windows import advance, advance_all, arrive, clear, drop_all, empty, estimated, lacks, value
from cep.layout.aggregates import READ_SHIFT, RESET_SHIFT
from cep.layout.columns import NULL

Ints = npt.NDArray[np.int64]


@jit
def unseen(windows: Windows, slot: int, a: int, word: int) -> int:
    """For `new`: whether the row's own value is none of the window's; null when it has none."""
    if math.isnan(as_float(windows, word)) if windows.table[a, REAL_IN] else word == NULL:
        return np.int64(NULL)
    if windows.table[a, REAL_IN] and as_float(windows, word) == 0:  # also of -0
        word = np.int64(0)
    return np.int64(lacks(windows, slot, a, word))


@kernel
def feed(
    windows: Windows,
    rows: Ints,
    bits: Ints,
    slots: Ints,
    words: Ints,
    outputs: Ints,
    begin_at: int,
) -> int:
    """Read, then begin anew or enter, rows[begin_at:]; the place reached, less than len(rows) when space has run out.

    rows, bits, slots: (m,), slot -1 for a key that holds nothing.
    words: (slots, n), of which column outputs[a] is filled for the rows that read a. Where there are twice as many
    outputs as aggregates, the others say whether the value is an estimate.
    """
    aggregates = windows.table.shape[0]
    for i in range(begin_at, len(rows)):
        fetch_windows(windows, slots, i)
        slot, row, row_bits = slots[i], rows[i], bits[i]
        if windows.count[USED] + aggregates > len(windows.element):
            return i
        now_us = words[0, row]
        for a in range(aggregates):
            if row_bits >> (READ_SHIFT + a) & 1:
                seen = slot
                if slot < 0:
                    seen = windows.slots.shape[0] - 1  # never given to a key, so always empty
                else:
                    advance(windows, slot, a, now_us)
                if windows.table[a, FUNCTION] == NEW:
                    words[outputs[a], row] = unseen(windows, seen, a, words[windows.table[a, VALUE], row])
                else:
                    words[outputs[a], row] = value(windows, seen, a)
                if len(outputs) > aggregates:
                    words[outputs[aggregates + a], row] = np.int64(estimated(windows, seen, a))
        if slot < 0:
            continue
        for a in range(aggregates):
            if row_bits >> (RESET_SHIFT + a) & 1:
                drop_all(windows, slot, a)
            elif row_bits >> a & 1:
                advance(windows, slot, a, now_us)
                arrive(windows, slot, a, now_us, words, row)
    return len(rows)


@kernel
def tidy(keys: KeySpace, windows: Windows, until_us: int) -> None:
    """Let the clock's hand free what has left its window by `until_us`, and the keys that hold nothing."""
    for _ in range(hand_steps(keys, until_us)):
        slot = hand(keys)
        if slot < 0:
            continue
        advance_all(windows, slot, until_us)
        if empty(windows, slot):
            clear(windows, slot)
            remove(keys, slot)
