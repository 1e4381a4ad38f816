"""The average energy of a local hour, from readings and zoneinfo: what the measure must find."""

from __future__ import annotations

from functools import cache

import pandas as pd

FIRST, LAST = "2025-01-01", "2026-01-01"
STEP_MINUTES = 15


@cache
def parts_of_hours(zone: str) -> pd.Series:
    """Minutes by local hour and UTC hour of a zone, in 2025. Clocks are off, and change, by quarters of an hour."""
    times = pd.date_range(FIRST, LAST, freq=f"{STEP_MINUTES}min", tz="UTC", name="ts_hour")
    local = times.tz_convert(zone).tz_localize(None).floor("h").rename("local_hour")
    return pd.Series(STEP_MINUTES, index=[local, times.floor("h")]).groupby(level=[0, 1]).sum()


def average_per_local_hour(readings: pd.DataFrame) -> float:
    """The sum over the zones of the energy of a zone's complete hours, in kWh, divided by their number."""
    return sum(_average_of_zone(str(zone), group) for zone, group in readings.groupby("time_zone"))


def _average_of_zone(zone: str, readings: pd.DataFrame) -> float:
    """The same for one zone.

    An hour is complete if each of its parts has readings. It counts by its length: two hours where it is repeated, half
    an hour where half of it is skipped. If all readings are in the same half of their hours, the hours are complete.
    In a zone without complete hours, all parts count by their length.
    """
    lengths = parts_of_hours(zone)
    keys = [
        readings["local"].dt.floor("h").rename("local_hour"),
        readings["timestamp"].dt.floor("h").rename("ts_hour"),
    ]
    parts = pd.DataFrame({"Wh": readings.groupby(keys)["Wh"].sum()})
    parts["minutes"] = lengths
    hours = parts.index.get_level_values("local_hour")
    parts["whole"] = lengths.groupby(level=0).sum().reindex(hours).to_numpy()
    parts["is_complete"] = parts.groupby("local_hour")["minutes"].transform("sum") == parts["whole"]
    last = lengths.reset_index().groupby("local_hour")["ts_hour"].max().reindex(hours).to_numpy()
    parts["is_second_half"] = parts.index.get_level_values("ts_hour").to_numpy() == last
    halves = parts[(parts["minutes"] < parts["whole"]) & (parts["whole"] == 60)]
    is_one_half = halves["is_second_half"].nunique() == 1
    if is_one_half and (len(halves) > 1 or (halves["is_second_half"].all() and not parts["is_complete"].any())):
        parts.loc[halves.index, "minutes"] = 60
    elif parts["is_complete"].any():
        parts = parts[parts["is_complete"]]
    return float(parts["Wh"].sum()) / 1000 / (float(parts["minutes"].sum()) / 60)
