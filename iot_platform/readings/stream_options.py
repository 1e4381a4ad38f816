"""The options of a stream: those of files that need no look at the whole input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from iot_platform.devices.meter_ids import normalized
from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import ColumnMapping, FileOptions
from iot_platform.readings.files.columns import Header
from iot_platform.readings.files.conventions import Conventions
from iot_platform.readings.files.date_and_time import JoinedDateAndTime, find_date_and_time
from iot_platform.readings.files.decimals import NumberForms, decide_decimal
from iot_platform.readings.files.midnights import Midnights
from iot_platform.readings.files.open_readings import OpenFile, check_options
from iot_platform.readings.files.option_values import option_of
from iot_platform.readings.files.parsing import decoded, parse_ids, parse_timestamps
from iot_platform.readings.files.raw_rows import Column, RawRows, RowSource
from iot_platform.readings.files.time_formats import decide_time_format
from iot_platform.readings.files.time_forms import TimeForms
from iot_platform.readings.files.units import TABLE
from iot_platform.readings.files.whole_file_meter import WholeFileMeter
from iot_platform.readings.mapping_files import NOT_IN_FILES

# pyarrow's type stubs need the type of each array, which depends on the lines.
pc: Any = compute

_SUPPORTED = {
    *("timestamp_column", "device_column", "value_column", "unit", "override_unit", "interval_s", "stamp"),
    *("timezone", "timestamp_format", "decimal", "device_ids", "register", "date_column", "time_column", "device"),
}
# One in 200 epoch times is a date by its digits, too; this many in a row are none.
_DATES_IN_A_ROW = 6


def check_stream_options(options: FileOptions) -> None:
    """Raise SourceError for options that a stream cannot have. Call it before anything is read."""
    for field in fields(FileOptions):
        is_set = getattr(options, field.name) != field.default
        if is_set and field.name not in _SUPPORTED | NOT_IN_FILES:
            raise SourceError(f"{option_of(field.name)}: a stream cannot have it. Use `iot-platform load readings`.")
    check_options(options)
    if options.register:
        raise SourceError(
            "--register: a stream has no totals of registers, because the last value of each meter would have to be "
            "kept with each accepted line. Send the energy of the intervals, or load the registers as files."
        )
    if options.interval_s:
        return
    if options.unit and TABLE[options.unit].quantity == "power":
        raise SourceError(f"--unit {options.unit} is power: set --interval, such as 30min, by which it becomes energy.")
    if options.stamp == "end":
        raise SourceError("--stamp end: set --interval, such as 30min, to find the start of each interval.")


def open_lines(source: RowSource, options: FileOptions) -> OpenFile:
    """Lines with the columns that options make: date and time joined, the meter of the whole stream."""
    joined = None
    if options.date_column or options.time_column:
        joined = find_date_and_time(source.column_names, options.date_column, options.time_column)
    source = JoinedDateAndTime(source, joined) if joined else source
    if options.device is None:
        return OpenFile(source, joined, None)
    with_meter = WholeFileMeter(source, options.device.strip(), "given", None)
    return OpenFile(with_meter, joined, with_meter.name)


def stream_mapping(header: Header, options: FileOptions, where: str) -> ColumnMapping:
    """How the lines of a stream are read. Raises SourceError for a header that needs other options."""
    columns = header.columns
    stamp = options.stamp or header.stamp
    is_power = TABLE[columns.unit].quantity == "power"
    if header.unit_column and not (options.unit and options.override_unit):
        raise SourceError(
            f"{where}: a stream has one unit, in the name of column {columns.value!r} (such as kWh) or by --unit with "
            f"--override-unit, not in column {header.unit_column!r} of each line."
        )
    if (is_power or stamp == "end") and not options.interval_s:
        raise SourceError(
            f"{where}: {columns.timestamp!r} is the {stamp} of the interval, and {columns.value!r} is in "
            f"{columns.unit}. Set --interval, such as 30min, so that the start and the energy of each interval are "
            "known."
        )
    return ColumnMapping(
        columns,
        options.timezone or "UTC",
        options.device_ids,
        Conventions(
            stamp=stamp,
            interval_s=options.interval_s or 0 if is_power or stamp == "end" else 0,
            time_format=decide_time_format(TimeForms(), options.timestamp_format),
            decimal=decide_decimal(NumberForms(), options.decimal),
        ),
    )


class MidnightCheck:
    """Finds 00:00 with the date of the day that it ends, if date and time are in two columns."""

    def __init__(self, mapping: ColumnMapping) -> None:
        self._mapping = mapping
        self._midnights = Midnights()
        self._codes: dict[str, int] = {}

    def add(self, rows: RawRows, first: int, where: Callable[[int], str]) -> None:
        """Look at lines after position ``first``. Raises SourceError, which names the place by ``where``."""
        columns = self._mapping.columns
        times = parse_timestamps(rows.columns[columns.timestamp], "UTC", self._mapping.conventions.time_format).values
        ids = normalized(parse_ids(rows.columns[columns.device]).values)
        good = np.asarray(pc.and_(times.is_valid(), ids.is_valid()))
        names = ids.filter(pa.array(good)).to_pylist()
        meters = np.array([self._codes.setdefault(name, len(self._codes)) for name in names], dtype=np.int64)
        seconds = np.asarray(times.filter(pa.array(good)).cast(pa.int64()))
        self._midnights.add(meters, seconds, rows.places[good] + first)
        if wrong := self._midnights.wrong():
            raise SourceError(f"{where(wrong.place - first)}: {wrong.problem()}")


class DigitsCheck:
    """Finds out whether times that are read as epoch numbers are dates, such as 2401310130 (YYMMDDhhmm)."""

    def __init__(self) -> None:
        self._dates: set[str] = set()
        self._is_done = False

    def add(self, column: Column) -> None:
        """Look at times. Raises SourceError when all of them are dates by their digits."""
        if self._is_done:
            return
        texts = decoded(column)[0]
        new = [text.strip() for text in texts.unique().to_pylist() if text] if pa.types.is_string(texts.type) else []
        forms = TimeForms()
        forms.add(pa.array(new[: 2 * _DATES_IN_A_ROW], pa.string()))
        numbers, dates = (sum(getattr(digits, what) for digits in forms.digits.values()) for what in ("rows", "dates"))
        if numbers != dates or (new and not numbers):
            self._is_done = True
            return
        self._dates.update(new[: 2 * _DATES_IN_A_ROW])
        if len(self._dates) >= _DATES_IN_A_ROW:
            raise SourceError(
                f"The times are numbers such as {min(self._dates)}, which are a date by their digits, and would be "
                "read as seconds or milliseconds since 1970. Choose: --timestamp-format epoch, YYMMDDhhmm or "
                "YYYYMMDDhhmm."
            )
