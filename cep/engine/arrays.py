"""The arrays that kernels work on: how they are made, and how they grow when a kernel says that space has run out."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from cep.kernels import elements as el
from cep.kernels import keys as key_kernels
from cep.kernels.distinct import reindex
from cep.kernels.elements import Windows
from cep.kernels.keys import BUCKETS, NEVER, TICKS_PER_SPAN, KeySpace
from cep.kernels.matches import COLUMNS, Matches
from cep.layout.aggregates import AggregateSpec, Form, Function

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

FIRST_SLOTS = 64
FIRST_ROWS = 256
SMALL = 4096
LARGE_BYTES, ROOM, ROOM_BYTES = 2**22, 64, 2**30
DIRECT_SHARE = 16  # of the numbers that a table of keys is long, one in so many at least has a slot reserved

_ROOMS: WeakValueDictionary[int, Array] = WeakValueDictionary()  # by their `id`: what arrays may grow into

_INDEXED = {int(function) for function in (el.DISTINCT, el.NEW, el.TOP)}


def grown(array: Array, length: int) -> Array:
    """It, longer, in its place; the new rows are zero, and cost no memory until they are written to.

    The shorter one must not be used any more, nor grow again.
    """
    room = _room(array, length)
    return (_new_room(np.zeros, array, length) if room is None else room)[:length]


def _new_room(make: Callable[..., Array], array: Array, length: int) -> Array:
    """A copy with so many rows; of a large array with many more, to grow into. Where addresses are short, without."""
    row_bytes, room = array.itemsize * math.prod(array.shape[1:]), None
    if length * row_bytes >= LARGE_BYTES:
        with contextlib.suppress(MemoryError):
            room = make((max(length, min(ROOM * length, ROOM_BYTES // row_bytes)), *array.shape[1:]), array.dtype)
    if room is None:
        room = make((length, *array.shape[1:]), array.dtype)
    room[: len(array)] = array
    _ROOMS[id(room)] = room
    return room


def _room(array: Array, length: int) -> Array | None:
    """Where the array stands with so many rows, if it was made with room for them: it is the beginning of that."""
    room = array.base
    if not isinstance(room, np.ndarray) or _ROOMS.get(id(room)) is not room or len(room) < length:
        return None
    is_alike = (room.dtype, room.shape[1:], room.strides) == (array.dtype, array.shape[1:], array.strides)
    return room if is_alike and room.ctypes.data == array.ctypes.data else None


def further(length: int) -> int:
    """How long an array becomes that was so long: with hundreds of plans, the small ones take more time than memory."""
    return length * (4 if length < SMALL else 2)


def new_keys(span_us: int) -> KeySpace:
    """A key space; `span_us`, the plan's longest horizon, sets the tick of its wheel."""
    count = np.zeros(key_kernels.COUNTS, np.int64)
    count[key_kernels.FREE] = -1
    count[key_kernels.TICK] = max(1, span_us // TICKS_PER_SPAN)
    count[[key_kernels.CURSOR, key_kernels.SWEPT]] = -(2**62)
    return KeySpace(
        table=np.full(2 * FIRST_SLOTS, -1, np.int32),
        direct=np.empty(0, np.int32),
        slots=copies(_blank_slot(), FIRST_SLOTS),
        head=np.full(BUCKETS, -1, np.int32),
        count=count,
    )


def _blank_slot() -> Ints:
    slot = np.zeros(key_kernels.SLOT_COLUMNS, np.int64)
    slot[[key_kernels.HASH, key_kernels.AFTER, key_kernels.BEFORE]] = -1
    slot[key_kernels.DUE] = NEVER
    return slot


def grow_keys(keys: KeySpace, largest: int) -> KeySpace:
    """More slots. `largest`: as for `reach_directly`."""
    length = further(len(keys.slots))
    slots = grown_copies(keys.slots, _blank_slot(), length)
    return _rehashed(keys, slots, _direct_length(keys, largest, length))


def reach_directly(keys: KeySpace, largest: int) -> KeySpace:
    """Make keys up to the largest be found by the number that they are, unless there are far too few for so long a
    table. `largest`: -1 where keys are no such numbers.
    """
    length = _direct_length(keys, largest, len(keys.slots))
    return keys if length == len(keys.direct) else _rehashed(keys, keys.slots, length)


def _direct_length(keys: KeySpace, largest: int, slots: int) -> int:
    found = largest < len(keys.direct) or largest > DIRECT_SHARE * slots
    return len(keys.direct) if found else 1 << largest.bit_length()


def _rehashed(keys: KeySpace, slots: Ints, numbers: int) -> KeySpace:
    table, direct = np.full(2 * len(slots), -1, np.int32), np.full(numbers, -1, np.int32)
    key_kernels.rehash(table, direct, slots, int(keys.count[key_kernels.TOP]))
    return keys._replace(table=table, direct=direct, slots=slots)


def new_windows(aggregates: Sequence[AggregateSpec]) -> Windows:
    """Windows for a plan's aggregates, all empty."""
    table = np.array([_table_row(a) for a in aggregates], np.int64).reshape(len(aggregates), el.TABLE_COLUMNS)
    count = np.zeros(el.COUNTS, np.int64)
    count[el.FREE] = -1
    slots = np.zeros((FIRST_SLOTS, el.COLUMNS * len(aggregates)), np.int64)
    extras = el.EXTRA_COLUMNS * len(aggregates) if table[:, el.FURTHER].any() else 0
    extra = np.zeros((FIRST_SLOTS, extras), np.int64)
    _blank_windows(slots, extra)
    ranked = any(a.function in (Function.RANK, Function.TOP) for a in aggregates)
    scratch = np.zeros(1, np.int64)
    return Windows(
        table=table,
        slots=slots,
        slots_real=slots.view(np.float64),
        extra=extra,
        extra_real=extra.view(np.float64),
        element=np.full((FIRST_ROWS, el.ELEMENT_COLUMNS), -1, np.int64),
        tree=np.zeros((FIRST_ROWS if ranked else 0, el.TREE_COLUMNS), np.int64),
        index=np.full(4 * FIRST_ROWS, -1, np.int32),
        count=count,
        scratch=scratch,
        scratch_real=scratch.view(np.float64),
    )


def _table_row(a: AggregateSpec) -> list[int]:
    """An aggregate as kernels read it."""
    row = [0] * el.TABLE_COLUMNS
    row[el.FUNCTION], row[el.VALUE], row[el.LENGTH_US], row[el.STEP_US] = a.function, a.value, a.length_us, a.step_us
    row[el.NEWEST], row[el.OFFSET_US], row[el.UNTIL_SLOT], row[el.SCALE] = a.count, a.offset_us, a.until, a.scale
    row[el.REAL_IN], row[el.REAL], row[el.PARAMETER], row[el.FORM] = a.real_in, a.real, a.parameter, a.form
    row[el.WHOLE] = a.form in (Form.EACH, Form.SESSION)
    row[el.DELAYED] = a.form is Form.EVERY or a.offset_us > 0
    row[el.FURTHER] = a.function >= Function.PREV or a.form is not Form.OVER or a.offset_us > 0 or a.count > 0
    return row


def _blank_windows(slots: Ints, extra: Ints) -> None:
    """Empty windows: no first and no last element."""
    slots[:, el.HEAD :: el.COLUMNS] = -1
    slots[:, el.TAIL :: el.COLUMNS] = -1
    for column in el.LINKS:
        extra[:, column :: el.EXTRA_COLUMNS] = -1


def grow_windows(windows: Windows, slots: int) -> Windows:
    """As many slots as given, and more elements when they are about to run out."""
    if slots > len(windows.slots):
        longer, extra = grown(windows.slots, slots), grown(windows.extra, slots)
        _blank_windows(longer[len(windows.slots) :], extra[len(windows.slots) :])
        windows = windows._replace(slots=longer, slots_real=longer.view(np.float64))
        windows = windows._replace(extra=extra, extra_real=extra.view(np.float64))
    elements = len(windows.element)
    if windows.count[el.USED] + len(windows.table) > elements - 1:
        elements = further(elements)
        windows = windows._replace(element=grown(windows.element, elements))
        if len(windows.tree):
            windows = windows._replace(tree=grown(windows.tree, elements))
        if _INDEXED.intersection(windows.table[:, el.FUNCTION].tolist()):
            windows = windows._replace(index=np.full(4 * elements, -1, np.int32))
            reindex(windows)
    return windows


def copies(row: Ints, length: int) -> Ints:
    """An array of so many rows, all alike: the state of keys that hold nothing."""
    return grown_copies(np.empty((0, len(row)), row.dtype), row, length)


def grown_copies(array: Ints, row: Ints, length: int) -> Ints:
    """It, longer, in its place; the new rows are like `row`."""
    room = _room(array, length)
    if room is None:
        room = _new_room(np.empty, array, length)
    room[len(array) : length] = row
    return room[:length]


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
    """More room."""
    rows, references = further(len(matches.row)), further(len(matches.reference))
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
