"""Local times in UTC, and the hour that clocks repeat in autumn."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from iot_platform.readings.files.raw_rows import Column, Places

SKIPPED = "time_skipped_by_daylight_saving"
TWICE = "time_twice_by_daylight_saving"


def to_utc(local_seconds: Column, timezone: str) -> tuple[Column, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """UTC seconds of local times, and which times daylight saving time skips or repeats (there the result is NULL)."""
    import pandas as pd  # half a second, which files with times in UTC need not wait for

    local = pd.DatetimeIndex(local_seconds.cast(pa.timestamp("s")).to_numpy(zero_copy_only=False))
    zone = ZoneInfo(timezone)
    utc = local.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    unknown = np.asarray(utc.isna()) & ~np.asarray(local.isna())
    skipped = np.zeros(len(local), dtype=bool)
    if unknown.any():
        either = local[unknown].tz_localize(zone, ambiguous=np.ones(int(unknown.sum()), dtype=bool), nonexistent="NaT")
        skipped[np.flatnonzero(unknown)[np.asarray(either.isna())]] = True
    seconds = pa.array(utc.tz_convert("UTC").tz_localize(None).to_numpy(), from_pandas=True)
    return seconds.cast(pa.timestamp("s")).cast(pa.int64()), skipped, unknown & ~skipped


@dataclass(frozen=True)
class RepeatedHours:
    """UTC seconds of the rows, by their places, whose local time occurs twice in the year. Places are in order."""

    places: Places = field(default_factory=lambda: np.empty(0, np.int64))
    seconds: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def fill(self, places: Places, times: Column, reasons: npt.NDArray[np.object_]) -> Column:
        """``times`` with the known ones filled in; their reasons are removed."""
        rows = np.flatnonzero(reasons == TWICE)
        index = np.searchsorted(self.places, places[rows])
        index[index == len(self.places)] = 0
        is_known = self.places[index] == places[rows] if len(self.places) else np.zeros(len(rows), dtype=bool)
        if not is_known.any():
            return times
        filled = times.to_numpy(zero_copy_only=False).astype(np.float64)
        filled[rows[is_known]] = self.seconds[index[is_known]]
        reasons[rows[is_known]] = ""
        return pa.array(filled, from_pandas=True).cast(times.type)


@dataclass
class RepeatedHourRows:
    """Collects the rows of a file whose local time occurs twice: meter, local time and place, in the file's order."""

    rows: dict[tuple[str, int], list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, meter: str, local_second: int, place: int) -> None:
        """Note a row."""
        self.rows[meter, local_second].append(place)

    def resolve(self, timezone: str, *, newest_first: bool) -> RepeatedHours:
        """The times of the rows that a meter has exactly twice: the earlier one of the file is the earlier in time.

        (The later one, in a file that begins with its newest rows.) Other rows stay unknown.
        """
        zone = ZoneInfo(timezone)
        known: list[tuple[int, int]] = []
        for (_, local_second), places in self.rows.items():
            if len(places) != 2:
                continue
            local = dt.datetime.fromtimestamp(local_second, dt.UTC).replace(tzinfo=zone)
            for fold, place in enumerate(reversed(places) if newest_first else places):
                known.append((place, int(local.replace(fold=fold).timestamp())))
        known.sort()
        pairs = np.array(known, dtype=np.int64).reshape(-1, 2)
        return RepeatedHours(pairs[:, 0].copy(), pairs[:, 1].copy())
