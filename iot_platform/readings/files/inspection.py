"""Inspect a whole file before anything of it is inserted: what it is taken for, and whether that is certain."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial

import pyarrow as pa

from iot_platform.devices.meter_ids import LeadingZeros, without_leading_zeros
from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import ColumnMapping, FileOptions
from iot_platform.readings.files.columns import Header
from iot_platform.readings.files.conventions import Conventions
from iot_platform.readings.files.csv_text import name_of_encoding
from iot_platform.readings.files.decimals import decide_decimal, describe_decimal
from iot_platform.readings.files.file_format import FileFormat
from iot_platform.readings.files.file_notes import warnings_of
from iot_platform.readings.files.file_pass import FilePass
from iot_platform.readings.files.input_file import InputFile
from iot_platform.readings.files.inspected import Inspected, Inspection, Surroundings
from iot_platform.readings.files.judgement import (
    check_registers,
    check_time_zone,
    check_times,
    energy_of,
    interval_conventions,
    interval_summary,
    unit_of_column,
)
from iot_platform.readings.files.last_line import last_row
from iot_platform.readings.files.local_times import RepeatedHours
from iot_platform.readings.files.midnights import Midnights
from iot_platform.readings.files.open_readings import open_readings
from iot_platform.readings.files.preview import preview
from iot_platform.readings.files.raw_rows import Fact
from iot_platform.readings.files.registers import RegisterReader
from iot_platform.readings.files.series import MeterSeries
from iot_platform.readings.files.time_formats import decide_time_format
from iot_platform.readings.files.units import TABLE
from iot_platform.readings.files.value_notes import value_notes

MOST_PASSES = 5


def may_be_usual(header: Header, options: FileOptions) -> bool:
    """Whether header and options leave it open that a file has the usual conventions."""
    is_energy = TABLE[header.columns.unit].quantity == "energy" and header.unit_column is None
    is_end = (options.stamp or header.stamp) == "end"
    named = options.interval_s or options.register or options.timestamp_format or options.decimal or options.encoding
    return is_energy and not is_end and not named


def inspect_file(
    file: InputFile,
    mapping: ColumnMapping,
    header: Header,
    options: FileOptions,
    surroundings: Surroundings | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Inspected:
    """Read a whole file, usually once, and decide how it is to be read.

    Raises SourceError, with the options that answer the question, when the file can be read in two ways.
    """
    found, file_format = _read(file, mapping, header, options, progress)
    mapping, unit_from = found.mapping, header.unit_from
    if header.unit_column is not None:
        unit, unit_from = unit_of_column(found.units, header, options)
        mapping = replace(mapping, columns=replace(mapping.columns, unit=unit))
    check_times(found, header, options)
    surroundings = surroundings or Surroundings()
    check_time_zone(found, options, surroundings.zones_of)
    check_registers(found, mapping, options)
    stamp = "start" if options.register else (options.stamp or header.stamp)
    conventions = replace(mapping.conventions, stamp=stamp, is_register=bool(options.register))
    conventions = interval_conventions(found.series, conventions, mapping.columns.unit, header, options)
    mapping = replace(mapping, conventions=conventions)
    inspection = _inspection(found, mapping, header, options, unit_from, file_format)
    inspection.meters = _count_meters(found.series, surroundings.leading_zeros())
    inspection.warnings += value_notes(found, mapping, surroundings.warnings_of_use)
    return Inspected(mapping, found.repeated_hours, inspection, found.kept, found.last_row)


def _read(
    file: InputFile,
    mapping: ColumnMapping,
    header: Header,
    options: FileOptions,
    progress: Callable[[float], None],
) -> tuple[FilePass, FileFormat]:
    """The last pass over a file: the one that was made with the right formats; and what the file is."""
    conventions, formats = Conventions(), None
    repeated_hours: RepeatedHours | None = None
    for _ in range(MOST_PASSES):
        register = RegisterReader() if options.register else None
        found = FilePass(
            replace(mapping, conventions=conventions), header.unit_column, repeated_hours, register=register
        )
        names = [*mapping.columns.names, *([header.unit_column] if header.unit_column else [])]
        opened = open_readings(file, options)
        with closing(opened.source) as source:
            found.place_name, found.midnights = source.place_name, Midnights() if opened.joined else None
            for rows in source.rows(names):
                found.add(rows, partial(_where, file, source.place_name))
                progress(source.progress())
            found.last_row = last_row(source, mapping.columns.names, found.last_rows)
            found.facts, file_format = source.facts, source.format
            encoding = source.encoding
        if not encoding and options.encoding is None and conventions == Conventions():
            encoding = found.text_forms.encoding()
            if encoding:
                # What the texts are shows in a pass that can read them.
                conventions = Conventions(encoding=encoding, row_encoding=encoding)
                continue
        if options.register and header.unit_column is not None:
            unit, _ = unit_of_column(found.units, header, options)
            if unit != mapping.columns.unit:
                # What is a reset and what is jitter depends on the unit.
                mapping = replace(mapping, columns=replace(mapping.columns, unit=unit))
                continue
        # The first pass decides: it counts what cannot be read without a format.
        encodings = replace(conventions, encoding=encoding or conventions.encoding)
        formats = formats or _formats(found, options, encodings)
        decided = replace(formats, repeated_hours=conventions.repeated_hours)
        if decided == conventions and found.twice.rows and repeated_hours is None:
            newest_first = found.series.net_direction < 0
            repeated_hours = found.twice.resolve(mapping.timezone, newest_first=newest_first)
            decided = replace(decided, repeated_hours=len(repeated_hours.places) > 0)
        if decided == conventions:
            return found, file_format
        conventions = decided
    raise SourceError("The formats of the file cannot be decided. Set --timestamp-format and --decimal.")


def _formats(found: FilePass, options: FileOptions, encodings: Conventions) -> Conventions:
    return replace(
        encodings,
        time_format=decide_time_format(found.time_forms, options.timestamp_format),
        decimal=decide_decimal(found.number_forms, options.decimal),
    )


def _inspection(
    found: FilePass,
    mapping: ColumnMapping,
    header: Header,
    options: FileOptions,
    unit_from: str,
    file_format: FileFormat,
) -> Inspection:
    conventions = mapping.conventions
    moved = conventions.interval_s if conventions.stamp == "end" else 0
    if file_format.time_zone:
        zone, zone_from = file_format.time_zone, file_format.time_zone_from
    elif not found.has_local_times:
        zone, zone_from = "UTC", "in the times"
    else:
        zone, zone_from = mapping.timezone, "given" if options.timezone else "assumed"
    return Inspection(
        columns=mapping.columns,
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
        decimal=describe_decimal(conventions.decimal),
        interval=interval_summary(found.series),
        first=_iso(found.first - moved) if found.readable else None,
        last=_iso(found.last - moved) if found.readable else None,
        kWh=energy_of(found, mapping),
        facts=_facts(found, conventions.row_encoding),
        warnings=[*file_format.notes(), *warnings_of(found, mapping, options)],
        preview=preview(found.first_rows, mapping, found.repeated_hours),
        format=file_format.name,
        format_from=file_format.recognised_by,
    )


def _facts(found: FilePass, row_encoding: str) -> list[Fact]:
    """What the file was taken for; the encoding may be known only from its rows."""
    of_rows = Fact("encoding", name_of_encoding(row_encoding), "its rows, which are not UTF-8")
    return [of_rows if row_encoding and fact.name == of_rows.name else fact for fact in found.facts]


def _count_meters(series: MeterSeries, leading_zeros: LeadingZeros) -> int:
    """The number of meters with readings, as the database tells them apart."""
    names = [name for name, readings in zip(series.names, series.column("readings").tolist(), strict=True) if readings]
    if leading_zeros == "kept":
        return len(names)
    return len(set(without_leading_zeros(pa.array(names, pa.string())).to_pylist()))


def _where(file: InputFile, place_name: str, place: int) -> str:
    return f"{file.shown}, {place_name} {place}"


def _iso(second: int) -> str:
    return f"{dt.datetime.fromtimestamp(second, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
