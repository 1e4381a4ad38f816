"""Open a file of readings with the columns that its options, or its other columns, make: see ``OpenFile``."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.columns import Header, read_header
from iot_platform.readings.files.csv_text import WINDOWS
from iot_platform.readings.files.date_and_time import (
    DateAndTime,
    JoinedDateAndTime,
    find_date_and_time,
    is_date_and_time,
)
from iot_platform.readings.files.header_names import all_names, normal
from iot_platform.readings.files.open_file import open_row_source
from iot_platform.readings.files.raw_rows import RowSource, encoding_of
from iot_platform.readings.files.whole_file_meter import WholeFileMeter, meter_from_name


@dataclass(frozen=True)
class OpenFile:
    """An open file. ``joined``: its columns of date and time, if they are joined; ``meter``: an added column."""

    source: RowSource
    joined: DateAndTime | None
    meter: str | None

    def header(self, options: FileOptions) -> Header:
        """The columns of a reading: given, made, or found by their names. Raises SourceError if that is not certain."""
        try:
            return self._read_header(options)
        except SourceError as error:
            if encoding_of(self.source) == WINDOWS and options.encoding is None:
                raise SourceError(
                    f"{error} The header is not UTF-8, and is read as Windows-1252: if that is wrong, set --encoding."
                ) from error
            raise

    def _read_header(self, options: FileOptions) -> Header:
        return read_header(
            self.source.column_names,
            timestamp=self.joined.name if self.joined else options.timestamp_column,
            device=self.meter or options.device_column,
            value=options.value_column,
            unit=options.unit,
            override_unit=options.override_unit,
            is_end=bool(self.joined and self.joined.is_end),
        )


def open_readings(path: Path, options: FileOptions) -> OpenFile:
    """Open a file. Raises SourceError when it cannot be used, or when the options contradict each other."""
    _check_options(options)
    source = open_row_source(path, options)
    try:
        joined = _date_and_time(path, options, source)
        if joined:
            source = JoinedDateAndTime(source, joined)
        if options.device is None and options.device_from_name is None:
            return OpenFile(source, joined, None)
        meter, known_from = options.device, "given"
        if meter is None:
            meter, known_from = meter_from_name(path, options.device_from_name or ""), "file's name"
        others = [name for name in source.column_names if normal(name) in all_names("meter")]
        with_meter = WholeFileMeter(source, meter.strip(), known_from, others[0] if len(others) == 1 else None)
        return OpenFile(with_meter, joined, with_meter.name)
    except BaseException:
        source.close()
        raise


def _date_and_time(path: Path, options: FileOptions, source: RowSource) -> DateAndTime | None:
    if options.timestamp_column is not None:
        return None
    found = find_date_and_time(source.column_names, options.date_column, options.time_column)
    if found is None or found.is_given:
        return found
    with closing(open_row_source(path, options)) as other:
        rows = next(other.rows([found.date, found.time]), None)
    return found if rows is not None and is_date_and_time(rows, found) else None


def _check_options(options: FileOptions) -> None:
    if options.timestamp_column is not None and (options.date_column or options.time_column):
        raise SourceError("The time is in one column (--timestamp-column) or in two (--date-column, --time-column).")
    meters = [options.device_column, options.device, options.device_from_name]
    if sum(given is not None for given in meters) > 1:
        raise SourceError("Choose one of --device-column, --device and --device-from-name.")
