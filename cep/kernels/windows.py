"""Windows: which elements count at an instant, O(1) amortised (O(log n) where they are ranked), never drifting.

An element that enters at t lives on [t, t + length). The forms differ in when it enters and leaves: of a hopping
window at multiples of its step, with an offset later; with the calendar and in a session all elements leave together,
so such a window keeps sums and only the newest elements. min and max keep a monotonic list: only elements that can
still become the extreme. A window that holds anything has an element in its list.
"""

from __future__ import annotations

import math

import numpy as np

from cep.kernels import inline, jit
from cep.kernels.distinct import find_value, forget_value, hold_value, make_room_for_value
from cep.kernels.elements import (
    AFTER,
    AVG_F,
    AVG_I,
    COLUMNS,
    COUNT,
    CUT,
    DELAYED,
    DISTINCT,
    EACH,
    EXTRA_COLUMNS,
    FIRST,
    FORM,
    FUNCTION,
    FURTHER,
    HEAD,
    LAST,
    LAST_WAITING,
    LENGTH,
    LENGTH_US,
    LOW,
    MARK,
    MAX_F,
    MAX_I,
    MIN_F,
    MIN_I,
    NEW,
    NEWEST,
    OFFSET_US,
    PREV,
    RANK,
    REAL,
    REAL_IN,
    ROOT,
    SCALE,
    SEQUENCE,
    SLOPE,
    STDDEV,
    STEP_US,
    SUM_F,
    SUM_I,
    TAIL,
    TIME,
    TOP,
    TOTAL,
    UNTIL,
    UNTIL_SLOT,
    VALUE,
    WAITING,
    WAITS,
    WHOLE,
    WORD,
    Ints,
    Windows,
    append,
    as_float,
    as_word,
    give_back,
    release,
    take,
)
from cep.kernels.keys import NEVER
from cep.kernels.moments import moments_anew
from cep.kernels.statistics import add, entered, leaving, statistic
from cep.layout.aggregates import HELD_MAX
from cep.layout.columns import NULL


@jit
def clear(windows: Windows, slot: int) -> None:
    """Make a fresh slot's windows empty."""
    for a in range(windows.table.shape[0]):
        windows.slots[slot, COLUMNS * a + HEAD] = -1
        windows.slots[slot, COLUMNS * a + TAIL] = -1
        begin_anew(windows, slot, a)
        if windows.table[a, FURTHER]:
            windows.extra[slot, EXTRA_COLUMNS * a + WAITING] = -1
            windows.extra[slot, EXTRA_COLUMNS * a + LAST_WAITING] = -1


@jit
def begin_anew(windows: Windows, slot: int, a: int) -> None:
    """A window whose list is empty counts nothing; its sums begin from zero."""
    windows.slots[slot, COLUMNS * a + LENGTH] = 0
    windows.slots[slot, COLUMNS * a + TOTAL] = 0
    windows.slots[slot, COLUMNS * a + LOW] = 0
    if windows.table[a, FURTHER]:
        base = EXTRA_COLUMNS * a
        windows.extra[slot, base + ROOT] = -1
        for column in range(ROOT + 1, EXTRA_COLUMNS):
            windows.extra[slot, base + column] = 0


# ------------------------------------------------------------------------------------- when


