"""Wide files: several values in each row. They are made long, so that everything after is the same for all files."""

from __future__ import annotations

from collections.abc import Callable

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.raw_rows import RowSource
from iot_platform.readings.formats.format_options import refuse_options_of_wide
from iot_platform.readings.formats.wide_days import WideDaySource
from iot_platform.readings.formats.wide_header import find_day_columns
from iot_platform.readings.formats.wide_meters import WideMetersSource


def made_long(source: RowSource, options: FileOptions, reopen: Callable[[], RowSource]) -> RowSource:
    """The source, or one that makes it long: as --wide says, or if its header has all intervals of a day."""
    if source.format.header is not None or (options.wide is None and options.value_column is not None):
        return source
    if options.wide == "meters":
        refuse_options_of_wide("one column per meter", options)
        return WideMetersSource(source, options)
    days = find_day_columns(source.column_names, is_given=options.wide == "day")
    if days is not None:
        refuse_options_of_wide("one row per day", options)
        return WideDaySource(source, days, options, reopen)
    if options.wide == "day":
        listing = ", ".join(repr(name) for name in source.column_names)
        raise SourceError(
            "With --wide day the header has a column for each interval of a day: 24, 48 or 96 times (00:00, 00:30 ...) "
            f"or numbers (1, 2 ...), in order. Columns: {listing}."
        )
    return source
