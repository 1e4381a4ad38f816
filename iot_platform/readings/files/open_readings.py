"""Open a file of readings with the columns that its options, or its other columns, make: see ``OpenFile``."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
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
from iot_platform.readings.files.header_names import all_names, is_value, normal
from iot_platform.readings.files.input_file import InputFile
from iot_platform.readings.files.open_file import open_row_source
from iot_platform.readings.files.raw_rows import RowSource
from iot_platform.readings.files.whole_file_meter import WholeFileMeter, meter_from_name

# A time and two meters: a header that names no value may name meters.
FEWEST_COLUMNS = 3


@dataclass(frozen=True)
class OpenFile:
    """An open file. ``joined``: its columns of date and time, if they are joined; ``meter``: an added column."""

    source: RowSource
    joined: DateAndTime | None
    meter: str | None

    def header(self, options: FileOptions) -> Header:
        """The columns of a reading: known from the format, given, made, or found by their names.

        Raises SourceError if that is not certain.
        """
        known = self.source.format.header
        if known is not None:
            return replace(known, columns=replace(known.columns, device=self.meter or known.columns.device))
        try:
            return self._read_header(options)
        except SourceError as error:
            names, hints = self.source.column_names, []
            if self.source.encoding == WINDOWS and options.encoding is None:
                hints.append("The header is not UTF-8, and is read as Windows-1252: if that is wrong, set --encoding.")
            may_name_meters = self.source.format.made is None and len(names) >= FEWEST_COLUMNS
            if may_name_meters and not any(is_value(name) for name in names):
                hints.append("If each column is a meter, say --wide meters.")
            raise (SourceError(" ".join([str(error), *hints])) if hints else error) from error

    def _read_header(self, options: FileOptions) -> Header:
        made = self.source.format.made
        timestamp = self.joined.name if self.joined else options.timestamp_column
        return read_header(
            self.source.column_names,
            timestamp=made.timestamp if made else timestamp,
            device=self.meter or (made.device if made else None) or options.device_column,
            value=made.value if made else options.value_column,
            unit=options.unit,
            override_unit=options.override_unit,
            is_end=bool(made.is_end if made else self.joined and self.joined.is_end),
        )


def open_readings(file: Path | InputFile, options: FileOptions) -> OpenFile:
    """Open a file. Raises SourceError when it cannot be used, or when the options contradict each other."""
    check_options(options)
    known = InputFile.of(file)
    source = open_row_source(known, options)
    try:
        joined = _date_and_time(known, options, source)
        if joined:
            source = JoinedDateAndTime(source, joined)
        if options.device is None and options.device_from_name is None:
            return OpenFile(source, joined, None)
        meter, known_from = options.device, "given"
        if meter is None:
            meter, known_from = meter_from_name(known.shown, options.device_from_name or ""), "file's name"
        others = [name for name in source.column_names if normal(name) in all_names("meter")]
        with_meter = WholeFileMeter(source, meter.strip(), known_from, others[0] if len(others) == 1 else None)
        return OpenFile(with_meter, joined, with_meter.name)
    except BaseException:
        source.close()
        raise


def _date_and_time(file: InputFile, options: FileOptions, source: RowSource) -> DateAndTime | None:
    if options.timestamp_column is not None or source.format.header or source.format.made:
        return None
    found = find_date_and_time(source.column_names, options.date_column, options.time_column)
    if found is None or found.is_given:
        return found
    with closing(open_row_source(file, options)) as other:
        rows = next(other.rows([found.date, found.time]), None)
    return found if rows is not None and is_date_and_time(rows, found) else None


def check_options(options: FileOptions) -> None:
    """Raise SourceError when options contradict each other."""
    if options.timestamp_column is not None and (options.date_column or options.time_column):
        raise SourceError("The time is in one column (--timestamp-column) or in two (--date-column, --time-column).")
    meters = [options.device_column, options.device, options.device_from_name]
    if sum(given is not None for given in meters) > 1:
        raise SourceError("Choose one of --device-column, --device and --device-from-name.")
