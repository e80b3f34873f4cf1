"""Aggregates of a captured step's values that only alerts show, as words.

They are the functions of docs/semantics.md, "Aggregates", of a list that is at hand, so they are written as they are
defined, exactly, and rounded once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from cep.layout.columns import NAN_WORD, NULL

Number = int | float


def statistic(function: str, values: Sequence[Number], time_us: Sequence[int], scale: int, *, real: bool) -> int:
    """The word of prev, stddev, p1…p99, changes, slope or top; null where there is none.

    `values` are whole numbers of a unit of which `scale` make one, or floats (`real`).
    """
    if function == "changes":
        return sum(a != b for a, b in itertools.pairwise(values))
    if function in ("stddev", "slope"):
        number = _deviation(values, scale) if function == "stddev" else _slope(values, time_us, scale)
        return NAN_WORD if number is None else _word(number)
    chosen = _percentile(values, int(function[1:])) if function not in _CHOICES else _CHOICES[function](values)
    if chosen is None:
        return NAN_WORD if real else NULL
    return _word(chosen)


def _word(value: Number) -> int:
    return int(np.float64(value).view(np.int64)) if isinstance(value, float) else value


def _spread(xs: Sequence[Number], ys: Sequence[Number]) -> float:
    """n·Σxy − Σx·Σy; null of values beyond all floats."""
    if not all(map(math.isfinite, ys)):
        return math.nan
    pairs = [(Fraction(x), Fraction(y)) for x, y in zip(xs, ys, strict=True)]
    products = sum((x * y for x, y in pairs), Fraction(0))
    return float(len(pairs) * products - sum(x for x, _ in pairs) * sum(y for _, y in pairs))


def _deviation(values: Sequence[Number], scale: int) -> float | None:
    return math.sqrt(_spread(values, values)) / len(values) / scale if values else None


def _slope(values: Sequence[Number], time_us: Sequence[int], scale: int) -> float | None:
    spread = _spread(time_us, time_us)
    return _spread(time_us, values) / spread * 1e6 / scale if spread else None


def _percentile(values: Sequence[Number], percent: int) -> Number | None:
    return sorted(values)[(len(values) * percent + 99) // 100 - 1] if values else None


def _top(values: Sequence[Number]) -> Number | None:
    """The most frequent; of several, the one seen last."""
    last = {value: place for place, value in enumerate(values)}
    often: dict[Number, int] = {}
    for value in values:
        often[value] = often.get(value, 0) + 1
    return max(often, key=lambda value: (often[value], last[value]), default=None)


_CHOICES: dict[str, Callable[[Sequence[Number]], Number | None]] = {
    "prev": lambda values: values[-2] if len(values) > 1 else None,
    "top": _top,
}
