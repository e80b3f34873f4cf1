"""Sums that do not drift: each is a float and the error it has left behind, to about 106 bits together.

Additions are those of Neumaier (1974), products those of Dekker (1971). What is added can be taken away again, and a
window's sums begin anew from zero whenever it empties. Spread and slope are formed of n·Σxy − Σx·Σy in the same
precision, of values counted from the window's first, so values far from zero lose nothing.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cep.kernels import inline, jit
from cep.kernels.elements import (
    AFTER,
    BASE,
    COLUMNS,
    EXTRA_COLUMNS,
    HEAD,
    LENGTH,
    LOW,
    ORIGIN,
    PEAK,
    PRODUCTS,
    PRODUCTS_LOW,
    REAL_IN,
    SCALE,
    SLOPE,
    SQUARES,
    SQUARES_LOW,
    TAIL,
    TIME,
    TIME_SQUARES,
    TIME_SQUARES_LOW,
    TIMES,
    TIMES_LOW,
    TOTAL,
    WORD,
    Windows,
    above_base,
)

Floats = npt.NDArray[np.float64]

SPLITTER = 134217729.0  # 2^27 + 1
NOISE = 2.0**-80
SMALL = 2.0**-30


@inline
def error_of_sum(a: float, b: float, s: float) -> float:
    """What the rounded sum s = a + b has left out."""
    return (a - s) + b if abs(a) >= abs(b) else (b - s) + a


@inline
def error_of_product(a: float, b: float, p: float) -> float:
    """What the rounded product p = a × b has left out."""
    t = SPLITTER * a
    high_a = t - (t - a)
    t = SPLITTER * b
    high_b = t - (t - b)
    low_a, low_b = a - high_a, b - high_b
    return ((high_a * high_b - p) + high_a * low_b + low_a * high_b) + low_a * low_b


@inline
def add_to(words: Floats, slot: int, column: int, value: float) -> None:
    """Add to the sum at `column`, whose error stands in the column behind it."""
    total = words[slot, column]
    s = total + value
    words[slot, column + 1] += error_of_sum(total, value, s)
    words[slot, column] = s


@inline
def add_product(words: Floats, slot: int, column: int, a: float, b: float) -> None:
    """Add a × b to the sum at `column`."""
    p = a * b
    add_to(words, slot, column, p)
    words[slot, column + 1] += error_of_product(a, b, p)


@jit
def cross(n: float, xy: float, xy_low: float, x: float, x_low: float, y: float, y_low: float) -> float:
    """n·Σxy − Σx·Σy of sums with their errors."""
    p, q = n * xy, x * y
    s = p - q
    rest = error_of_sum(p, -q, s) + error_of_product(n, xy, p) - error_of_product(x, y, q)
    return s + (rest + n * xy_low - (x * y_low + x_low * y))


@inline
def spread_of(n: float, squares: float, squares_low: float, x: float, low: float) -> float:
    """n·Σx² − (Σx)², and 0 where it is so small that only rounding is left: equal values do not spread."""
    spread = cross(n, squares, squares_low, x, low, x, low)
    return spread if spread > NOISE * n * squares else 0.0


@inline
def sum_of(windows: Windows, slot: int, a: int) -> float:
    """The sum of a window's values above its first, without its error."""
    if windows.table[a, REAL_IN]:
        return windows.slots_real[slot, COLUMNS * a + TOTAL]
    return float(windows.slots[slot, COLUMNS * a + TOTAL])


@inline
def error_of(windows: Windows, slot: int, a: int) -> float:
    """The error of `sum_of`."""
    if windows.table[a, REAL_IN]:
        return windows.slots_real[slot, COLUMNS * a + LOW]
    total = windows.slots[slot, COLUMNS * a + TOTAL]
    return float(total - np.int64(float(total)))


@inline
def moments_add(windows: Windows, slot: int, a: int, function: int, element: int, sign: int) -> None:
    """An element's part in the sums for spread and slope, taken away with sign -1."""
    real, base, word = windows.extra_real, EXTRA_COLUMNS * a, windows.element[element, WORD]
    x = above_base(windows, slot, a, word)
    if windows.table[a, REAL_IN]:
        add_to(windows.slots_real, slot, COLUMNS * a + TOTAL, sign * x)
    else:
        windows.slots[slot, COLUMNS * a + TOTAL] += sign * (word - windows.extra[slot, base + BASE])
    add_product(real, slot, base + SQUARES, sign * x, x)
    real[slot, base + PEAK] = max(real[slot, base + PEAK], real[slot, base + SQUARES])
    if function != SLOPE:
        return
    t = float(windows.element[element, TIME] - windows.extra[slot, base + ORIGIN])
    add_to(real, slot, base + TIMES, sign * t)
    add_product(real, slot, base + TIME_SQUARES, sign * t, t)
    add_product(real, slot, base + PRODUCTS, sign * t, x)


