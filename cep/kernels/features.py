"""Aggregates in a `when`: for each row that reads one, its value over what came before, then the row enters itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.kernels import jit
from cep.kernels.keys import KeySpace, hand, hand_steps, remove
from cep.kernels.windows import USED, VALUE, Windows, clear, empty, expire, push, value
from cep.layout import READ_SHIFT

Ints = npt.NDArray[np.int64]


@jit
def null_of(windows: Windows, a: int) -> int:
    """What aggregate `a` gives for a key that has never been seen: `value` of an empty slot, without one.

    The last slot is never given to a key.
    """
    return value(windows, windows.slots.shape[0] - 1, a)


@jit
def feed(
    windows: Windows,
    rows: Ints,
    bits: Ints,
    slots: Ints,
    words: Ints,
    outputs: Ints,
    begin_at: int,
) -> int:
    """Read, then enter, rows[begin_at:]; the place reached, less than len(rows) when space has run out.

    rows, bits, slots: (m,), slot -1 for a key that holds nothing.
    words: (slots, n), of which column outputs[a] is filled for the rows that read a.
    """
    aggregates = windows.table.shape[0]
    for i in range(begin_at, len(rows)):
        slot, row, row_bits = slots[i], rows[i], bits[i]
        if windows.count[USED] + aggregates > len(windows.element):
            return i
        now_us = words[0, row]
        for a in range(aggregates):
            if row_bits >> (READ_SHIFT + a) & 1:
                if slot < 0:
                    words[outputs[a], row] = null_of(windows, a)
                else:
                    expire(windows, slot, a, now_us)
                    words[outputs[a], row] = value(windows, slot, a)
        for a in range(aggregates):
            if row_bits >> a & 1:
                expire(windows, slot, a, now_us)
                source = windows.table[a, VALUE]
                push(windows, slot, a, now_us, words[source, row] if source >= 0 else 0)
    return len(rows)


@jit
def tidy(keys: KeySpace, windows: Windows, until_us: int) -> None:
    """Let the clock's hand free what has left its window by `until_us`, and the keys that hold nothing."""
    for _ in range(hand_steps(keys, until_us)):
        slot = hand(keys)
        if slot < 0:
            continue
        for a in range(windows.table.shape[0]):
            expire(windows, slot, a, until_us)
        if empty(windows, slot):
            clear(windows, slot)
            remove(keys, slot)
