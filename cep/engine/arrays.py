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


def grown(array: Array, length: int, fill: int = 0) -> Array:
    """A longer copy; the new rows hold `fill`."""
    longer = np.full((length, *array.shape[1:]), fill, array.dtype)
    longer[: len(array)] = array
    return longer


def new_keys(parts: int, span_us: int) -> KeySpace:
    """A key space; `span_us`, the plan's longest horizon, sets the tick of its wheel."""
    count = np.zeros(key_kernels.COUNTS, np.int64)
    count[key_kernels.FREE] = -1
    count[key_kernels.TICK] = max(1, span_us // TICKS_PER_SPAN)
    count[key_kernels.CURSOR] = -(2**62)
    return KeySpace(
        table=np.full(2 * FIRST_SLOTS, -1, np.int32),
        words=np.zeros((FIRST_SLOTS, parts), np.int64),
        hashes=np.full(FIRST_SLOTS, -1, np.int64),
        head=np.full(BUCKETS, -1, np.int32),
        after=np.full(FIRST_SLOTS, -1, np.int32),
        before=np.full(FIRST_SLOTS, -1, np.int32),
        due=np.full(FIRST_SLOTS, NEVER, np.int64),
        count=count,
    )


def slots_short(keys: KeySpace) -> bool:
    """Whether the key space is about to be full."""
    return bool(keys.count[key_kernels.LIVE] + 2 >= len(keys.hashes))


def grow_keys(keys: KeySpace) -> KeySpace:
    """Twice the slots."""
    length = 2 * len(keys.hashes)
    table = np.full(2 * length, -1, np.int32)
    hashes = grown(keys.hashes, length, -1)
    key_kernels.rehash(table, hashes, int(keys.count[key_kernels.TOP]))
    return keys._replace(
        table=table,
        words=grown(keys.words, length),
        hashes=hashes,
        after=grown(keys.after, length, -1),
        before=grown(keys.before, length, -1),
        due=grown(keys.due, length, NEVER),
    )


def new_windows(aggregates: Sequence[AggregateSpec]) -> Windows:
    """Windows for a plan's aggregates, all empty."""
    table = np.array(
        [[a.function, a.value, a.window_us, a.scale, a.real_in, a.real] for a in aggregates], np.int64
    ).reshape(len(aggregates), 6)
    count = np.zeros(window_kernels.COUNTS, np.int64)
    count[window_kernels.FREE] = -1
    shape = (FIRST_SLOTS, len(aggregates))
    scratch = np.zeros(1, np.int64)
    return _with_views(
        Windows(
            table=table,
            head=np.full(shape, -1, np.int32),
            tail=np.full(shape, -1, np.int32),
            length=np.zeros(shape, np.int64),
            total=np.zeros((*shape, 2), np.int64),
            total_real=np.zeros((*shape, 2)),
            time=np.zeros(FIRST_ROWS, np.int64),
            word=np.zeros(FIRST_ROWS, np.int64),
            after=np.full(FIRST_ROWS, -1, np.int32),
            before=np.full(FIRST_ROWS, -1, np.int32),
            home=np.full(FIRST_ROWS, -1, np.int64),
            index=np.full(4 * FIRST_ROWS, -1, np.int32),
            count=count,
            scratch=scratch,
            scratch_real=scratch.view(np.float64),
        )
    )


def _with_views(windows: Windows) -> Windows:
    """The float views of the arrays as they are now."""
    return windows._replace(
        total_real=windows.total.view(np.float64), scratch_real=windows.scratch.view(np.float64)
    )


def grow_windows(windows: Windows, slots: int) -> Windows:
    """As many slots as given, and twice the elements when they are about to run out."""
    if slots > len(windows.head):
        windows = windows._replace(
            head=grown(windows.head, slots, -1),
            tail=grown(windows.tail, slots, -1),
            length=grown(windows.length, slots),
            total=grown(windows.total, slots),
        )
    elements = len(windows.time)
    if windows.count[window_kernels.USED] + len(windows.table) > elements - 1:
        elements = 2 * elements
        index = np.full(4 * elements, -1, np.int32) if _has_distinct(windows) else windows.index
        windows = windows._replace(
            time=grown(windows.time, elements),
            word=grown(windows.word, elements),
            after=grown(windows.after, elements, -1),
            before=grown(windows.before, elements, -1),
            home=grown(windows.home, elements, -1),
            index=index,
        )
        if _has_distinct(windows):
            window_kernels.reindex(windows)
    return _with_views(windows)


def _has_distinct(windows: Windows) -> bool:
    return bool((windows.table[:, window_kernels.FUNCTION] == window_kernels.DISTINCT).any())


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
    """The NamedTuple with its arrays taken from `arrays` by name, float views made anew."""
    found = {name: arrays[f"{prefix}.{name}"] for name in table._fields if not name.endswith("_real")}
    views = {name: found[name[: -len("_real")]].view(np.float64) for name in table._fields if name.endswith("_real")}
    return table._replace(**found, **views)
