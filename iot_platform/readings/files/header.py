"""The columns of an open file: from its header, or known from its format."""

from __future__ import annotations

from dataclasses import replace

from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.columns import Header, read_header
from iot_platform.readings.files.raw_rows import RowSource


def header_of(source: RowSource, options: FileOptions) -> Header:
    """What the header of a file says, or its format. Raises SourceError when that is not certain (columns.py)."""
    known, made = source.format.header, source.format.made
    if known is not None:
        return known
    header = read_header(
        source.column_names,
        timestamp=made.timestamp if made else options.timestamp_column,
        device=(made.device if made else None) or options.device_column,
        value=made.value if made else options.value_column,
        unit=options.unit,
        override_unit=options.override_unit,
    )
    return replace(header, stamp="end", stamp_from="column's name") if made and made.is_end else header
