"""Asking for memory before it is needed, so that the wait for one row's state overlaps with work on others.

Which key an event is of is known long before its turn, but not to the processor, for the states of keys stand in no
order. It changes no value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from cep.kernels import inline

LINE_WORDS = 8  # a cache line holds so many words
SOON, LATER = 4, 8  # so many rows ahead what a key's state points to, and before that the state itself
_COMPILED = not config.DISABLE_JIT  # Python has no such word
_READ, _KEEP, _DATA = 0, 3, 1  # of llvm.prefetch: to read, to be kept in all caches, no code


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(context: Any, table: Any, row: Any, column: Any) -> Any:
    """The processor's own word for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        strides = [builder.extract_value(array.strides, i) for i in range(2)]
        offset = builder.add(builder.mul(arguments[1], strides[0]), builder.mul(arguments[2], strides[1]))
        place = builder.gep(builder.bitcast(array.data, byte), [offset])
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(prefetch, [place, number(_READ), number(_KEEP), number(_DATA)])
        return context.get_dummy_value()

    return types.void(table, types.int64, types.int64), generate


@inline
def fetch(table: npt.NDArray[np.int64], row: int, column: int) -> None:
    """Ask for the line in which `table[row, column]` stands; nobody minds when there is no such row."""
    if _COMPILED:
        _prefetch(table, row, column)


@inline
def ahead(slots: npt.NDArray[Any], i: int, rows: int) -> int:
    """The slot of a row that comes so many rows after the ith, or after as many as there are; 0 where it has none."""
    return max(np.int64(slots[min(i + rows, len(slots) - 1)]), 0)
