"""The arrays that kernels work on: how they are made, and how they grow when a kernel says that space has run out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cep.kernels import keys as key_kernels
from cep.kernels import windows as window_kernels
from cep.kernels.keys import BUCKETS, NEVER, TICKS_PER_SPAN, KeySpace
from cep.kernels.matches import COLUMNS, Matches
from cep.kernels.windows import Windows
from cep.layout import AggregateSpec

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

FIRST_SLOTS = 64
FIRST_ROWS = 256


def grown(array: Array, length: int) -> Array:
    """A longer copy; the new rows are zero, and cost no memory until they are written to."""
    longer = np.zeros((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def new_keys(span_us: int) -> KeySpace:
    """A key space; `span_us`, the plan's longest horizon, sets the tick of its wheel."""
    count = np.zeros(key_kernels.COUNTS, np.int64)
    count[key_kernels.FREE] = -1
    count[key_kernels.TICK] = max(1, span_us // TICKS_PER_SPAN)
    count[[key_kernels.CURSOR, key_kernels.SWEPT]] = -(2**62)
    return KeySpace(
        table=np.full(2 * FIRST_SLOTS, -1, np.int32),
        slots=_blank_slots(FIRST_SLOTS),
        head=np.full(BUCKETS, -1, np.int32),
        count=count,
    )


def _blank_slots(length: int) -> Ints:
    slots = np.zeros((length, key_kernels.SLOT_COLUMNS), np.int64)
    slots[:, [key_kernels.HASH, key_kernels.AFTER, key_kernels.BEFORE]] = -1
    slots[:, key_kernels.DUE] = NEVER
    return slots


def grow_keys(keys: KeySpace) -> KeySpace:
    """Twice the slots."""
    length = 2 * len(keys.slots)
    slots = _blank_slots(length)
    slots[: len(keys.slots)] = keys.slots
    table = np.full(2 * length, -1, np.int32)
    key_kernels.rehash(table, slots, int(keys.count[key_kernels.TOP]))
    return keys._replace(table=table, slots=slots)


def new_windows(aggregates: Sequence[AggregateSpec]) -> Windows:
    """Windows for a plan's aggregates, all empty."""
    table = np.array(
        [[a.function, a.value, a.window_us, a.scale, a.real_in, a.real] for a in aggregates], np.int64
    ).reshape(len(aggregates), 6)
    count = np.zeros(window_kernels.COUNTS, np.int64)
    count[window_kernels.FREE] = -1
    slots = np.zeros((FIRST_SLOTS, window_kernels.COLUMNS * len(aggregates)), np.int64)
    scratch = np.zeros(1, np.int64)
    windows = Windows(
        table=table,
        slots=_blank_windows(slots),
        slots_real=slots.view(np.float64),
        element=np.full((FIRST_ROWS, window_kernels.ELEMENT_COLUMNS), -1, np.int64),
        index=np.full(4 * FIRST_ROWS, -1, np.int32),
        count=count,
        scratch=scratch,
        scratch_real=scratch.view(np.float64),
    )
    return windows


def _blank_windows(slots: Ints) -> Ints:
    """Empty windows: no first and no last element."""
    slots[:, window_kernels.HEAD :: window_kernels.COLUMNS] = -1
    slots[:, window_kernels.TAIL :: window_kernels.COLUMNS] = -1
    return slots


def grow_windows(windows: Windows, slots: int) -> Windows:
    """As many slots as given, and twice the elements when they are about to run out."""
    if slots > len(windows.slots):
        longer = grown(windows.slots, slots)
        _blank_windows(longer[len(windows.slots) :])
        windows = windows._replace(slots=longer, slots_real=longer.view(np.float64))
    elements = len(windows.element)
    if windows.count[window_kernels.USED] + len(windows.table) > elements - 1:
        windows = windows._replace(element=grown(windows.element, 2 * elements))
        if _has_distinct(windows):
            windows = windows._replace(index=np.full(8 * elements, -1, np.int32))
            window_kernels.reindex(windows)
    return windows


def _has_distinct(windows: Windows) -> bool:
    return bool((windows.table[:, window_kernels.FUNCTION] == window_kernels.DISTINCT).any())


def copies(row: Ints, length: int) -> Ints:
    """An array of so many rows, all alike: the state of keys that hold nothing."""
    return np.tile(row, (length, 1))


def grown_copies(array: Ints, row: Ints, length: int) -> Ints:
    """A longer copy; the new rows are like `row`."""
    return np.concatenate((array, copies(row, length - len(array))))


def new_matches(steps: int, values: int) -> Matches:
    """An empty buffer for matches of so many steps, or of a condition with so many words."""
    return Matches(
        row=np.zeros((FIRST_ROWS, COLUMNS), np.int64),
        count=np.zeros((FIRST_ROWS, max(1, steps)), np.int64),
        value=np.zeros((FIRST_ROWS, values), np.int64),
        reference=np.zeros(4 * FIRST_ROWS, np.int64),
        used=np.zeros(2, np.int64),
    )


def grow_matches(matches: Matches) -> Matches:
    """Twice the room."""
    rows, references = 2 * len(matches.row), 2 * len(matches.reference)
    return Matches(
        row=grown(matches.row, rows),
        count=grown(matches.count, rows),
        value=grown(matches.value, rows),
        reference=grown(matches.reference, references),
        used=matches.used,
    )


def named_arrays(prefix: str, table: Any) -> dict[str, Array]:
    """The arrays of a NamedTuple by name, without those that are only float views (`x_real` of `x`)."""
    return {f"{prefix}.{name}": array for name, array in table._asdict().items() if not name.endswith("_real")}


def restored(prefix: str, table: Any, arrays: dict[str, Array]) -> Any:
    """The NamedTuple with its arrays taken from `arrays` by name where they are there, float views made anew."""
    named = named_arrays(prefix, table)
    found = {name.removeprefix(f"{prefix}."): arrays.get(name, array) for name, array in named.items()}
    views = {name: found[name[: -len("_real")]].view(np.float64) for name in table._fields if name.endswith("_real")}
    return table._replace(**found, **views)
