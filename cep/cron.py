"""Cron's five fields: minute, hour, day of the month, month, day of the week → the minutes that they name.

As in Vixie cron: where both days are restricted, either will do; 0 and 7 are Sunday; months and days of the week may be
written as their first three letters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905
_DAYS = "sun mon tue wed thu fri sat".split()  # noqa: SIM905
_FIELDS: tuple[tuple[str, int, int, list[str]], ...] = (
    ("minute", 0, 59, []),
    ("hour", 0, 23, []),
    ("day of the month", 1, 31, []),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_PART = re.compile(r"(?:\*|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>\d{1,2}))?")


@dataclass(frozen=True, slots=True)
class Cron:
    """The values that each field lets through; weekdays from 0, Sunday. either_day: one of the two days is enough."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool


def parse(text: str) -> Cron:
    """Read `minute hour day month weekday`. Raises ValueError, which says what is wrong."""
    words = text.lower().split()
    if len(words) != len(_FIELDS):
        raise ValueError("a schedule has five fields: minute, hour, day of the month, month, day of the week")
    minutes, hours, days, months, weekdays = map(_values, words, _FIELDS)
    either_day = not words[2].startswith("*") and not words[4].startswith("*")
    return Cron(minutes, hours, days, months, frozenset(day % 7 for day in weekdays), either_day)


def _values(word: str, field: tuple[str, int, int, list[str]]) -> frozenset[int]:
    name, lowest, highest, names = field
    found: set[int] = set()
    for part in word.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f'"{part}" is no {name}')
        low, high = lowest, highest
        if match["low"] is not None:
            low = _number(match["low"], lowest, names)
            high = low if match["high"] is None and match["step"] is None else high
            high = high if match["high"] is None else _number(match["high"], lowest, names)
        step = int(match["step"] or 1)
        if not lowest <= low <= high <= highest or step == 0:
            raise ValueError(f'"{part}" is no {name}: it goes from {lowest} to {highest}')
        found.update(range(low, high + 1, step))
    return frozenset(found)


def _number(word: str, lowest: int, names: list[str]) -> int:
    """A number or a name; -1 for what is neither."""
    if word in names:
        return names.index(word) + lowest
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 2 else -1
