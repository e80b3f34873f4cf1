"""Moving what is kept to the front of a buffer, in place: fresh memory costs more than the copying."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cep.kernels import kernel

Ints = npt.NDArray[np.int64]


@kernel
def keep_rows(column: npt.NDArray[Any], rows: Ints) -> None:
    """column[i] = column[rows[i]]; `rows` ascend, so none is written over before it is read."""
    for i in range(len(rows)):
        column[i] = column[rows[i]]


@kernel
def mark(marks: npt.NDArray[np.bool_], first: int, table: Ints, rows: Ints, columns: Ints) -> None:
    """marks[ordinal - first] = True for what stands in some columns of some rows; one that begins with -1 is free.

    Ordinals outside the marks, -1 among them, are of no interest.
    """
    for i in range(len(rows)):
        if table[rows[i], columns[0]] < 0:
            continue
        for c in range(len(columns)):
            at = table[rows[i], columns[c]] - first
            if 0 <= at < len(marks):
                marks[at] = True
