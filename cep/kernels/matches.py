"""The buffer that kernels write matches to: one row each, and the ordinals of the events they captured.

A kernel makes sure that there is room before it begins an event and otherwise returns early, so that the caller can
make the buffer longer and call again; nothing is ever written past the end or left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cep.kernels import inline
from cep.kernels.keys import KEY as KEY_WORDS
from cep.kernels.keys import KeySpace
from cep.layout.alerts import Status
from cep.layout.columns import KEY_PARTS_MAX

Ints = npt.NDArray[np.int64]

# Columns of Matches.row.
TIME, KIND, PLACE, START, STATUS, REFS, KEY = range(7)  # KEY: the first of KEY_PARTS_MAX columns
MEMBER = KEY + KEY_PARTS_MAX  # which of the rules that share the plan; a kernel that knows none leaves it 0
COLUMNS = MEMBER + 1
# KIND: deadlines stand before the events of their instant. (A literal would be a type of its own to numba, and every
# kernel it is passed to would be compiled once for each.)
DEADLINE, EVENT = np.int64(0), np.int64(1)
FIRED, RESOLVED = np.int64(Status.FIRED), np.int64(Status.RESOLVED)

# Places in Matches.used.
ROWS, REFERENCES = range(2)


class Matches(NamedTuple):
    """row: (n, COLUMNS); REFS is where its references begin. count: (n, steps), how many events each step captured.

    value: (n, values), the words of a condition. reference: ordinals of captured events, step by step.
    """

    row: Ints
    count: Ints
    value: Ints
    reference: Ints
    used: Ints


@inline
def begin(
    matches: Matches, keys: KeySpace, slot: int, time_us: int, kind: int, place: int, start: int, status: int
) -> int:
    """Begin a match; its row."""
    at = matches.used[ROWS]
    matches.used[ROWS] += 1
    row = matches.row[at]
    row[TIME], row[KIND], row[PLACE], row[START] = time_us, kind, place, start
    row[STATUS], row[REFS] = status, matches.used[REFERENCES]
    for part in range(KEY_PARTS_MAX):
        row[KEY + part] = keys.slots[slot, KEY_WORDS + part]
    return at


@inline
def refer(matches: Matches, ordinal: int) -> None:
    """Add a captured event to the match begun last."""
    matches.reference[matches.used[REFERENCES]] = ordinal
    matches.used[REFERENCES] += 1
