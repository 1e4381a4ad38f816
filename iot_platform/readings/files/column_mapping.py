"""Convert raw rows to readings, with the column mapping of one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from iot_platform.devices.meter_ids import IdKind, MeterIds, normalized, plain_numbers, refuse_scientific
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.files.columns import Columns
from iot_platform.readings.files.conventions import Conventions
from iot_platform.readings.files.local_times import RepeatedHours
from iot_platform.readings.files.older_ids import older_numbers
from iot_platform.readings.files.parsing import Parsed, parse_energy, parse_ids, parse_timestamps, reasons_of
from iot_platform.readings.files.raw_rows import Column, RawRows, Reject
from iot_platform.readings.files.units import TABLE
from iot_platform.readings.named_readings import METER_ID, named_columns

BAD_DEVICE_ID = "device_id_not_1_to_999999999"


@dataclass(frozen=True)
class FileOptions:
    """How to read files; None or "auto": determined from the header and the rows of each file.

    ``register``: whether the values are totals of a register. ``override_unit``: ``unit`` holds even if the file names
    another one. ``date_column``, ``time_column``: instead of ``timestamp_column``. ``device``: the meter of the whole
    file; ``device_from_name``: a pattern of its name. ``format``: one of file_format.FORMATS. ``sheet``: the sheet of a
    workbook. ``wide``: each row holds the values of a day, or of several meters.
    """

    timestamp_column: str | None = None
    date_column: str | None = None
    time_column: str | None = None
    device_column: str | None = None
    device: str | None = None
    device_from_name: str | None = None
    value_column: str | None = None
    unit: str | None = None
    timezone: str | None = None
    device_ids: IdKind = "auto"
    override_unit: bool = False
    stamp: Literal["start", "end"] | None = None
    interval_s: int | None = None
    timestamp_format: str | None = None
    decimal: Literal["comma", "point"] | None = None
    register: bool | None = None
    encoding: str | None = None
    format: str = "auto"
    sheet: str | None = None
    wide: Literal["day", "meters"] | None = None
    # Not a part of the mapping: it decides whether the last line is loaded, not what it means.
    accept_last_line: bool = False


@dataclass(frozen=True)
class ColumnMapping:
    """Everything that decides how the bytes of a file become readings.

    ``device_ids``: "numeric" rejects rows whose id is a name. ``by_older_rule``: the file was loaded by a version in
    which the ids of a file were all numbers or all names; ``device_ids`` says which. ``format``: the key of a
    FileFormat.
    """

    columns: Columns
    timezone: str
    device_ids: IdKind
    conventions: Conventions = Conventions()
    by_older_rule: bool = False
    format: str = ""

    def key(self) -> str:
        """A text that is the same for the same mapping; a part of the source's name.

        Conventions are in it only if they are not the usual ones: files keep the names that they had before there were
        conventions.
        """
        fields = asdict(self)
        del fields["by_older_rule"], fields["conventions"]
        if self.device_ids == "external" and not self.by_older_rule:
            fields["device_ids"] = "auto"
        if not self.format:
            del fields["format"]
        if unusual := self.conventions.unusual():
            fields["conventions"] = unusual
        return json.dumps(fields, sort_keys=True)

    def describe(self) -> str:
        """The mapping in words."""
        columns = self.columns
        names = " (names are rejected)" if self.device_ids == "numeric" and not self.by_older_rule else ""
        quantity = "register" if self.conventions.is_register else TABLE[columns.unit].quantity
        known = f"{self.format}: " if self.format else ""
        meter = f"meter {columns.device!r}{names}"
        value = f"{quantity} {columns.value!r} in {columns.unit}{self.conventions.describe()}"
        return f"{known}time {columns.timestamp!r} ({self.timezone} unless it names a zone), {meter}, {value}"


def convert(
    rows: RawRows, mapping: ColumnMapping, repeated_hours: RepeatedHours | None = None
) -> tuple[Parsed, Parsed, Parsed]:
    """The UTC starts of the intervals, the meter ids (text), and the kWh in the rows; registers are not differenced."""
    columns, conventions = mapping.columns, mapping.conventions
    encoding = conventions.row_encoding
    times = parse_timestamps(
        rows.columns[columns.timestamp], mapping.timezone, conventions.time_format, encoding=encoding
    )
    if repeated_hours is not None:
        times.values = repeated_hours.fill(rows.places, times.values, times.reasons)
    energy = parse_energy(rows.columns[columns.value], columns.unit, conventions.decimal, encoding=encoding)
    ids = parse_ids(rows.columns[columns.device], by_older_rule=mapping.by_older_rule, encoding=encoding)
    apply_interval(times, lambda: ids.values, energy, mapping)
    return times, ids, energy


def apply_interval(times: Parsed, ids: Callable[[], Column], energy: Parsed, mapping: ColumnMapping) -> None:
    """Make energy of power, and starts of intervals of their ends, as far as the mapping says so."""
    conventions = mapping.conventions
    is_power, is_end = TABLE[mapping.columns.unit].quantity == "power", conventions.stamp == "end"
    if is_power or is_end:
        interval_s = conventions.interval_of(normalized(ids()))
        if is_power:
            energy.values = pc.divide(pc.multiply(energy.values, interval_s.cast(pa.float64())), 3600.0)
        if is_end:
            times.values = _moved_back(times, interval_s)


def to_readings(
    rows: RawRows,
    mapping: ColumnMapping,
    meter_ids: MeterIds,
    repeated_hours: RepeatedHours | None = None,
) -> tuple[pa.Table, list[Reject]]:
    """The readings in the rows, and the rows that are not readings, in the order of the file.

    ``meter_ids`` gives the numbers of ids. The inspection of the file has refused ids in scientific notation.
    """
    if mapping.device_ids != "numeric":
        # Names are registered only for readings, so later.
        found = _good_rows(convert(rows, mapping, repeated_hours), rows, None)
        numbers = meter_ids.device_ids(found.ids)
    else:
        only_numbers = older_numbers if mapping.by_older_rule else meter_ids.plain_device_ids
        found = _good_rows(convert(rows, mapping, repeated_hours), rows, only_numbers)
        numbers = found.numbers
    table = pa.Table.from_arrays([found.times, numbers, found.energy], schema=READING_SCHEMA)
    return table, found.rejects


def to_named_readings(
    rows: RawRows, mapping: ColumnMapping, where: Callable[[int], str]
) -> tuple[pa.Table, list[Reject]]:
    """Like ``to_readings``, if names get their numbers later: with the further column of named_readings.py.

    Raises SourceError for ids in scientific notation: ``where`` names the place of a row.
    """
    converted = convert(rows, mapping)
    refuse_scientific(converted[1].values, lambda index: where(int(rows.places[index])))
    only_numbers = (lambda ids: plain_numbers(normalized(ids), "kept")) if mapping.device_ids == "numeric" else None
    found = _good_rows(converted, rows, only_numbers)
    numbers, names = named_columns(found.ids)
    table = pa.Table.from_arrays([found.times, numbers, found.energy], schema=READING_SCHEMA)
    return table.append_column(METER_ID, names), found.rejects


@dataclass(frozen=True)
class _GoodRows:
    """The columns of the rows that are readings, and the rows that are not."""

    times: Column
    ids: pa.StringArray
    numbers: Column
    energy: Column
    rejects: list[Reject]


def _good_rows(
    converted: tuple[Parsed, Parsed, Parsed],
    rows: RawRows,
    only_numbers: Callable[[pa.StringArray], Column] | None,
) -> _GoodRows:
    """``only_numbers``: gives the numbers of ids, and NULL for names: these are rejected."""
    times, ids, energy = converted
    numbers: Column = None
    if only_numbers is not None:
        numbers = only_numbers(ids.values)
        not_numeric = np.asarray(numbers.is_null()) & (ids.reasons == "")
        ids.reasons[not_numeric] = BAD_DEVICE_ID
    reasons = reasons_of(times, ids, energy)
    good = pa.array(reasons == "")
    seconds = times.values.filter(good).cast(pa.int64()).cast(pa.timestamp("s", "UTC"))
    rejects = in_order(rows, reasons.tolist()) if len(seconds) < rows.records else []
    return _GoodRows(
        seconds,
        ids.values.filter(good),
        None if numbers is None else numbers.filter(good),
        energy.values.filter(good),
        rejects,
    )


def _moved_back(times: Parsed, interval_s: Column) -> Column:
    """Starts of intervals from their ends."""
    starts: Column = pc.subtract(times.values.cast(pa.int64()), interval_s)
    is_early: Column = pc.less(starts, pa.scalar(0))
    too_early = np.asarray(is_early.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)
    times.reasons[too_early & (times.reasons == "")] = "time_out_of_range"
    return pc.if_else(pa.array(too_early), None, starts).cast(pa.uint32())


def in_order(rows: RawRows, reasons: Sequence[str]) -> list[Reject]:
    """The rows with a reason, and the malformed ones, in the order of the file."""
    rejects = list(rows.malformed)
    for index, reason in enumerate(reasons):
        if reason:
            rejects.append(Reject(int(rows.places[index]), reason, rows.text_of(index)))
    return sorted(rejects, key=lambda reject: reject.place)