@inline
def enters_at(windows: Windows, a: int, time_us: int) -> int:
    """When an element of that time enters: in a hopping window at the next multiple of its step."""
    step_us = windows.table[a, STEP_US]
    if step_us > 0:
        time_us = (time_us // step_us + 1) * step_us
    return time_us + windows.table[a, OFFSET_US]


@inline
def leaves_at(windows: Windows, a: int, time_us: int) -> int:
    """When an element of that time leaves, where each leaves in its own time."""
    step_us = windows.table[a, STEP_US]
    time_us += windows.table[a, LENGTH_US]
    if step_us > 0:
        time_us = (time_us // step_us + 1) * step_us
    return time_us + windows.table[a, OFFSET_US]


@inline
def first_leaves_at(windows: Windows, slot: int, a: int) -> int:
    """When the first element of a list that is not empty leaves."""
    if windows.table[a, WHOLE]:
        return windows.extra[slot, EXTRA_COLUMNS * a + UNTIL]
    return leaves_at(windows, a, windows.element[windows.slots[slot, COLUMNS * a + HEAD], TIME])


@jit
def next_change(windows: Windows, slot: int) -> int:
    """The instant at which the next element leaves or enters any window of the slot; NEVER if all are empty."""
    soonest = np.int64(NEVER)
    for a in range(windows.table.shape[0]):
        if windows.slots[slot, COLUMNS * a + HEAD] >= 0:
            soonest = min(soonest, first_leaves_at(windows, slot, a))
        if windows.table[a, DELAYED]:
            waiting = windows.extra[slot, EXTRA_COLUMNS * a + WAITING]
            if waiting >= 0:
                soonest = min(soonest, enters_at(windows, a, windows.element[waiting, TIME]))
    return soonest


# ------------------------------------------------------------------------------------- leaving


@inline
def drop_plain(windows: Windows, slot: int, a: int) -> None:
    """The oldest element leaves a window that is not `FURTHER`."""
    element = np.int64(windows.slots[slot, COLUMNS * a + HEAD])
    function = windows.table[a, FUNCTION]
    if function == DISTINCT:
        forget_value(windows, slot, a, element)
    else:
        if SUM_I <= function <= AVG_F:
            add(windows, slot, a, windows.element[element, WORD], -1)
        release(windows, slot, a, element)
    if windows.slots[slot, COLUMNS * a + HEAD] < 0:
        windows.slots[slot, COLUMNS * a + TOTAL] = 0
        windows.slots[slot, COLUMNS * a + LOW] = 0


@jit
def drop_first(windows: Windows, slot: int, a: int) -> None:
    """The oldest element leaves its window, whatever that is."""
    if not windows.table[a, FURTHER]:
        drop_plain(windows, slot, a)
        return
    element = np.int64(windows.slots[slot, COLUMNS * a + HEAD])
    function = windows.table[a, FUNCTION]
    if function == DISTINCT or function == NEW:
        forget_value(windows, slot, a, element)
    else:
        if SUM_I <= function <= AVG_F:
            add(windows, slot, a, windows.element[element, WORD], -1)
        elif function >= PREV:
            leaving(windows, slot, a, element)
        release(windows, slot, a, element)
        if STDDEV <= function <= SLOPE:
            moments_anew(windows, slot, a, function)
    if windows.slots[slot, COLUMNS * a + HEAD] < 0:
        begin_anew(windows, slot, a)


@jit
def drop_all(windows: Windows, slot: int, a: int) -> bool:
    """Every element that has entered leaves; whether there was any."""
    left = windows.slots[slot, COLUMNS * a + HEAD] >= 0
    while windows.slots[slot, COLUMNS * a + HEAD] >= 0:
        drop_first(windows, slot, a)
    return left


@jit
def wipe(windows: Windows, slot: int) -> None:
    """Forget all elements of a slot, also those that wait."""
    for a in range(windows.table.shape[0]):
        drop_all(windows, slot, a)
        if windows.table[a, DELAYED]:
            while windows.extra[slot, EXTRA_COLUMNS * a + WAITING] >= 0:
                give_back(windows, next_waiting(windows, slot, a))


@inline
def expire(windows: Windows, slot: int, a: int, now_us: int) -> bool:
    """Elements that live until `now_us` or less leave; whether any did."""
    left = False
    while windows.slots[slot, COLUMNS * a + HEAD] >= 0 and first_leaves_at(windows, slot, a) <= now_us:
        if windows.table[a, WHOLE]:
            return drop_all(windows, slot, a)
        drop_first(windows, slot, a)
        left = True
    return left


@inline
def advance(windows: Windows, slot: int, a: int, now_us: int) -> bool:
    """Everything that leaves or enters at or before `now_us`; whether anything did.

    It is inlined for the plain windows, in which each element leaves in its own time and none waits.
    """
    if windows.table[a, FURTHER]:
        return admit(windows, slot, a, now_us)
    left = False
    while (
        windows.slots[slot, COLUMNS * a + HEAD] >= 0
        and windows.element[windows.slots[slot, COLUMNS * a + HEAD], TIME] + windows.table[a, LENGTH_US] <= now_us
    ):
        drop_plain(windows, slot, a)
        left = True
    return left


@jit
def advance_all(windows: Windows, slot: int, now_us: int) -> None:
    """As `advance`, for all windows of a slot."""
    for a in range(windows.table.shape[0]):
        advance(windows, slot, a, now_us)


# ------------------------------------------------------------------------------------- entering


@inline
def beaten(windows: Windows, function: int, old: int, new: int) -> bool:
    """Whether a new word makes an older one irrelevant to a min or max."""
    if function == MIN_I:
        return new <= old
    if function == MAX_I:
        return new >= old
    newer, older = as_float(windows, new), as_float(windows, old)
    return newer <= older if function == MIN_F else newer >= older


@inline
def arrive(windows: Windows, slot: int, a: int, now_us: int, words: Ints, row: int) -> None:
    """The event in a row happens: it enters, or waits until it may; null does not count.

    It is inlined as far as counts and sums go, whose elements need nothing but their place in the list. The caller has
    made sure that an element is free.
    """
    source = windows.table[a, VALUE]
    word = words[source, row] if source >= 0 else np.int64(0)
    if source >= 0:
        if windows.table[a, REAL_IN]:
            real = as_float(windows, word)
            if math.isnan(real):
                return
            if real == 0:  # also of -0
                word = np.int64(0)
        elif word == NULL:
            return
    until_us = words[windows.table[a, UNTIL_SLOT], row] if windows.table[a, FORM] == EACH else np.int64(0)
    if windows.table[a, DELAYED]:
        wait(windows, slot, a, now_us, word, until_us)
    elif not windows.table[a, FURTHER] and windows.table[a, FUNCTION] <= AVG_F:
        element = take(windows, now_us, word, slot * windows.table.shape[0] + a)
        append(windows, slot, a, element)
        if windows.table[a, FUNCTION] != COUNT:
            add(windows, slot, a, word, 1)
    else:
        push(windows, slot, a, now_us, word, until_us)


@jit
def wait(windows: Windows, slot: int, a: int, now_us: int, word: int, until_us: int) -> None:
    """An element stands behind those that wait already."""
    element = take(windows, now_us, word, np.int64(WAITS))
    windows.element[element, MARK] = until_us
    base = EXTRA_COLUMNS * a
    last = windows.extra[slot, base + LAST_WAITING]
    if last >= 0:
        windows.element[last, AFTER] = element
    else:
        windows.extra[slot, base + WAITING] = element
    windows.extra[slot, base + LAST_WAITING] = element


@inline
def next_waiting(windows: Windows, slot: int, a: int) -> int:
    """The first element that waits, taken out."""
    base = EXTRA_COLUMNS * a
    element = windows.extra[slot, base + WAITING]
    after = windows.element[element, AFTER]
    windows.extra[slot, base + WAITING] = after
    if after < 0:
        windows.extra[slot, base + LAST_WAITING] = -1
    return element


@jit
def admit(windows: Windows, slot: int, a: int, now_us: int) -> bool:
    """Those that have waited enter, each after what left before; then what has ended by `now_us` leaves."""
    changed = False
    while windows.extra[slot, EXTRA_COLUMNS * a + WAITING] >= 0:
        element = windows.extra[slot, EXTRA_COLUMNS * a + WAITING]
        time_us = windows.element[element, TIME]
        enters_us = enters_at(windows, a, time_us)
        if enters_us > now_us:
            break
        expire(windows, slot, a, enters_us)
        next_waiting(windows, slot, a)
        word, until_us = windows.element[element, WORD], windows.element[element, MARK]
        give_back(windows, element)
        push(windows, slot, a, time_us, word, until_us)
        changed = True
    return expire(windows, slot, a, now_us) or changed


@inline
def push(windows: Windows, slot: int, a: int, time_us: int, word: int, until_us: int) -> None:
    """An element of that time enters; with EACH its stretch ends at `until_us`."""
    function = windows.table[a, FUNCTION]
    mark = np.int64(0)
    if windows.table[a, FURTHER]:
        mark = announce(windows, slot, a, time_us, until_us)
    if MIN_I <= function <= MAX_F:
        if windows.table[a, WHOLE] and windows.slots[slot, COLUMNS * a + HEAD] >= 0:
            if not beaten(windows, function, windows.element[windows.slots[slot, COLUMNS * a + HEAD], WORD], word):
                return
        while windows.slots[slot, COLUMNS * a + TAIL] >= 0 and beaten(
            windows, function, windows.element[windows.slots[slot, COLUMNS * a + TAIL], WORD], word
        ):
            release(windows, slot, a, np.int64(windows.slots[slot, COLUMNS * a + TAIL]))
    elif function == FIRST:
        if windows.table[a, WHOLE] and windows.slots[slot, COLUMNS * a + HEAD] >= 0:
            return
    elif function == DISTINCT:
        if not make_room_for_value(windows, slot, a, word):
            return
    elif function == NEW or function == RANK or function == TOP:
        make_room(windows, slot, a, word)
    element = take(windows, time_us, word, slot * windows.table.shape[0] + a)
    windows.element[element, MARK] = mark
    append(windows, slot, a, element)
    if SUM_I <= function <= AVG_F:
        add(windows, slot, a, word, 1)
    elif function == DISTINCT or function == NEW:
        hold_value(windows, slot, a, element)
    elif function >= PREV:
        entered(windows, slot, a, element)
    if windows.table[a, FURTHER]:
        trim(windows, slot, a, function, mark)


@jit
def announce(windows: Windows, slot: int, a: int, time_us: int, until_us: int) -> int:
    """Before an element enters: when all leave together, and its place in the sequence."""
    base = EXTRA_COLUMNS * a
    if windows.table[a, WHOLE]:
        ends_us = until_us if windows.table[a, FORM] == EACH else time_us + windows.table[a, LENGTH_US]
        windows.extra[slot, base + UNTIL] = ends_us + windows.table[a, OFFSET_US]
    windows.extra[slot, base + SEQUENCE] += 1
    return windows.extra[slot, base + SEQUENCE]


@jit
def make_room(windows: Windows, slot: int, a: int, word: int) -> None:
    """Before an element enters a window that looks at no more than `HELD_MAX`; for `new`, whether its value is."""
    if windows.table[a, FUNCTION] == NEW:
        fresh = lacks(windows, slot, a, word)
        if not fresh:
            at = find_value(windows, slot * windows.table.shape[0] + a, word)
            forget_value(windows, slot, a, np.int64(windows.index[at]))
        windows.slots[slot, COLUMNS * a + TOTAL] = 1 if fresh else 0
    if windows.slots[slot, COLUMNS * a + LENGTH] >= HELD_MAX:
        drop_first(windows, slot, a)
        windows.count[CUT] += 1


@jit
def lacks(windows: Windows, slot: int, a: int, word: int) -> bool:
    """Whether no element of a window for `new` has this value."""
    if windows.slots[slot, COLUMNS * a + LENGTH] == 0:
        return True
    return windows.index[find_value(windows, slot * windows.table.shape[0] + a, word)] < 0


@inline
def trim(windows: Windows, slot: int, a: int, function: int, mark: int) -> None:
    """After an element has entered: a count window lets go of its oldest, a whole one keeps no more than it must."""
    newest = windows.table[a, NEWEST]
    if newest > 0:
        while windows.element[windows.slots[slot, COLUMNS * a + HEAD], MARK] <= mark - newest:
            drop_first(windows, slot, a)
    if windows.table[a, WHOLE] and not (function == DISTINCT or function == NEW or function == RANK or function == TOP):
        first, last = windows.slots[slot, COLUMNS * a + HEAD], windows.slots[slot, COLUMNS * a + TAIL]
        if first != last and (function != PREV or windows.element[first, AFTER] != last):
            release(windows, slot, a, first)
            windows.slots[slot, COLUMNS * a + LENGTH] += 1


# ------------------------------------------------------------------------------------- reading


@inline
def value(windows: Windows, slot: int, a: int) -> int:
    """The aggregate's word. Of no elements: 0 for count, distinct, sum and changes, null for the others."""
    function = windows.table[a, FUNCTION]
    length = windows.slots[slot, COLUMNS * a + LENGTH]
    if function == COUNT:
        return length
    if function == SUM_I or function == DISTINCT:
        return windows.slots[slot, COLUMNS * a + TOTAL]
    if function == SUM_F:
        return as_word(
            windows, windows.slots_real[slot, COLUMNS * a + TOTAL] + windows.slots_real[slot, COLUMNS * a + LOW]
        )
    if function >= PREV:
        return statistic(windows, slot, a)
    if length == 0:
        return as_word(windows, math.nan) if windows.table[a, REAL] else np.int64(NULL)
    if function == AVG_I:
        return as_word(windows, windows.slots[slot, COLUMNS * a + TOTAL] / windows.table[a, SCALE] / length)
    if function == AVG_F:
        return as_word(
            windows,
            (windows.slots_real[slot, COLUMNS * a + TOTAL] + windows.slots_real[slot, COLUMNS * a + LOW]) / length,
        )
    return windows.element[
        windows.slots[slot, COLUMNS * a + TAIL] if function == LAST else windows.slots[slot, COLUMNS * a + HEAD], WORD
    ]


@inline
def estimated(windows: Windows, slot: int, a: int) -> bool:
    """Whether a count(distinct) is of a sample: only some values are held, or some count for several."""
    if windows.table[a, FUNCTION] != DISTINCT:
        return False
    at = COLUMNS * a
    return windows.slots[slot, at + LOW] > 0 or windows.slots[slot, at + TOTAL] != windows.slots[slot, at + LENGTH]


@inline
def empty(windows: Windows, slot: int) -> bool:
    """Whether no window of the slot holds anything."""
    for a in range(windows.table.shape[0]):
        if windows.slots[slot, COLUMNS * a + HEAD] >= 0:
            return False
        if windows.table[a, DELAYED] and windows.extra[slot, EXTRA_COLUMNS * a + WAITING] >= 0:
            return False
    return True
