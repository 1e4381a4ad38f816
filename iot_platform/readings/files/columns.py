"""Which column of a file is the time, the meter and the energy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from iot_platform.errors import SourceError

# Names that leave no doubt, lower case, everything but letters and digits written as _. The platform's own names first.
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
    """Names of the three columns of a file, and the unit of the energy."""

    timestamp: str
    device: str
    value: str
    unit: str

    @property
    def names(self) -> list[str]:
        return [self.timestamp, self.device, self.value]


def choose_columns(
    header: Sequence[str], *, timestamp: str | None, device: str | None, value: str | None, unit: str | None
) -> Columns:
    """The columns that were named; those that were not are guessed when only one name in the header can be meant.

    Without ``unit`` the energy is in kWh, unless the column's own name says Wh or MWh. Raises SourceError when a name
    is missing or more than one column could be meant.
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
            raise SourceError(f"Column {named!r} ({option}) stands {header.count(named)} times in: {listing}.")
        return named
    normal = [_normal(name) for name in header]
    if normal.count(known[0]) == 1:
        return header[normal.index(known[0])]
    found = [name for name, key in zip(header, normal, strict=True) if key in known]
    if len(found) != 1:
        problem = f"More than one column can be the {meaning}" if found else f"No column is plainly the {meaning}"
        raise SourceError(f"{problem}; name it with {option}. Columns: {listing}.")
    return found[0]


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _unit_in(column: str) -> str:
    words = _normal(column).split("_")
    return next((unit for unit in ("Wh", "MWh") if unit.lower() in words), "kWh")
