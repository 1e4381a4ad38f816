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
    """The sum over the zones of the energy of a zone's complete hours, in kWh, divided by their number.

    An hour is complete if each of its parts has readings. It counts by its length: two hours where it is repeated, half
    an hour where half of it is skipped. In a zone without complete hours, all parts count by their length.
    """
    total = 0.0
    for zone, group in readings.groupby("time_zone"):
        lengths = parts_of_hours(str(zone))
        hours = [group["local"].dt.floor("h").rename("local_hour"), group["timestamp"].dt.floor("h").rename("ts_hour")]
        parts = pd.DataFrame({"Wh": group.groupby(hours)["Wh"].sum()})
        parts["minutes"] = lengths
        found = parts.groupby("local_hour")["minutes"].transform("sum")
        whole = lengths.groupby(level=0).sum().reindex(parts.index.get_level_values(0))
        is_complete = found.to_numpy() == whole.to_numpy()
        chosen = parts[is_complete] if is_complete.any() else parts
        total += chosen["Wh"].sum() / 1000 / (chosen["minutes"].sum() / 60)
    return total
