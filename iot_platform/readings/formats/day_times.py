"""When the intervals of a local day begin, in UTC, also on the days on which clocks change.

The rules:

- Columns with clock times: a time that clocks skip must be blank, or its value is rejected. A time that clocks repeat
  must have two columns: the first is the earlier one. If there is one, its value is rejected: it may be of
  either, or of both.
- Numbered columns count the intervals from midnight on: a day of 23 hours leaves the last ones blank, one of 25 hours
  needs the further ones. A day that has another number of values is rejected as a whole, never shifted.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from iot_platform.readings.files.local_times import SKIPPED, TWICE
from iot_platform.readings.formats.wide_header import DayColumns

NOT_THAT_DAY = "interval_that_day_does_not_have"
# In place of a second: why a value of the column cannot be read.
REASONS = {-1: SKIPPED, -2: TWICE, -3: NOT_THAT_DAY}
_SKIPPED, _TWICE, _NOT_THAT_DAY = REASONS
EPOCH = dt.date(1970, 1, 1)


class DayTimes:
    """The UTC second of each column of a day; a key of REASONS where the day has no such interval.

    ``zone``: None if times are kept as they are (as UTC).
    """

    def __init__(self, columns: DayColumns, zone: str | None) -> None:
        self._columns = columns
        self._zone = ZoneInfo(zone or "UTC")
        self.of_day = lru_cache(maxsize=5000)(self._of_day)

    def of_days(self, days: Sequence[int]) -> npt.NDArray[np.int64]:
        """One row for each day, given in days since 1970."""
        return np.stack([self.of_day(day) for day in days]) if days else np.empty((0, self._width), np.int64)

    @property
    def _width(self) -> int:
        return len(self._columns.indexes)

    def _of_day(self, day: int) -> npt.NDArray[np.int64]:
        step = self._columns.interval_min * 60
        start, end = self._midnight(day), self._midnight(day + 1)
        if not self._columns.minutes:
            seconds = start + step * np.arange(self._width, dtype=np.int64)
            seconds[seconds >= end] = _NOT_THAT_DAY
            return seconds
        return np.array([self._by_clock(day, index) for index in range(self._width)], dtype=np.int64)

    def has_all(self, day: int) -> bool:
        """Whether there is a column for each interval of a day, as far as columns are numbered.

        Not if it has a part of an interval: some clocks change by half an hour.
        """
        if self._columns.minutes:
            return True
        step = self._columns.interval_min * 60
        intervals, part = divmod(self._midnight(day + 1) - self._midnight(day), step)
        return part == 0 and intervals <= self._width

    def _midnight(self, day: int) -> int:
        date = EPOCH + dt.timedelta(days=day)
        return int(dt.datetime(date.year, date.month, date.day, tzinfo=self._zone).timestamp())

    def _by_clock(self, day: int, index: int) -> int:
        minutes = self._columns.minutes
        minute, date = minutes[index], EPOCH + dt.timedelta(days=day)
        local = dt.datetime(date.year, date.month, date.day, minute // 60, minute % 60, tzinfo=self._zone)
        first, second = (int(local.replace(fold=fold).timestamp()) for fold in (0, 1))
        is_second_column = minute in minutes[:index]
        if first > second:
            return _SKIPPED
        if first == second:
            return _NOT_THAT_DAY if is_second_column else first
        if minutes.count(minute) == 1:
            return _TWICE
        return second if is_second_column else first
