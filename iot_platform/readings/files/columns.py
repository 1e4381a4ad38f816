"""Find the columns of a file that contain the time, the meter and the energy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from iot_platform.errors import SourceError
from iot_platform.readings.files.units import TABLE, unit_of_header, usable

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
    "horodate",
]
# Names of the end of an interval; they count only if no column has one of the names above.
END_NAMES = [
    "end",
    "end_time",
    "time_end",
    "ts_end",
    "interval_end",
    "interval_end_time",
    "period_end",
    "end_timestamp",
    "timestamp_end",
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
    "prm",
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
    "valeur",
]
# They count only if no column has one of the names above.
MORE_VALUE_NAMES = [
    *("power_w", "power_kw", "power_mw", "demand_kw", "demand_w", "load_kw", "load_w", "kw"),
    *("energy_mj", "energy_gj", "energy_gwh", "usage_mwh", "consumption_mwh"),
]
UNIT_COLUMNS = {"unit", "units", "uom"}

# Where a convention of a file is known from.
Origin = Literal["given", "column's name", "unit column", "known format", "assumed"]


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


@dataclass(frozen=True)
class Header:
    """What the header of a file says: its columns, and where the unit and the meaning of the time are known from.

    ``stamp``: whether the time is the start or the end of the interval. ``unit_column``: a column that names the unit
    of each row.
    """

    columns: Columns
    unit_from: Origin
    stamp: Literal["start", "end"]
    stamp_from: Origin
    unit_column: str | None


def choose_columns(
    header: Sequence[str], *, timestamp: str | None, device: str | None, value: str | None, unit: str | None
) -> Columns:
    """The columns of ``read_header``."""
    return read_header(header, timestamp=timestamp, device=device, value=value, unit=unit).columns


def read_header(
    header: Sequence[str],
    *,
    timestamp: str | None,
    device: str | None,
    value: str | None,
    unit: str | None,
    override_unit: bool = False,
) -> Header:
    """The given column names; a name that is not given is guessed from the header if only one column matches.

    Without ``unit`` the energy is in the unit that the column's name contains, else in kWh. Raises SourceError when a
    column is missing, several columns match, or the column's name contains another unit than ``unit`` (unless
    ``override_unit``).
    """
    chosen_value = _choose(header, value, VALUE_NAMES, "energy", "--value-column", MORE_VALUE_NAMES)
    chosen_time = _choose(header, timestamp, TIMESTAMP_NAMES, "time", "--timestamp-column", END_NAMES)
    # The load curves of Enedis: mean power in W, with the end of the interval.
    is_enedis = _normal(chosen_time) == "horodate" and _normal(chosen_value) == "valeur"
    stamp_from: Origin = "known format" if is_enedis else "assumed"
    if _normal(chosen_time) in END_NAMES:
        stamp_from = "column's name"
    decided, unit_from = _decide_unit(chosen_value, unit, is_enedis=is_enedis, override=override_unit)
    return Header(
        columns=Columns(
            timestamp=chosen_time,
            device=_choose(header, device, DEVICE_NAMES, "meter", "--device-column", []),
            value=chosen_value,
            unit=decided,
        ),
        unit_from=unit_from,
        stamp="start" if stamp_from == "assumed" else "end",
        stamp_from=stamp_from,
        unit_column=next((name for name in header if _normal(name) in UNIT_COLUMNS and header.count(name) == 1), None),
    )


def _decide_unit(column: str, given: str | None, *, is_enedis: bool, override: bool) -> tuple[str, Origin]:
    if given and override:
        return given, "given"
    # Without need, a name that contains several units says nothing.
    named = TABLE["W"] if is_enedis else unit_of_header(column, needed=given is None)
    if named is None:
        return (given, "given") if given else ("kWh", "assumed")
    usable(named, f"Column {column!r}")
    if given and given != named.symbol:
        holds = "as a load curve of Enedis, is" if is_enedis else "by its name, is"
        raise SourceError(
            f"Column {column!r}, {holds} in {named.symbol}, but --unit says {given}. Leave out --unit, or add "
            "--override-unit if it is right."
        )
    return named.symbol, "known format" if is_enedis else "column's name"


def _choose(
    header: Sequence[str], named: str | None, known: list[str], meaning: str, option: str, otherwise: list[str]
) -> str:
    listing = ", ".join(repr(name) for name in header)
    if named is not None:
        # The names in a mapping file hold for all files of a supplier, whose headers differ in case and blanks.
        alike = [name for name in header if name.strip().lower() == named.strip().lower()]
        if named not in header and len(alike) == 1:
            return alike[0]
        if named not in header:
            raise SourceError(f"There is no column {named!r} ({option}). Columns: {listing}.")
        if header.count(named) > 1:
            raise SourceError(f"Column {named!r} ({option}) occurs {header.count(named)} times. Columns: {listing}.")
        return named
    normal = [_normal(name) for name in header]
    if normal.count(known[0]) == 1:
        return header[normal.index(known[0])]
    found = [name for name, key in zip(header, normal, strict=True) if key in known]
    found = found or [name for name, key in zip(header, normal, strict=True) if key in otherwise]
    if len(found) != 1:
        problem = f"Several columns may be the {meaning}" if found else f"No column is recognized as the {meaning}"
        raise SourceError(f"{problem}; set it with {option}. Columns: {listing}.")
    return found[0]


def _normal(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
