"""The columns of an open file: from its header, or known from its format."""

from __future__ import annotations

from dataclasses import replace

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.columns import Header, read_header
from iot_platform.readings.files.raw_rows import RowSource

# With more columns than these, a header that names no reading may name meters.
MANY_COLUMNS = 8


def header_of(source: RowSource, options: FileOptions) -> Header:
    """What the header of a file says, or its format. Raises SourceError when that is not certain (columns.py)."""
    known, made = source.format.header, source.format.made
    if known is not None:
        return known
    try:
        header = read_header(
            source.column_names,
            timestamp=made.timestamp if made else options.timestamp_column,
            device=(made.device if made else None) or options.device_column,
            value=made.value if made else options.value_column,
            unit=options.unit,
            override_unit=options.override_unit,
        )
    except SourceError as error:
        if made is None and len(source.column_names) > MANY_COLUMNS:
            raise SourceError(f"{error} If each column is a meter, say --wide meters.") from error
        raise
    return replace(header, stamp="end", stamp_from="column's name") if made and made.is_end else header
