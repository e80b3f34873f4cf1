"""Where the stretches of a calendar end: local midnights, Mondays, full hours, with daylight saving as the tz has it.

Below a day, a stretch of length D ends at every instant at which the local clock shows midnight or a multiple of D
after it; a time that is shown twice in autumn ends a stretch twice, one that is skipped in spring not at all. From a
day on, stretches are counted from 1 January 1970; of whole weeks, they begin on Monday.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from cep.layout.columns import TIME_SLOT
from cep.layout.expressions import CalendarColumn

Ints = npt.NDArray[np.int64]

DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(1970, 1, 1).toordinal()
_FIRST_MONDAY = date(1970, 1, 5).toordinal()
_US = timedelta(microseconds=1)
_HOUR = timedelta(hours=1)
_TO_NEXT_DAY_US = 16 * 3_600_000_000  # no zone is further from UTC
_DAYS_KEPT = 64  # of which the ends are remembered; more are worked out again


class Calendar:
    """Fills a calendar's column. What it has worked out it remembers; it is no part of snapshots."""

    def __init__(self, column: CalendarColumn) -> None:
        self._slot = column.slot
        self._zone = ZoneInfo(column.zone)
        self._length_us = column.length_us
        self._known: dict[int, Ints] = {}  # the ends within a UTC day and the first one after it, by day

    def fill(self, words: Ints) -> None:
        """words[slot] = the first end after each event's time."""
        times = words[TIME_SLOT]
        if not len(times):
            return
        days = times // DAY_US
        changes = np.flatnonzero(days[1:] != days[:-1]) + 1
        ends = np.concatenate([self._ends(day) for day in sorted({int(days[0]), *days[changes].tolist()})])
        words[self._slot] = ends[np.searchsorted(ends, times, side="right")]

    def _ends(self, day: int) -> Ints:
        """Every end within a UTC day, and the first one after it."""
        if day not in self._known:
            if len(self._known) >= _DAYS_KEPT:
                self._known.clear()
            first_us, last_us = day * DAY_US, (day + 1) * DAY_US
            local = self._local_day(first_us - _TO_NEXT_DAY_US)
            ends = self._ends_of_day(local)
            while not len(ends) or ends[-1] < last_us:
                local += 1
                ends = np.concatenate((ends, self._ends_of_day(local)))
            begin, end = np.searchsorted(ends, (first_us, last_us - 1), side="right")
            self._known[day] = ends[begin : end + 1]
        return self._known[day]

    def _local_day(self, instant_us: int) -> int:
        """The local date at an instant, as an ordinal."""
        return (_EPOCH + timedelta(microseconds=instant_us)).astimezone(self._zone).date().toordinal()

    def _ends_of_day(self, local: int) -> Ints:
        """The ends that lie on a local date, in order."""
        if self._length_us >= DAY_US:
            days = self._length_us // DAY_US
            first = _FIRST_MONDAY if days % 7 == 0 else _FIRST_DAY
            return np.array([self._begin_of_day(local)] if (local - first) % days == 0 else [], np.int64)
        if self._is_even(local):
            begin_us = self._begin_of_day(local)
            return np.arange(begin_us, begin_us + DAY_US, self._length_us, dtype=np.int64)
        shown = range(self._length_us, DAY_US, self._length_us)
        found = {instant for clock_us in shown for instant in self._shown_at(local, clock_us)}
        return np.array(sorted({*found, *self._shown_at(local, 0), self._begin_of_day(local)}), np.int64)

    def _is_even(self, local: int) -> bool:
        """Whether a date has a midnight and the clock never jumps on it, as on nearly all of them."""
        midnight = datetime.combine(date.fromordinal(local), time(0), self._zone).astimezone(UTC)
        hours = [(midnight + hour * _HOUR).astimezone(self._zone) for hour in range(25)]
        return hours[0].time() == time(0) and len({shown.utcoffset() for shown in hours}) == 1

    def _begin_of_day(self, local: int) -> int:
        """The first instant of a local date; where midnight is skipped, the instant of the jump."""
        shown = self._shown_at(local, 0)
        return min(shown) if shown else self._instant(datetime.combine(date.fromordinal(local), time(0)), 0)

    def _shown_at(self, local: int, clock_us: int) -> set[int]:
        """The instants at which the clock of that date shows a time: one, two in autumn, none in spring."""
        wall = datetime.combine(date.fromordinal(local), time(0)) + timedelta(microseconds=clock_us)
        instants = {self._instant(wall, fold) for fold in (0, 1)}
        return {i for i in instants if self._clock(i) == wall}

    def _instant(self, wall: datetime, fold: int) -> int:
        return (wall.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) - _EPOCH) // _US

    def _clock(self, instant_us: int) -> datetime:
        return (_EPOCH + timedelta(microseconds=instant_us)).astimezone(self._zone).replace(tzinfo=None)
