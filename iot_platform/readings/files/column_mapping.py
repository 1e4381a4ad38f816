"""Convert raw rows to readings, with the column mapping of one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from iot_platform.devices.meter_ids import IdKind, MeterIds, guess_kind, numeric_ids
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.files.columns import Columns
from iot_platform.readings.files.conventions import Conventions
from iot_platform.readings.files.local_times import RepeatedHours
from iot_platform.readings.files.parsing import Parsed, parse_energy, parse_ids, parse_timestamps, reasons_of
from iot_platform.readings.files.raw_rows import Column, RawRows, Reject
from iot_platform.readings.files.units import TABLE

BAD_DEVICE_ID = "device_id_not_1_to_999999999"


@dataclass(frozen=True)
class FileOptions:
    """How to read files; None or "auto": determined from the header and the rows of each file.

    ``register``: whether the values are totals of a register. ``override_unit``: ``unit`` holds even if the file names
    another one.
    """

    timestamp_column: str | None = None
    device_column: str | None = None
    value_column: str | None = None
    unit: str | None = None
    timezone: str | None = None
    device_ids: Literal["auto", "numeric", "external"] = "auto"
    override_unit: bool = False
    stamp: Literal["start", "end"] | None = None
    interval_s: int | None = None
    timestamp_format: str | None = None
    decimal: Literal["comma", "point"] | None = None
    register: bool | None = None


@dataclass(frozen=True)
class ColumnMapping:
    """Everything that decides how the bytes of a file become readings."""

    columns: Columns
    timezone: str
    device_ids: IdKind
    conventions: Conventions = Conventions()

    def key(self) -> str:
        """A text that is the same for the same mapping; a part of the source's name.

        Conventions are in it only if they are not the usual ones: files keep the names that they had before there were
        conventions.
        """
        parts = asdict(self) | {"conventions": self.conventions.unusual()}
        return json.dumps({name: part for name, part in parts.items() if part != {}}, sort_keys=True)

    def describe(self) -> str:
        """The mapping in words."""
        columns = self.columns
        quantity = "register" if self.conventions.is_register else TABLE[columns.unit].quantity
        return (
            f"time {columns.timestamp!r} ({self.timezone} unless it names a zone), meter {columns.device!r} "
            f"({self.device_ids} ids), {quantity} {columns.value!r} in {columns.unit}{self.conventions.describe()}"
        )


def decide_id_kind(rows: RawRows | None, columns: Columns, options: FileOptions, where: str) -> IdKind:
    """The kind of meter ids: as the options say, or as in the first rows. Raises SourceError when they are mixed."""
    if options.device_ids != "auto":
        return options.device_ids
    if rows is None:
        return "numeric"
    ids = pc.unique(parse_ids(rows.columns[columns.device]).values)
    return guess_kind(ids.to_pylist(), f"{where}, column {columns.device!r}")


def convert(
    rows: RawRows, mapping: ColumnMapping, repeated_hours: RepeatedHours | None = None
) -> tuple[Parsed, Parsed, Parsed]:
    """The UTC starts of the intervals, the meter ids (text), and the kWh in the rows; registers are not differenced."""
    columns, conventions = mapping.columns, mapping.conventions
    times = parse_timestamps(rows.columns[columns.timestamp], mapping.timezone, conventions.time_format)
    if repeated_hours is not None:
        times.values = repeated_hours.fill(rows.places, times.values, times.reasons)
    energy = parse_energy(rows.columns[columns.value], columns.unit, conventions.decimal)
    ids = parse_ids(rows.columns[columns.device])
    is_power, is_end = TABLE[columns.unit].quantity == "power", conventions.stamp == "end"
    if is_power or is_end:
        interval_s = conventions.interval_of(ids.values)
        if is_power:
            energy.values = pc.divide(pc.multiply(energy.values, interval_s.cast(pa.float64())), 3600.0)
        if is_end:
            times.values = _moved_back(times, interval_s)
    return times, ids, energy


def to_readings(
    rows: RawRows, mapping: ColumnMapping, meter_ids: MeterIds | None, repeated_hours: RepeatedHours | None = None
) -> tuple[pa.Table, list[Reject]]:
    """The readings in the rows, and the rows that are not readings, in the order of the file.

    ``meter_ids`` gives the numbers of external ids; it is not needed for numeric ids.
    """
    times, ids, energy = convert(rows, mapping, repeated_hours)
    numbers = ids.values
    if mapping.device_ids == "numeric":
        numbers = numeric_ids(ids.values)
        not_numeric = np.asarray(numbers.is_null()) & (ids.reasons == "")
        ids.reasons[not_numeric] = BAD_DEVICE_ID
    reasons = reasons_of(times, ids, energy)
    good = pa.array(reasons == "")
    numbers = numbers.filter(good)
    if mapping.device_ids == "external":
        assert meter_ids is not None
        numbers = meter_ids.device_ids(numbers)
    seconds = times.values.filter(good).cast(pa.int64()).cast(pa.timestamp("s", "UTC"))
    table = pa.Table.from_arrays([seconds, numbers, energy.values.filter(good)], schema=READING_SCHEMA)
    return table, _in_order(rows, reasons.tolist()) if table.num_rows < rows.records else []


def _moved_back(times: Parsed, interval_s: Column) -> Column:
    """Starts of intervals from their ends."""
    starts: Column = pc.subtract(times.values.cast(pa.int64()), interval_s)
    is_early: Column = pc.less(starts, pa.scalar(0))
    too_early = np.asarray(is_early.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)
    times.reasons[too_early & (times.reasons == "")] = "time_out_of_range"
    return pc.if_else(pa.array(too_early), None, starts).cast(pa.uint32())


def _in_order(rows: RawRows, reasons: Sequence[str]) -> list[Reject]:
    rejects = list(rows.malformed)
    for index, reason in enumerate(reasons):
        if reason:
            rejects.append(Reject(int(rows.places[index]), reason, rows.text_of(index)))
    return sorted(rejects, key=lambda reject: reject.place)
