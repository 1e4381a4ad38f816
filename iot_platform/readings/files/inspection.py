"""Inspect a whole file before anything of it is inserted: what it is taken for, and whether that is certain."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from iot_platform.devices.meter_ids import LeadingZeros, without_leading_zeros
from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import ColumnMapping, FileOptions
from iot_platform.readings.files.columns import Header
from iot_platform.readings.files.conventions import Conventions
from iot_platform.readings.files.decimals import decide_decimal
from iot_platform.readings.files.file_pass import FilePass
from iot_platform.readings.files.judgement import (
    check_registers,
    check_time_zone,
    energy_of,
    interval_conventions,
    interval_summary,
    unit_of_column,
    warnings_of,
)
from iot_platform.readings.files.kept_rows import KeptRows
from iot_platform.readings.files.last_line import LastRow, last_row
from iot_platform.readings.files.local_times import RepeatedHours
from iot_platform.readings.files.open_file import open_row_source
from iot_platform.readings.files.preview import preview
from iot_platform.readings.files.registers import RegisterReader
from iot_platform.readings.files.series import MeterSeries
from iot_platform.readings.files.time_formats import decide_time_format
from iot_platform.readings.files.units import TABLE
from iot_platform.readings.files.value_notes import WarningsOfUse, value_notes

# The zones of meters, from their metadata: by zone, one of its meters.
ZonesOf = Callable[[Sequence[str]], Mapping[str, str]]
MOST_PASSES = 4


@dataclass(frozen=True)
class Surroundings:
    """What the database knows of the meters of a file.

    ``zones_of``: the zones of meters; ``warnings_of_use``: warnings of those that use more or less than before.
    """

    zones_of: ZonesOf = lambda names: {}
    warnings_of_use: WarningsOfUse = lambda names, means: []
    leading_zeros: Callable[[], LeadingZeros] = lambda: "kept"


@dataclass
class Inspection:
    """What a load takes a file for, and what it contains. Times are ISO 8601 in UTC; ``_from``: where it is known from.

    ``kWh``: the sum of all finite values, before L2 refuses any.
    """

    rows: int
    readable: int
    meters: int
    quantity: str
    unit: str
    unit_from: str
    time_zone: str
    time_zone_from: str
    stamp: str
    stamp_from: str
    time_format: str
    decimal: str
    interval: str
    first: str | None
    last: str | None
    kWh: float | None
    warnings: list[str] = field(default_factory=list)
    preview: list[tuple[str, str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Inspected:
    """The result of an inspection: the mapping with all conventions, and the times of the repeated hours.

    ``kept``: the rows, if they are few enough to be kept. ``last_row``: the last one, if its line has no line end.
    """

    mapping: ColumnMapping
    repeated_hours: RepeatedHours | None
    inspection: Inspection
    kept: KeptRows
    last_row: LastRow | None

    @property
    def may_be_cut(self) -> bool:
        """Whether the last line may be incomplete."""
        return self.last_row is not None and self.last_row.may_be_cut


def may_be_usual(header: Header, options: FileOptions) -> bool:
    """Whether header and options leave it open that a file has the usual conventions."""
    is_energy = TABLE[header.columns.unit].quantity == "energy" and header.unit_column is None
    is_end = (options.stamp or header.stamp) == "end"
    named = options.interval_s or options.register or options.timestamp_format or options.decimal
    return is_energy and not is_end and not named


def inspect_file(
    path: Path,
    mapping: ColumnMapping,
    header: Header,
    options: FileOptions,
    surroundings: Surroundings | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Inspected:
    """Read a whole file, usually once, and decide how it is to be read.

    Raises SourceError, with the options that answer the question, when the file can be read in two ways.
    """
    found = _read(path, mapping, header, options, progress)
    mapping, unit_from = found.mapping, header.unit_from
    if header.unit_column is not None:
        unit, unit_from = unit_of_column(found.units, header, options)
        mapping = replace(mapping, columns=replace(mapping.columns, unit=unit))
    surroundings = surroundings or Surroundings()
    check_time_zone(found, options, surroundings.zones_of)
    check_registers(found, mapping, options)
    stamp = "start" if options.register else (options.stamp or header.stamp)
    conventions = replace(mapping.conventions, stamp=stamp, is_register=bool(options.register))
    conventions = interval_conventions(found.series, conventions, mapping.columns.unit, header, options)
    mapping = replace(mapping, conventions=conventions)
    inspection = _inspection(found, mapping, header, options, unit_from)
    inspection.meters = _count_meters(found.series, surroundings.leading_zeros())
    inspection.warnings += value_notes(found, mapping, surroundings.warnings_of_use)
    return Inspected(mapping, found.repeated_hours, inspection, found.kept, found.last_row)


def _read(
    path: Path,
    mapping: ColumnMapping,
    header: Header,
    options: FileOptions,
    progress: Callable[[float], None],
) -> FilePass:
    """The last pass over a file: the one that was made with the right formats."""
    conventions = Conventions()
    repeated_hours: RepeatedHours | None = None
    for _ in range(MOST_PASSES):
        register = RegisterReader() if options.register else None
        found = FilePass(
            replace(mapping, conventions=conventions), header.unit_column, repeated_hours, register=register
        )
        names = [*mapping.columns.names, *([header.unit_column] if header.unit_column else [])]
        with closing(open_row_source(path)) as source:
            for rows in source.rows(names):
                found.add(rows, f"{path}, {source.place_name} {{}}".format)
                progress(source.progress())
            found.last_row = last_row(source, mapping.columns.names, found.last_rows)
        decided = Conventions(
            time_format=decide_time_format(found.time_forms, options.timestamp_format),
            decimal=decide_decimal(found.number_forms, options.decimal),
            repeated_hours=conventions.repeated_hours,
        )
        if decided == conventions and found.twice.rows and repeated_hours is None:
            newest_first = found.series.net_direction < 0
            repeated_hours = found.twice.resolve(mapping.timezone, newest_first=newest_first)
            decided = replace(decided, repeated_hours=len(repeated_hours.places) > 0)
        if decided == conventions:
            return found
        conventions = decided
    raise SourceError("The formats of the file cannot be decided. Set --timestamp-format and --decimal.")


def _inspection(
    found: FilePass, mapping: ColumnMapping, header: Header, options: FileOptions, unit_from: str
) -> Inspection:
    conventions = mapping.conventions
    moved = conventions.interval_s if conventions.stamp == "end" else 0
    if not found.has_local_times:
        zone, zone_from = "UTC", "in the times"
    else:
        zone, zone_from = mapping.timezone, "given" if options.timezone else "assumed"
    return Inspection(
        rows=found.rows,
        readable=found.readable,
        meters=int((found.series.column("readings") > 0).sum()),
        quantity="register" if conventions.is_register else TABLE[mapping.columns.unit].quantity,
        unit=mapping.columns.unit,
        unit_from=unit_from,
        time_zone=zone,
        time_zone_from=zone_from,
        stamp=conventions.stamp,
        stamp_from="given" if options.stamp else header.stamp_from,
        time_format=conventions.time_format or "ISO 8601 or epoch",
        decimal="comma" if conventions.decimal == "," else "point",
        interval=interval_summary(found.series),
        first=_iso(found.first - moved) if found.readable else None,
        last=_iso(found.last - moved) if found.readable else None,
        kWh=energy_of(found, mapping),
        warnings=warnings_of(found, mapping, options),
        preview=preview(found.first_rows, mapping, found.repeated_hours),
    )


def _count_meters(series: MeterSeries, leading_zeros: LeadingZeros) -> int:
    """The number of meters with readings, as the database tells them apart."""
    names = [name for name, readings in zip(series.names, series.column("readings").tolist(), strict=True) if readings]
    if leading_zeros == "kept":
        return len(names)
    return len(set(without_leading_zeros(pa.array(names, pa.string())).to_pylist()))


def _iso(second: int) -> str:
    return f"{dt.datetime.fromtimestamp(second, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
