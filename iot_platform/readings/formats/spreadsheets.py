"""Workbooks (.xlsx, .xlsm, .xlsb, .xls, .ods), read by calamine: the first sheet with readings, or a given one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import python_calamine

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.columns import read_header
from iot_platform.readings.files.file_format import FileFormat
from iot_platform.readings.files.raw_rows import PlainSource, RawRows
from iot_platform.readings.formats.sheet_cells import Cell, cell_text, column_of
from iot_platform.readings.formats.wide_header import find_day_columns
from iot_platform.readings.formats.workbook_size import check_size

# Not a setting: the pieces of a file decide about its windows (windows.py).
PIECE_ROWS = 50_000
# The header is among so many rows at the start of a sheet.
FIRST_ROWS = 60

Row = list[Cell]
Sheet = python_calamine.CalamineSheet


class SheetRowSource(PlainSource):
    """A sheet of a workbook. Places are the row numbers that a spreadsheet shows. Blank rows are ignored."""

    place_name = "row"

    def __init__(self, shown: Path, file: BinaryIO, kind: str, recognised_by: str, options: FileOptions) -> None:
        self._file = file
        self._shown = shown
        self._rows_read = 0
        try:
            check_size(file, kind, shown)
            with _damage_as_error(shown):
                self._workbook = python_calamine.CalamineWorkbook.from_filelike(file)
            self._sheet, self._header_row, others = self._choose_sheet(options)
        except BaseException:
            file.close()
            raise
        self.column_names = [cell_text(cell).strip() for cell in _first_rows(self._sheet)[self._header_row]]
        self.format = FileFormat(
            f"{kind}, sheet {self._sheet.name!r}, header in row {self._header_row + 1}",
            recognised_by,
            key=f"sheet {self._sheet.name}",
        )
        if others:
            listing = ", ".join(repr(name) for name in others)
            self.format.remarks.append(f"Other sheets may have readings, too: {listing}. Load them with --sheet.")

    def rows(self, columns: list[str]) -> Iterator[RawRows]:
        """All rows below the header."""
        wanted = [self.column_names.index(name) for name in columns]
        for places, rows in self._pieces():
            cells = [[row[index] for row in rows] for index in wanted]
            self._rows_read = places[-1]
            yield RawRows(
                {name: column_of(values) for name, values in zip(columns, cells, strict=True)},
                np.array(places, dtype=np.int64),
                text_of=_Texts(rows).text,
            )

    def progress(self) -> float:
        """Share of the sheet that has been read, from 0 to 1."""
        return min(1.0, self._rows_read / max(1, self._sheet.total_height))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _pieces(self) -> Iterator[tuple[list[int], list[Row]]]:
        places: list[int] = []
        rows: list[Row] = []
        for number, row in enumerate(self._sheet.iter_rows(), start=1):
            if number <= self._header_row + 1 or all(cell == "" for cell in row):
                continue
            places.append(number)
            rows.append(row)
            if len(rows) >= PIECE_ROWS:
                yield places, rows
                places, rows = [], []
        if rows:
            yield places, rows

    def _choose_sheet(self, options: FileOptions) -> tuple[Sheet, int, list[str]]:
        """The sheet to read, the index of its header row, and other sheets that have a header of readings."""
        names = self._sheet_names()
        if options.sheet is not None:
            if options.sheet not in self._workbook.sheet_names:
                listing = ", ".join(repr(name) for name in self._workbook.sheet_names)
                raise SourceError(f"{self._shown}: there is no sheet {options.sheet!r} (--sheet). Sheets: {listing}.")
            names = [options.sheet]
        found: list[tuple[Sheet, int]] = []
        widest: tuple[Sheet, int] | None = None
        for name in names:
            with _damage_as_error(self._shown):
                sheet = self._workbook.get_sheet_by_name(name)
            rows = _first_rows(sheet)
            header = _header_of_readings(rows, options)
            if header is not None:
                found.append((sheet, header))
            elif widest is None and any(any(cell != "" for cell in row) for row in rows):
                widest = sheet, _widest_row(rows)
        if found:
            return *found[0], [sheet.name for sheet, _ in found[1:]]
        if widest is None:
            raise SourceError(f"{self._shown}: the workbook has no sheet with a header and rows.")
        return *widest, []

    def _sheet_names(self) -> list[str]:
        """The sheets that a spreadsheet shows."""
        visible = python_calamine.SheetVisibleEnum.Visible
        return [sheet.name for sheet in self._workbook.sheets_metadata if sheet.visible == visible]


class _Texts:
    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def text(self, index: int) -> str:
        return ",".join(cell_text(cell) for cell in self._rows[index])


@contextmanager
def _damage_as_error(shown: Path) -> Iterator[None]:
    """Whatever calamine cannot read is a SourceError."""
    try:
        yield
    except python_calamine.PasswordError as error:
        raise SourceError(f"{shown}: the workbook has a password. Save it without one.") from error
    except BaseException as error:
        # A panic of its Rust code derives from BaseException only, and has no public class.
        if isinstance(error, python_calamine.CalamineError) or type(error).__name__ == "PanicException":
            raise SourceError(f"{shown}: the workbook cannot be read: {error}. Save it as .xlsx.") from error
        raise


def _first_rows(sheet: Sheet) -> list[Row]:
    rows: list[Row] = []
    for row in sheet.iter_rows():
        rows.append(row)
        if len(rows) == FIRST_ROWS:
            break
    return rows


def _header_of_readings(rows: list[Row], options: FileOptions) -> int | None:
    """The first row that names the columns of readings."""
    for index, row in enumerate(rows):
        names = [cell_text(cell).strip() for cell in row]
        if sum(bool(name) for name in names) < 2:
            continue
        if find_day_columns(names) is not None:
            return index
        try:
            read_header(
                names,
                timestamp=options.timestamp_column,
                # The meter may be given otherwise.
                device=options.device_column or next(name for name in names if name),
                value=options.value_column,
                unit="kWh",
                override_unit=True,
            )
        except SourceError:
            continue
        return index
    return None


def _widest_row(rows: list[Row]) -> int:
    """The first of the rows with the most texts: what its columns mean has to be said by options."""
    counts = [sum(isinstance(cell, str) and bool(cell.strip()) for cell in row) for row in rows]
    return counts.index(max(counts))
