"""Bounds for workbooks, which are read into memory as a whole: a small file may unpack to any size."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import IO, BinaryIO
from xml.parsers import expat

from iot_platform.errors import SourceError

MOST_FILE_BYTES = 256 << 20
MOST_UNPACKED_BYTES = 2 << 30
# About 32 bytes each, also for blank ones between the others.
MOST_CELLS = 30_000_000
CHUNK_BYTES = 1 << 20
_OVERLAP_BYTES = 32
_REFERENCE = re.compile(rb"""\br=["']([A-Z]{1,3})([0-9]{1,7})["']""")
_SMALLER = "Split it, or export it as CSV."


def check_size(file: BinaryIO, kind: str, shown: Path) -> None:
    """Raise SourceError when a workbook would need too much memory."""
    size = file.seek(0, 2)
    file.seek(0)
    if size > MOST_FILE_BYTES:
        raise SourceError(f"{shown}: a workbook of more than {MOST_FILE_BYTES >> 20} MB. {_SMALLER}")
    if kind == "xls":
        return  # its format has at most 65,536 rows of 256 columns
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
            if sum(part.file_size for part in parts) > MOST_UNPACKED_BYTES:
                raise SourceError(
                    f"{shown}: a workbook of more than {MOST_UNPACKED_BYTES >> 30} GB when unpacked. {_SMALLER}"
                )
            for part in parts:
                if part.filename.startswith("xl/worksheets/") and part.filename.endswith(".xml"):
                    with archive.open(part) as sheet:
                        _check_cells(sheet, shown)
                elif part.filename == "content.xml":
                    with archive.open(part) as content:
                        _OdsCells(shown).check(content)
    except expat.ExpatError as error:
        raise SourceError(f"{shown}: the workbook is damaged: {error}.") from error
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise SourceError(f"{shown}: the workbook is damaged: {error}.") from error
    file.seek(0)


def _check_cells(sheet: IO[bytes], shown: Path) -> None:
    """Count the cells of an Excel sheet up to its last row and column."""
    columns: set[bytes] = set()
    last_row, kept = 0, b""
    while piece := sheet.read(CHUNK_BYTES):
        text = kept + piece
        found = _REFERENCE.findall(text)
        columns |= {column for column, _ in found}
        last_row = max([last_row, *(int(row) for _, row in found)])
        kept = text[-_OVERLAP_BYTES:]
        _check_area(last_row, max((_number(column) for column in columns), default=0), shown)


class _OdsCells:
    """Counts the cells of the sheets of an .ods file, in which cells and rows are repeated by an attribute."""

    def __init__(self, shown: Path) -> None:
        self._shown = shown
        self._row, self._rows_repeated, self._column, self._widest = 0, 0, 0, 0

    def check(self, content: IO[bytes]) -> None:
        """Raise SourceError for too many cells up to the last one with a value."""
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        while piece := content.read(CHUNK_BYTES):
            parser.Parse(piece, False)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if name == "table":
            self._row, self._rows_repeated, self._widest = 0, 0, 0
        elif name == "table-row":
            self._row += self._rows_repeated
            self._rows_repeated, self._column = _repeated(attributes, "rows"), 0
        elif name in ("table-cell", "covered-table-cell"):
            self._column += _repeated(attributes, "columns")
            if any(attribute.endswith(":value-type") for attribute in attributes):
                self._widest = max(self._widest, self._column)
                _check_area(self._row + self._rows_repeated, self._widest, self._shown)


def _repeated(attributes: dict[str, str], what: str) -> int:
    text = attributes.get(f"table:number-{what}-repeated", "1")
    return int(text) if text.isascii() and text.isdecimal() else 1


def _check_area(rows: int, columns: int, shown: Path) -> None:
    if rows * columns > MOST_CELLS:
        raise SourceError(f"{shown}: a sheet has more than {MOST_CELLS:,} cells. {_SMALLER}")


def _number(column: bytes) -> int:
    number = 0
    for letter in column:
        number = number * 26 + letter - ord("A") + 1
    return number
