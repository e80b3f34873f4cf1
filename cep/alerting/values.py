"""Words of a kind ↔ values in its unit ↔ what people and JSON read.

A value is the word in its kind's unit, None for null: text `str`, number `float`, flag `bool`, the others `int` (money
in 1/10,000, times and durations in µs). In JSON: money is a decimal text with two to four decimals (`"605.00"`,
`"0.1001"`), a time is RFC 3339 in UTC with as few decimals as it needs (none, three or six), a duration is a text as
in a rule (`"1h30m"`), null and a number that is not finite are null. Messages and labels read the same, save that a
whole number stands without `.0` and null is `null`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cep.engine.strings import Strings
from cep.layout import MONEY_UNITS, NULL

Ints = npt.NDArray[np.int64]
Value = str | float | int | bool | None

SECOND = 1_000_000
_FLAGS = {0: False, 1: True, NULL: None}
_UNITS = (("w", 604_800 * SECOND), ("d", 86_400 * SECOND), ("h", 3_600 * SECOND), ("m", 60 * SECOND), ("s", SECOND))
_UNITS_BELOW = (("ms", 1_000), ("us", 1))


def values_of(words: Ints, kind: str, strings: Strings) -> list[Value]:
    """The values of words of one kind, shape (n,)."""
    if kind == "number":
        return [None if value != value else value for value in words.view(np.float64).tolist()]
    plain: list[int] = words.tolist()
    if kind == "text":
        return [strings.text(word) for word in plain]
    if kind == "flag":
        return [_FLAGS[word] for word in plain]
    return [None if word == NULL else word for word in plain]


def in_json(values: Sequence[Value], kind: str) -> list[Value]:
    """The values as they stand in an alert's JSON."""
    if kind in _TEXT:
        say = _TEXT[kind]
        return [None if value is None else say(value) for value in values]
    if kind == "number":
        return [value if value is not None and math.isfinite(value) else None for value in values]  # type: ignore[arg-type]
    return list(values)


def in_text(values: Sequence[Value], kind: str) -> list[str]:
    """The values as they stand in a message or a label."""
    say = _TEXT.get(kind, _plain)
    return ["null" if value is None else say(value) for value in values]


def times(us: Ints) -> list[str]:
    """Many times, none of them null, as RFC 3339; shape (n,)."""
    whole = us // SECOND
    seconds: list[str] = np.datetime_as_string(whole.view("M8[s]")).tolist()
    return [
        f"{second}Z" if not us else f"{second}.{us // 1000:03d}Z" if us % 1000 == 0 else f"{second}.{us:06d}Z"
        for second, us in zip(seconds, (us - whole * SECOND).tolist(), strict=True)
    ]


def money(units: int) -> str:
    """An amount, exactly, with two to four decimals."""
    whole, rest = divmod(abs(units), MONEY_UNITS)
    cents = f"{rest // 100:02d}" if rest % 100 == 0 else f"{rest:04d}".rstrip("0")
    return f"{'-' if units < 0 else ''}{whole}.{cents}"


def duration(us: int) -> str:
    """A duration as a rule would have it, such as `1h30m`."""
    parts = []
    rest = abs(us)
    for name, size in (*_UNITS, *_UNITS_BELOW):
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{name}")
    return ("-" if us < 0 else "") + ("".join(parts) or "0s")


def _time(us: int) -> str:
    return times(np.array([us], np.int64))[0]


def _plain(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text[:-2] if isinstance(value, float) and text.endswith(".0") else text


_TEXT: dict[str, Callable[..., str]] = {"money": money, "time": _time, "duration": duration}


def rows_of(columns: Sequence[Sequence[Any]], n: int) -> list[tuple[Any, ...]]:
    """The n rows of some columns, of which there may be none."""
    return list(zip(*columns, strict=True)) if columns else [()] * n


def records(columns: Mapping[str, Sequence[Any]], n: int) -> list[dict[str, Any]]:
    """The n rows of some columns by name."""
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in rows_of(list(columns.values()), n)]
