"""Notes on the values of a file: what may be right, but deserves a look."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np

from iot_platform.readings.files.column_mapping import ColumnMapping
from iot_platform.readings.files.file_pass import FilePass
from iot_platform.readings.files.oddities import warnings_of_values
from iot_platform.readings.files.series import Floats
from iot_platform.readings.files.units import TABLE

# Warnings, from the ids of meters and the mean energy of their readings.
WarningsOfUse = Callable[[list[str], Floats], list[str]]


def value_notes(found: FilePass, mapping: ColumnMapping, warnings_of_use: WarningsOfUse) -> list[str]:
    """The notes on the values of a file, in words."""
    series = found.series
    if mapping.conventions.is_register:
        return _falls(found)
    totals, readings = series.column("total"), series.column("readings")
    notes = warnings_of_values(series.oddities, series.names, totals, readings, mapping.columns.unit)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        means = energy_by_meter(found, mapping) / readings
    return notes + warnings_of_use(series.names, means)


def energy_by_meter(found: FilePass, mapping: ColumnMapping) -> Floats:
    """The energy of all finite values of each meter in kWh; not for registers."""
    unit, conventions = TABLE[mapping.columns.unit], mapping.conventions
    with np.errstate(over="ignore", invalid="ignore"):
        totals: Floats = found.series.column("total") * unit.multiply / unit.divide
        if unit.quantity == "power":
            by_name = dict(conventions.intervals)
            seconds = [by_name.get(name, conventions.interval_s) for name in found.series.names]
            totals = totals * np.array(seconds, dtype=np.float64) / 3600
    return totals


def _falls(found: FilePass) -> list[str]:
    falls = int(found.series.column("falls").sum())
    if found.register_fall is None:
        return [f"The register falls {falls:,} times, as by a reset or jitter."] if falls else []
    count, meter, second = found.register_fall
    return [
        f"The register falls {max(falls, count):,} times, {count:,} of them neither by a reset nor by jitter, such as "
        f"that of meter {found.series.names[meter]} at {dt.datetime.fromtimestamp(second, dt.UTC):%Y-%m-%dT%H:%M:%SZ}: "
        "another meter, or an overflow? L2 puts the negative energy into quarantine."
    ]
