"""Eight bytes at once, wherever they stand: numba reads arrays one element at a time.

Within a word the first byte is the lowest, as on every machine that numba compiles for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from cep.kernels import inline

Bytes = npt.NDArray[np.uint8]

SIZE = 8
_ONES, _TOPS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_QUOTES, _BACKSLASHES, _SPACES = (np.uint64(ord(c) * 0x0101010101010101) for c in '"\\ ')


@intrinsic  # type: ignore[untyped-decorator]
def _load(context: Any, data: Any, at: Any) -> Any:
    """The eight bytes from `at` on; the caller sees to it that they are all there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(place, context.get_value_type(types.uint64).as_pointer()), align=1)

    return types.uint64(data, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _zeros_below(context: Any, word: Any) -> Any:
    """How many zeros stand below the lowest one of a word that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.uint64(types.uint64), generate


if config.DISABLE_JIT:  # intrinsics have no body that Python could run

    def _load(data: Bytes, at: int) -> Any:
        return data[at : at + SIZE].view("<u8")[0]

    def _zeros_below(word: Any) -> Any:
        return np.uint64((int(word) & -int(word)).bit_length() - 1)


@inline
def word(data: Bytes, begin: int, end: int) -> int:
    """The bytes from `begin` to `end`, eight at most, as a number; what is missing is 0."""
    size = end - begin
    if size <= 0:
        return np.uint64(0)
    if begin + SIZE <= len(data):
        return _load(data, np.int64(begin)) & (~np.uint64(0) >> np.uint64(8 * (SIZE - size)))
    found = np.uint64(0)
    for at in range(begin, end):
        found |= np.uint64(data[at]) << np.uint64(8 * (at - begin))
    return found


@inline
def are_same(data: Bytes, at: int, other: int, size: int) -> bool:
    """Whether the same bytes stand at two places of some data."""
    done = 0
    while done < size:
        step = min(SIZE, size - done)
        if word(data, at + done, at + done + step) != word(data, other + done, other + done + step):
            return False
        done += step
    return True


@inline
def zero_bytes(found: int) -> int:
    """The top bit of each byte that is 0; exact up to the first."""
    return (found - _ONES) & ~found & _TOPS


@inline
def plain_end(data: Bytes, at: int) -> int:
    """How far from `at` on each eight bytes are of a JSON text as it is: ASCII, no control, quote or backslash.

    Stops at the first that is not, or less than eight bytes before the end of the data.
    """
    while at + SIZE <= len(data):
        found = _load(data, np.int64(at))
        odd = zero_bytes(found ^ _QUOTES) | zero_bytes(found ^ _BACKSLASHES)
        odd |= (((found - _SPACES) & ~found) | found) & _TOPS
        if odd:
            return at + np.int64(_zeros_below(odd) >> np.uint64(3))
        at += SIZE
    return at
