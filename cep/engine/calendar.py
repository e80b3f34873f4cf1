"""The calendar of a time zone over columns of times: hours, days, and the minutes that a schedule names.

Daylight saving is exact: an hour in which the zone's offset changes is looked at second by second.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from cep.cron import parse

Ints = npt.NDArray[np.int64]

SECOND_US, MINUTE_US, HOUR_US, DAY_US = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday, counted from Monday as 0
_EARLIEST_S, _LATEST_S = -(10**10), 10**11  # what Python's dates can hold, with room


def local_us(zone: ZoneInfo, time_us: Ints) -> Ints:
    """What a clock in the zone shows, as microseconds since 1970, shape (n,)."""
    hours, inverse = np.unique(time_us // HOUR_US, return_inverse=True)
    begin = _offsets_us(zone, hours * 3600)
    steady = begin == _offsets_us(zone, hours * 3600 + 3599)
    offset_us = begin[inverse]
    changing = np.flatnonzero(~steady[inverse])
    if len(changing):
        seconds, inverse = np.unique(time_us[changing] // SECOND_US, return_inverse=True)
        offset_us[changing] = _offsets_us(zone, seconds)[inverse]
    return time_us + offset_us


def _offsets_us(zone: ZoneInfo, seconds: Ints) -> Ints:
    """How far the zone's clocks are ahead of UTC at each second."""
    return np.array([_offset_us(zone, second) for second in seconds.tolist()], np.int64)


def _offset_us(zone: ZoneInfo, second: int) -> int:
    moment = datetime.fromtimestamp(min(max(second, _EARLIEST_S), _LATEST_S), zone)
    offset = moment.utcoffset()
    assert offset is not None
    return round(offset.total_seconds() * SECOND_US)


def hour_of(local: Ints) -> Ints:
    """0 to 23."""
    return local // HOUR_US % 24


def weekday_of(local: Ints) -> Ints:
    """1, Monday, to 7, Sunday."""
    return (local // DAY_US + EPOCH_WEEKDAY) % 7 + 1


def day_of(local: Ints) -> Ints:
    """The day of the month, from 1."""
    days = (local // DAY_US).astype("M8[D]")
    since: Ints = (days - days.astype("M8[M]").astype("M8[D]")).astype(np.int64)
    return since + 1


def month_of(local: Ints) -> Ints:
    """1 to 12."""
    return (local // DAY_US).astype("M8[D]").astype("M8[M]").astype(np.int64) % 12 + 1


def scheduled(cron: str, local: Ints) -> Ints:
    """1 in the minutes that the schedule names, 0 in the others."""
    named = parse(cron)

    def among(values: frozenset[int], column: Ints) -> npt.NDArray[np.bool_]:
        return np.isin(column, list(values))

    day = among(named.days, day_of(local))
    weekday = among(named.weekdays, weekday_of(local) % 7)
    minutes = among(named.minutes, local // MINUTE_US % 60) & among(named.hours, hour_of(local))
    days = (day | weekday) if named.either_day else (day & weekday)
    return (minutes & days & among(named.months, month_of(local))).astype(np.int64)


class Calendar:
    """One calendar function in one zone. A null time is left out by the caller."""

    def __init__(self, operation: str, parameters: tuple[str, ...]) -> None:
        *cron, zone = parameters
        self._zone = ZoneInfo(zone)
        functions: dict[str, Callable[[Ints], Ints]] = {"hour_of": hour_of, "weekday_of": weekday_of, "day_of": day_of}
        self._function = partial(scheduled, cron[0]) if operation == "scheduled" else functions[operation]

    def words(self, time_us: Ints) -> Ints:
        """The words for some times, shape (n,)."""
        return self._function(local_us(self._zone, time_us))
