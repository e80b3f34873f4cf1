"""Words of a kind → values in its unit → what people and JSON read.

A value is the word in its kind's unit, None for null: text `str`, number `float`, flag `bool`, the others `int` (money
in 1/10,000, times and durations in µs). In JSON, money is a decimal text with two to four decimals (`"605.00"`,
`"0.1001"`), a time is RFC 3339 in UTC with as few decimals as it needs (none, three or six), a duration is a text as
in a rule (`"1h30m"`), null and a number that is not finite are null. Messages and labels read the same, save that a
whole number stands without `.0`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from json.encoder import encode_basestring
from typing import Any

import numpy as np
import numpy.typing as npt

from cep.engine.strings import Strings
from cep.layout.columns import NULL

Ints = npt.NDArray[np.int64]
Value = str | float | int | bool | None
Column = str | Iterable[Any]  # one JSON text for all rows, or one for each

quoted: Callable[[str], str] = encode_basestring  # a text as JSON

_FLAGS = {0: False, 1: True, NULL: None}
_FLAG_WORDS = {False: "false", True: "true", None: "null"}
_UNITS = {
    "w": 604_800_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}


def values_of(words: Ints, kind: str, strings: Strings) -> list[Any]:
    """The values of words of one kind, shape (n,)."""
    if kind == "number":
        return [None if math.isnan(value) else value for value in words.view(np.float64).tolist()]
    plain: list[int] = words.tolist()
    if kind == "text":
        return [strings.text(word) for word in plain]
    if kind == "flag":
        return [_FLAGS[word] for word in plain]
    return [None if word == NULL else word for word in plain]


def in_text(values: Sequence[Any], kind: str) -> list[str]:
    """The values as they stand in a message or a label."""
    if kind in _SAY:
        say = _SAY[kind]
        return ["null" if value is None else say(value) for value in values]
    if kind == "flag":
        return [_FLAG_WORDS[value] for value in values]
    return ["null" if value is None else str(value) for value in values]


def in_json(values: Sequence[Any], kind: str) -> list[str]:
    """The values as JSON."""
    if kind == "text":
        return ["null" if value is None else quoted(value) for value in values]
    if kind == "number":
        return ["null" if value is None or not math.isfinite(value) else repr(value) for value in values]
    if kind in _SAY:
        say = _SAY[kind]
        return ["null" if value is None else f'"{say(value)}"' for value in values]
    return in_text(values, kind)


def times(us: Ints) -> list[str]:
    """Many times, none of them null, as RFC 3339; shape (n,)."""
    length = np.where(us % 1_000_000 == 0, 19, np.where(us % 1000 == 0, 23, 26))
    texts = np.datetime_as_string(us.astype("M8[us]")).tolist()
    return [f"{text[:end]}Z" for text, end in zip(texts, length.tolist(), strict=True)]


def money(units: int) -> str:
    """An amount, exactly, with two to four decimals."""
    sign = "-" if units < 0 else ""
    cents, rest = divmod(abs(units), 100)
    exact = f"{sign}{cents // 100}.{cents % 100:02d}"
    return f"{exact}{rest:02d}".rstrip("0") if rest else exact


def duration(us: int) -> str:
    """A duration as a rule would have it, such as `1h30m`."""
    parts = []
    rest = abs(us)
    for name, size in _UNITS.items():
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{name}")
    return ("-" if us < 0 else "") + ("".join(parts) or "0s")


def number(value: float) -> str:
    """A number in as few digits as stand for it alone."""
    return repr(value).removesuffix(".0")


def time(us: int) -> str:
    """A time as RFC 3339."""
    return times(np.array([us], np.int64))[0]


_SAY = {"money": money, "duration": duration, "time": time, "number": number}


def rows_of(columns: Sequence[Iterable[Any]]) -> Iterator[tuple[Any, ...]]:
    """The rows of some columns; of no columns, empty rows without end."""
    return zip(*columns, strict=False) if columns else repeat(())


def objects(columns: Mapping[str, Column]) -> Iterator[str]:
    """The rows of some columns as JSON objects: texts are put together, for there is no faster way to make many."""
    constants = tuple((name, column if isinstance(column, str) else None) for name, column in columns.items())
    varying = [column for column in columns.values() if not isinstance(column, str)]
    return map(_template(constants).__mod__, rows_of(varying))


@lru_cache(4096)
def _template(members: tuple[tuple[str, str | None], ...]) -> str:
    """What `%` fills in with the members that have no constant; small batches would else spend their time here."""
    said = [
        f"{quoted(name)}:".replace("%", "%%") + ("%s" if constant is None else constant.replace("%", "%%"))
        for name, constant in members
    ]
    return f"{{{','.join(said)}}}"
