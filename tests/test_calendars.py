"""Where the calendar's stretches end: the engine's table beside a look at the clock, and the days that it changes."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from cep.engine.calendars import Calendar
from cep.layout.expressions import CalendarColumn
from tests.oracle_calendar import end_of_stretch

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo")
LENGTHS = (HOUR_US // 2, HOUR_US, 6 * HOUR_US, 7 * HOUR_US, DAY_US, 2 * DAY_US, 7 * DAY_US, 14 * DAY_US)


def us(*when: int, zone: str = "UTC") -> int:
    return (datetime(*when, tzinfo=ZoneInfo(zone)) - EPOCH) // timedelta(microseconds=1)  # type: ignore[arg-type]


def ends(zone: str, length_us: int, times: list[int]) -> list[int]:
    words = np.array([times, [0] * len(times)], np.int64)
    Calendar(CalendarColumn(1, zone, length_us)).fill(words)
    return words[1].tolist()


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("length_us", LENGTHS)
def test_ends_are_those_that_the_clock_shows(zone: str, length_us: int) -> None:
    rng = random.Random(f"{zone} {length_us}")
    changes = [us(2024, 3, 31), us(2024, 10, 27), us(2024, 3, 10), us(2024, 11, 3), us(2018, 11, 4), us(2024, 4, 6)]
    times = [rng.choice(changes) + rng.randrange(-2 * DAY_US, 2 * DAY_US) for _ in range(40)]
    times += [rng.randrange(us(1970, 1, 1), us(2199, 1, 1)) for _ in range(10)]
    assert ends(zone, length_us, times) == [end_of_stretch(zone, length_us, t) for t in times]


@pytest.mark.parametrize(("day", "hours"), [((2024, 3, 31), 23), ((2024, 10, 27), 25), ((2024, 6, 1), 24)])
def test_days_in_berlin(day: tuple[int, int, int], hours: int) -> None:
    begin = us(*day, zone="Europe/Berlin")
    (end,) = ends("Europe/Berlin", DAY_US, [begin])
    assert (end - begin) // HOUR_US == hours
    assert ends("Europe/Berlin", DAY_US, [begin - 1, end - 1]) == [begin, end]


def test_hours_of_the_longest_day_in_berlin() -> None:
    """Two o'clock is shown twice, so there are 25 hours; a stretch of six has seven."""
    begin = us(2024, 10, 27, zone="Europe/Berlin")
    hourly = ends("Europe/Berlin", HOUR_US, [begin + i * HOUR_US for i in range(25)])
    assert hourly == [begin + i * HOUR_US for i in range(1, 26)]
    assert ends("Europe/Berlin", 6 * HOUR_US, [begin, begin + 7 * HOUR_US]) == [
        begin + 7 * HOUR_US,
        begin + 13 * HOUR_US,
    ]


def test_a_day_begins_when_midnight_is_skipped() -> None:
    """In São Paulo the clocks went from 0:00 to 1:00 on 4 November 2018, at 3:00 in UTC."""
    assert ends("America/Sao_Paulo", DAY_US, [us(2018, 11, 3, 12)]) == [us(2018, 11, 4, 3)]


def test_a_week_begins_on_monday() -> None:
    assert ends("UTC", 7 * DAY_US, [us(2024, 3, 31, 12), us(2024, 4, 1)]) == [us(2024, 4, 1), us(2024, 4, 8)]
