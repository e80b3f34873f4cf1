"""Where a stretch of the calendar ends, found by looking at the local clock instant after instant."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

DAY_US = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def end_of_stretch(zone: str, length_us: int, time_us: int) -> int:
    """The first instant after `time_us` at which the local clock shows the beginning of a stretch.

    The clock is looked at every second, or, while no change of the clocks is near, at once where it must show one.
    """
    while True:
        here = local(zone, time_us)
        rest_us = until_shown(here, length_us)
        there = local(zone, time_us + rest_us)
        if there.utcoffset() == here.utcoffset():
            time_us += rest_us
        else:
            before = time_us
            time_us += 1_000_000 - time_us % 1_000_000
            while not begins(local(zone, time_us), local(zone, before), length_us):
                before, time_us = time_us, time_us + 1_000_000
        if length_us < DAY_US or day_number(local(zone, time_us).date(), length_us) == 0:
            return time_us


def local(zone: str, time_us: int) -> datetime:
    return (EPOCH + timedelta(microseconds=time_us)).astimezone(ZoneInfo(zone))


def until_shown(clock: datetime, length_us: int) -> int:
    """How long until the clock shows the beginning of a stretch of at most a day, if nobody changes it."""
    shown_us = clock_us(clock)
    length_us = min(length_us, DAY_US)
    return min((shown_us // length_us + 1) * length_us, DAY_US) - shown_us


def begins(now: datetime, before: datetime, length_us: int) -> bool:
    """Whether a stretch begins now: a new date, or a multiple of its length."""
    return now.date() > before.date() or clock_us(now) % min(length_us, DAY_US) == 0


def clock_us(clock: datetime) -> int:
    return ((clock.hour * 60 + clock.minute) * 60 + clock.second) * 1_000_000 + clock.microsecond


def day_number(day: date, length_us: int) -> int:
    """Which day of a stretch of several days it is: counted from 1970, whole weeks from Monday."""
    days = length_us // DAY_US
    return (day.toordinal() - date(1970, 1, 5 if days % 7 == 0 else 1).toordinal()) % days
