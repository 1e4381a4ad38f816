"""Files with a column of times and one column per meter: made long, one row for each value.

Blank cells are no readings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.columns import read_header
from iot_platform.readings.files.file_format import MadeColumns
from iot_platform.readings.files.parsing import decoded
from iot_platform.readings.files.raw_rows import Column, RawRows, RowSource
from iot_platform.readings.files.units import find_unit
from iot_platform.readings.files.wrapped_source import WrappedSource
from iot_platform.readings.formats.wide_cells import CellTexts, filled_cells, joined

METER, VALUE = "meter", "value_of_meter"
_UNIT = re.compile(r"\s*(?:\(([^()]*)\)|\[([^\[\]]*)\])\s*$")


class WideMetersSource(WrappedSource):
    """A row for each value of the meters in another source. Places are those of its rows.

    The id of a meter is the name of its column, without a unit in brackets at its end.
    """

    def __init__(self, source: RowSource, options: FileOptions) -> None:
        super().__init__(source)
        names = source.column_names
        self._time, is_end = _time_column(names, options)
        self._cells = [name for name in names if name != self._time and name.strip()]
        if not self._cells or len(set(self._cells)) < len(self._cells):
            problem = "occur twice" if self._cells else "are missing"
            raise SourceError(f"With --wide meters each column but the time is a meter; columns {problem}: {names}.")
        unit = _unit_of_all(self._cells, options)
        self._meters = [_UNIT.sub("", name) if _unit_of(name) else name for name in self._cells]
        self._value = f"{VALUE} ({unit})" if unit else VALUE
        self.column_names = [self._time, METER, self._value]
        self.format = replace(
            source.format,
            name=f"{source.format.name}, one column per meter ({len(self._cells)})",
            key=f"{source.format.key} meters".strip(),
            made=MadeColumns(self._time, self._value, METER, is_end=is_end),
            counts=source.format.counts.copy(),
            remarks=[*source.format.remarks],
        )

    def rows(self, columns: list[str]) -> Iterator[RawRows]:
        """All values of all meters, in the order of the file."""
        for rows in self._source.rows([self._time, *self._cells]):
            yield self._long(rows)

    def _long(self, rows: RawRows) -> RawRows:
        cells = [decoded(rows.columns[name]) for name in self._cells]
        filled = filled_cells(cells)
        if blank := int((~filled).sum()):
            self.format.counts["blank values are no readings."] += blank
        row, column = np.nonzero(filled)
        by_row: Column = pa.array(row)
        by_cell: Column = pa.array(column)
        meters = pa.array(self._meters, pa.string()).take(by_cell)
        found = {
            self._time: rows.columns[self._time].take(by_row),
            METER: meters,
            self._value: joined([values for values, _ in cells]).take(pa.array(column * len(rows.places) + row)),
        }
        return RawRows(found, rows.places[row], rows.malformed, CellTexts(rows, row, column, self._cells).text)


def _time_column(names: Sequence[str], options: FileOptions) -> tuple[str, bool]:
    """The column of the time, and whether it is the end of the interval."""
    try:
        header = read_header(
            names, timestamp=options.timestamp_column, device=names[-1], value=names[-1], unit="kWh", override_unit=True
        )
    except SourceError as error:
        # Data frames write their index as a first column without a name.
        if options.timestamp_column is None and names.count("") == 1 and names[0] == "":
            return "", False
        raise SourceError(f"With --wide meters: {error}") from error
    return header.columns.timestamp, header.stamp == "end"


def _unit_of_all(names: Sequence[str], options: FileOptions) -> str:
    """The unit of all meters, or "". Raises SourceError if it is not the same, or not known, and not given."""
    units = {_unit_of(name) for name in names}
    named = sorted(units - {""})
    if (len(named) > 1 and not options.override_unit) or (len(units) > 1 and options.unit is None):
        listing = ", ".join([*named, "none"] if "" in units else named)
        raise SourceError(
            f"The columns of the meters have several units: {listing}. If they have one, set it with --unit and "
            "--override-unit."
        )
    unknown = {found[0].strip() if (found := _UNIT.search(name)) else "" for name in names}
    if not named and options.unit is None and len(names) > 1 and len(unknown) == 1 and (text := unknown.pop()):
        raise SourceError(f"All meters end with {text!r}, which is not a known unit. Set the unit with --unit.")
    return named[0] if len(named) == 1 else ""


def _unit_of(name: str) -> str:
    found = _UNIT.search(name)
    unit = find_unit(found[1] or found[2] or "") if found else None
    return unit.symbol if unit else ""
