"""Moving what is kept to the front of a buffer, in place: fresh memory costs more than the copying."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cep.kernels import kernel


@kernel
def keep_rows(column: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> None:
    """column[i] = column[rows[i]]; `rows` ascend, so none is written over before it is read."""
    for i in range(len(rows)):
        column[i] = column[rows[i]]
