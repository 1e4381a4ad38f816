"""Find the columns of a file that contain the time, the meter and the energy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from iot_platform.errors import SourceError

# Unambiguous names, in lower case, with _ for all other characters than letters and digits. The first of each list is
# the platform's own name.
TIMESTAMP_NAMES = [
    "timestamp",
    "ts",
    "ts_start",
    "time",
    "datetime",
    "date_time",
    "date_and_time",
    "start",
    "start_time",
    "time_start",
    "interval_start",
    "period_start",
    "reading_time",
    "read_at",
    "measured_at",
    "utc_time",
    "utc_timestamp",
    "timestamp_utc",
    "datetime_utc",
    "tstp",
]
DEVICE_NAMES = [
    "device_id",
    "device",
    "deviceid",
    "meter_id",
    "meter",
    "meterid",
    "building_id",
    "building",
    "sensor_id",
    "sensor",
    "household_id",
    "lclid",
    "mpan",
    "meter_number",
    "meter_serial",
    "serial_number",
]
VALUE_NAMES = [
    "power_usage_kwh",
    "kwh",
    "wh",
    "mwh",
    "value",
    "energy",
    "energy_kwh",
    "energy_wh",
    "energy_mwh",
    "usage",
    "usage_kwh",
    "usage_wh",
    "consumption",
    "consumption_kwh",
    "consumption_wh",
    "reading",
    "reading_kwh",
    "value_kwh",
    "value_wh",
    "kwh_hh",
    "energy_kwh_hh",
]

UNITS = ("Wh", "kWh", "MWh")


@dataclass(frozen=True)
class Columns:
    """The names of the three columns in a file, and the unit of the energy."""

    timestamp: str
    device: str
    value: str
    unit: str

    @property
    def names(self) -> list[str]:
        """The names of the columns for time, meter and energy, in this order."""
        return [self.timestamp, self.device, self.value]


def choose_columns(
    header: Sequence[str], *, timestamp: str | None, device: str | None, value: str | None, unit: str | None
) -> Columns:
    """The given column names; a name that is not given is guessed from the header if only one column matches.

    Without ``unit`` the energy is in kWh, unless the column's name contains Wh or MWh. Raises SourceError when a column
    is missing or several columns match.
    """
    chosen_value = _choose(header, value, VALUE_NAMES, "energy", "--value-column")
    return Columns(
        timestamp=_choose(header, timestamp, TIMESTAMP_NAMES, "time", "--timestamp-column"),
        device=_choose(header, device, DEVICE_NAMES, "meter", "--device-column"),
        value=chosen_value,
        unit=unit or _unit_in(chosen_value),
    )


def _choose(header: Sequence[str], named: str | None, known: list[str], meaning: str, option: str) -> str:
    listing = ", ".join(repr(name) for name in header)
    if named is not None:
        if named not in header:
            raise SourceError(f"There is no column {named!r} ({option}). Columns: {listing}.")
        if header.count(named) > 1:
            raise SourceError(f"Column {named!r} ({option}) occurs {header.count(named)} times. Columns: {listing}.")
        return named
    normal = [_normal(name) for name in header]
    if normal.count(known[0]) == 1:
        return header[normal.index(known[0])]
    found = [name for name, key in zip(header, normal, strict=True) if key in known]
    if len(found) != 1:
        problem = f"Several columns may be the {meaning}" if found else f"No column is recognized as the {meaning}"
        raise SourceError(f"{problem}; set it with {option}. Columns: {listing}.")
    return found[0]


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _unit_in(column: str) -> str:
    words = _normal(column).split("_")
    return next((unit for unit in ("Wh", "MWh") if unit.lower() in words), "kWh")
