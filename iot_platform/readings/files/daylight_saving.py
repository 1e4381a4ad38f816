"""Signs that times without a zone are local: an hour that is missing in spring, or that occurs twice in autumn."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

HOUR_S = 3600
DAY_S = 86400
_HOURS = 2**32 // HOUR_S + 2
# One zone for each way to change clocks. Most zones of a continent change at the same local hour.
_ZONES = (
    "Europe/London",
    "Europe/Berlin",
    "Europe/Athens",
    "America/New_York",
    "America/Santiago",
    "Australia/Sydney",
    "Pacific/Auckland",
    "Asia/Jerusalem",
    "Africa/Cairo",
)
# Files with more single missing hours are full of gaps; which of them daylight saving time has made is unknown.
_MOST_GAPS_SHARE = 0.02
_MOST_GAPS = 2_000
_CLEAR_SHARE = 0.9


class HoursOfFile:
    """How many readings a file has in each hour, and how many of a time that the meter has had before."""

    def __init__(self) -> None:
        # Pages that are never touched take no memory.
        self._bounds = _HOURS, 0
        self._readings = np.zeros(_HOURS, dtype=np.int64)
        self._repeats = np.zeros(_HOURS, dtype=np.int64)

    def add(self, seconds: npt.NDArray[np.int64], repeated: npt.NDArray[np.int64]) -> None:
        """Note the times of a piece, and those that a meter has had before."""
        for counts, times in ((self._readings, seconds), (self._repeats, repeated)):
            if len(times):
                hours = times // HOUR_S
                first, last = int(hours.min()), int(hours.max()) + 1
                self._bounds = min(first, self._bounds[0]), max(last, self._bounds[1])
                counts[first:last] += np.bincount(hours - first)

    def sign_of_local_time(self) -> tuple[str, str] | None:
        """A zone whose clock changes are visible in the file, and what shows them, in words; None: there is none."""
        first, last = self._bounds
        hours = np.flatnonzero(self._readings[first:last]) + first
        if len(hours) < 2:
            return None
        gaps = hours[:-1][np.diff(hours) == 2] + 1
        if len(gaps) > min(_MOST_GAPS, max(1, _MOST_GAPS_SHARE * len(hours))):
            gaps = gaps[:0]
        repeated = np.flatnonzero(self._repeats[first:last]) + first
        if len(repeated) > _MOST_GAPS:
            repeated = repeated[:0]
        for name in _ZONES:
            zone = ZoneInfo(name)
            skipped = [hour for hour in gaps.tolist() if _is_skipped(hour, zone)]
            twice = [hour for hour in repeated.tolist() if _is_twice(hour, zone)]
            repeats = int(self._repeats[twice].sum())
            if repeats < _CLEAR_SHARE * int(self._repeats[first:last].sum()):
                repeats = 0
            missing = int(self._readings[[hour - 1 for hour in skipped]].sum())
            signs = repeats + missing
            if signs and signs > self._impossible(int(hours[0]), int(hours[-1]), zone):
                if skipped:
                    return name, f"no meter has a reading between {_shown(skipped[0])} and {_shown(skipped[0] + 1)}"
                return name, f"meters have two readings of the same time from {_shown(twice[0])} on"
        return None

    def _impossible(self, first: int, last: int, zone: ZoneInfo) -> int:
        """Number of readings in hours that the clocks of a zone skip. A few of them are bad rows."""
        days = range(first // 24 * 24, last + 25, 24)
        offsets = [_offset(start, zone) for start in days]
        return sum(
            int(self._readings[hour])
            for start, before, after in zip(days, offsets, offsets[1:], strict=False)
            if after > before
            for hour in range(start, start + 24)
            if _is_skipped(hour, zone)
        )


def differs_from_utc(zone_name: str, first: int, last: int) -> bool:
    """Whether the clock of a zone differs from UTC at any time from ``first`` to ``last`` (Unix times)."""
    zone = ZoneInfo(zone_name)
    days = range(first // DAY_S * 24, last // HOUR_S + 24, 24)
    return any(_offset(hour, zone) for hour in days)


def _local(hour: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1) + dt.timedelta(hours=hour)


def _offset(hour: int, zone: ZoneInfo) -> float:
    offset = _local(hour).replace(tzinfo=zone).utcoffset()
    return offset.total_seconds() if offset else 0.0


def _offsets(hour: int, zone: ZoneInfo) -> tuple[dt.timedelta, dt.timedelta]:
    local = _local(hour).replace(tzinfo=zone)
    first, second = local.utcoffset(), local.replace(fold=1).utcoffset()
    assert first is not None and second is not None  # a ZoneInfo knows its offset
    return first, second


def _is_skipped(hour: int, zone: ZoneInfo) -> bool:
    first, second = _offsets(hour, zone)
    return first < second


def _is_twice(hour: int, zone: ZoneInfo) -> bool:
    first, second = _offsets(hour, zone)
    return first > second


def _shown(hour: int) -> str:
    return f"{_local(hour):%Y-%m-%d %H:%M}"
