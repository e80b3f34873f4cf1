"""Where the stretches of a calendar end: local midnights, Mondays, full hours, with daylight saving as the tz has it.

Below a day, a stretch of length D ends at every instant at which the local clock shows midnight or a multiple of D
after it; a time that is shown twice in autumn ends a stretch twice, one that is skipped in spring not at all. From a
day on, stretches are counted from 1 January 1970; of whole weeks, they begin on Monday.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from cep.layout import TIME_SLOT, CalendarColumn

Ints = npt.NDArray[np.int64]

DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(1970, 1, 1).toordinal()
_FIRST_MONDAY = date(1970, 1, 5).toordinal()
_US = timedelta(microseconds=1)
_TO_NEXT_DAY_US = 16 * 3_600_000_000  # no zone is further from UTC


class Calendar:
    """Fills a calendar's column. What it has worked out it remembers; it is no part of snapshots."""

    def __init__(self, column: CalendarColumn) -> None:
        self._slot = column.slot
        self._zone = ZoneInfo(column.zone)
        self._length_us = column.length_us
        self._known: dict[int, list[int]] = {}  # the ends from an instant of a UTC day on, by day

    def fill(self, words: Ints) -> None:
        """words[slot] = the first end after each event's time."""
        times = words[TIME_SLOT]
        if not len(times):
            return
        days = np.unique(times // DAY_US).tolist()
        ends = np.array(sorted({end for day in days for end in self._ends(day)}), np.int64)
        words[self._slot] = ends[np.searchsorted(ends, times, side="right")]

    def _ends(self, day: int) -> list[int]:
        """Every end within a UTC day, and the first one after it."""
        if day not in self._known:
            first_us, last_us = day * DAY_US, (day + 1) * DAY_US
            ends: list[int] = []
            local = self._local_day(first_us - _TO_NEXT_DAY_US)
            while not ends or ends[-1] < last_us:
                ends += self._ends_of_day(local)
                local += 1
            at = bisect_right(ends, first_us)
            self._known[day] = ends[at : bisect_right(ends, last_us - 1) + 1]
        return self._known[day]

    def _local_day(self, instant_us: int) -> int:
        """The local date at an instant, as an ordinal."""
        return (_EPOCH + timedelta(microseconds=instant_us)).astimezone(self._zone).date().toordinal()

    def _ends_of_day(self, local: int) -> list[int]:
        """The ends that lie on a local date, in order."""
        if self._length_us >= DAY_US:
            days = self._length_us // DAY_US
            first = _FIRST_MONDAY if days % 7 == 0 else _FIRST_DAY
            return [self._begin_of_day(local)] if (local - first) % days == 0 else []
        shown = range(self._length_us, DAY_US, self._length_us)
        found = {instant for clock_us in shown for instant in self._shown_at(local, clock_us)}
        return sorted({*found, *self._shown_at(local, 0), self._begin_of_day(local)})

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