@jit
def moments_anew(windows: Windows, slot: int, a: int, function: int) -> None:
    """After an element has left: where what is left is small beside what has been, add it up anew.

    So what a huge value has swallowed comes back with its leaving. It stays O(1) amortised: for this to happen again
    a huge value must enter, and leave after all those that are added up here.
    """
    base, element = EXTRA_COLUMNS * a, windows.slots[slot, COLUMNS * a + HEAD]
    if element < 0 or not windows.extra_real[slot, base + SQUARES] < SMALL * windows.extra_real[slot, base + PEAK]:
        return
    begin_sums(windows, slot, a, windows.element[element, TIME], windows.element[element, WORD])
    while element >= 0:
        moments_add(windows, slot, a, function, element, 1)
        element = windows.element[element, AFTER]


@jit
def begin_sums(windows: Windows, slot: int, a: int, time_us: int, word: int) -> None:
    """Sums of nothing, of times and values that are counted from these."""
    windows.slots[slot, COLUMNS * a + TOTAL] = 0
    windows.slots[slot, COLUMNS * a + LOW] = 0
    for column in range(SQUARES, EXTRA_COLUMNS):
        windows.extra[slot, EXTRA_COLUMNS * a + column] = 0
    windows.extra[slot, EXTRA_COLUMNS * a + ORIGIN] = time_us
    windows.extra[slot, EXTRA_COLUMNS * a + BASE] = word


@jit
def deviation(windows: Windows, slot: int, a: int) -> float:
    """The standard deviation of the window's values as a population."""
    n = float(windows.slots[slot, COLUMNS * a + LENGTH])
    base = EXTRA_COLUMNS * a
    x, low = sum_of(windows, slot, a), error_of(windows, slot, a)
    squares, squares_low = windows.extra_real[slot, base + SQUARES], windows.extra_real[slot, base + SQUARES_LOW]
    return math.sqrt(spread_of(n, squares, squares_low, x, low)) / n / windows.table[a, SCALE]


@jit
def distance(windows: Windows, slot: int, a: int) -> float:
    """How many standard deviations the newest value lies above the others' mean; null where they do not spread."""
    n = float(windows.slots[slot, COLUMNS * a + LENGTH] - 1)
    base = EXTRA_COLUMNS * a
    newest = above_base(windows, slot, a, windows.element[windows.slots[slot, COLUMNS * a + TAIL], WORD])
    x, low = sum_of(windows, slot, a), error_of(windows, slot, a)
    others = x - newest
    low += error_of_sum(x, -newest, others)
    squares, p = windows.extra_real[slot, base + SQUARES], newest * newest
    left = squares - p
    squares_low = windows.extra_real[slot, base + SQUARES_LOW] + error_of_sum(squares, -p, left)
    squares_low -= error_of_product(newest, newest, p)
    spread = spread_of(n, left, squares_low, others, low)
    if n <= 0 or spread == 0:
        return math.nan
    return (n * newest - (others + low)) / math.sqrt(spread)


@jit
def slope(windows: Windows, slot: int, a: int) -> float:
    """The slope of the least-squares line through the values, per second; null when all are of one time."""
    n = float(windows.slots[slot, COLUMNS * a + LENGTH])
    real, base = windows.extra_real, EXTRA_COLUMNS * a
    x, low = sum_of(windows, slot, a), error_of(windows, slot, a)
    t, t_low = real[slot, base + TIMES], real[slot, base + TIMES_LOW]
    spread = spread_of(n, real[slot, base + TIME_SQUARES], real[slot, base + TIME_SQUARES_LOW], t, t_low)
    if spread == 0:
        return math.nan
    rise = cross(n, real[slot, base + PRODUCTS], real[slot, base + PRODUCTS_LOW], t, t_low, x, low)
    return rise / spread * 1e6 / windows.table[a, SCALE]
