"""The answer to an XREAD to entries: where in the bytes each id, name and value stands, without a Python object.

The wire format is RESP2: a list is `*n` and its n parts, a text `$n` and its n bytes, anything else one line; each ends
with CR LF.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, kernel
from cep.kernels.scan import Bytes

Ints = npt.NDArray[np.int64]

MS, SEQ, NAME, NAME_END, VALUE, VALUE_END = range(6)  # the columns of an entry
AT, PENDING = range(2)  # where reading goes on; how many parts are still to come
OTHER_SHAPE, TOO_LARGE = -1, -2
ID_MAX = 2**63 - 1

_CR, _LIST, _TEXT, _DASH, _MINUS = 13, ord("*"), ord("$"), ord("-"), ord("-")


@inline
def line_end(data: Bytes, at: int, end: int) -> int:
    """The CR of the line that begins at `at`, or -1 when it has not come yet."""
    while at < end and data[at] != _CR:
        at += 1
    return at if at + 1 < end else np.int64(-1)


@inline
def size(data: Bytes, at: int) -> tuple[int, int]:
    """The number behind the sign at `at`, and the first byte of the next line."""
    at += 1
    is_negative = data[at] == _MINUS
    if is_negative:
        at += 1
    value = np.int64(0)
    while data[at] != _CR:
        value = value * 10 + (np.int64(data[at]) - 48)
        at += 1
    return -value if is_negative else value, at + 2


@kernel
def follow(data: Bytes, end: int, state: Ints) -> None:
    """Go through what has come, up to `end`, and on from where `state` stands: (2,) of AT, PENDING.

    Once nothing is pending the answer is complete. AT may be beyond `end`: then a text has not come as a whole.
    """
    at = state[AT]
    while state[PENDING] > 0 and at < end:
        stop = line_end(data, at, end)
        if stop < 0:
            break
        state[PENDING] -= 1
        if data[at] == _LIST:
            value, at = size(data, at)
            state[PENDING] += max(np.int64(0), value)
        elif data[at] == _TEXT:
            value, at = size(data, at)
            at += value + 2 if value >= 0 else np.int64(0)
        else:
            at = stop + 2
    state[AT] = at


@inline
def decimal(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """The number that begins at `at`, ID_MAX where it is larger; and the first byte behind it."""
    value = np.int64(0)
    while at < stop and data[at] != _DASH:
        digit = np.int64(data[at]) - 48
        value = ID_MAX if value > (ID_MAX - digit) // 10 else value * 10 + digit
        at += 1
    return value, at


@kernel
def stream(data: Bytes, at: int, n: int, entries: Ints) -> int:
    """Read n entries of one field each from `at` on into (n, 6) of MS …. The first byte behind them, or OTHER_SHAPE."""
    for entry in range(n):
        if data[at] != _LIST:
            return np.int64(OTHER_SHAPE)
        parts, at = size(data, at)
        if parts != 2 or data[at] != _TEXT:
            return np.int64(OTHER_SHAPE)
        length, at = size(data, at)
        entries[entry, MS], dash = decimal(data, at, at + length)
        entries[entry, SEQ], _ = decimal(data, dash + 1, at + length)
        at += length + 2
        if data[at] != _LIST:
            return np.int64(OTHER_SHAPE)
        parts, at = size(data, at)
        if parts != 2:
            return np.int64(OTHER_SHAPE)
        for column in (NAME, VALUE):
            length, at = size(data, at)
            entries[entry, column], entries[entry, column + 1] = at, at + length
            at += length + 2
    return at
