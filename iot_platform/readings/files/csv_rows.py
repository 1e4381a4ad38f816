"""Read a CSV file as rows with exact line numbers.

Arrow parses each block in which every line is one row. All other blocks are parsed record by record in Python.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from iot_platform.errors import SourceError
from iot_platform.readings.files.csv_records import Record, RecordSplitter
from iot_platform.readings.files.file_format import FileFormat
from iot_platform.readings.files.raw_rows import Column, RawRows, Reject
from iot_platform.readings.files.unended_line import UnendedLine

BLOCK_BYTES = 8 << 20
LONGEST_LINE_BYTES = 64 << 20
TAIL_BYTES = 16 << 10  # what a last line without a line end is compared with
DELIMITERS = (",", ";", "\t", "|")
BOM, UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
WRONG_COLUMN_COUNT = "wrong_column_count"


class CsvRowSource:
    """A CSV file with a header line, which determines the delimiter: comma, semicolon, tab or bar.

    Fields may be quoted with ``"`` and contain line ends. Rows with another number of columns than the header are
    malformed. After a quote that is not closed, reading continues with the next line. Blank lines are ignored. Lines
    end with LF or CR LF; or with CR, if the file begins so.
    """

    place_name = "line"
    format = FileFormat("CSV", "its text")

    def __init__(self, path: Path, file: BinaryIO, position: Callable[[], int], size_bytes: int) -> None:
        self._path = path
        self._file = file
        self._position = position
        self._size_bytes = size_bytes
        self._line = 1
        self._ends_with_cr: bool | None = None
        self._unended: tuple[bytes, bytes] | None = None
        self._is_at_end = False
        self._blocks = self._read_blocks()
        self._first = self._read_header()

    @property
    def column_names(self) -> list[str]:
        """The header of the file."""
        return self._header

    @property
    def unended_line(self) -> UnendedLine | None:
        """The last line, if it has no line end; known when the last rows were read."""
        return UnendedLine(*self._unended, self._delimiter.encode()) if self._is_at_end and self._unended else None

    def rows(self, columns: list[str]) -> Iterator[RawRows]:
        """All rows of the file; places are line numbers, and the header is line 1."""
        wanted = [self._header.index(name) for name in columns]
        block, self._first = self._first, b""
        for following in self._blocks:
            yield from self._parse(block, columns, wanted, is_last=False)
            block = self._rest + following
        self._is_at_end = True
        yield from self._parse(block, columns, wanted, is_last=True)

    def progress(self) -> float:
        """Share of the file that has been read, from 0 to 1."""
        return min(1.0, self._position() / max(1, self._size_bytes))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_blocks(self) -> Iterator[bytes]:
        """The file in blocks of whole lines."""
        kept = tail = b""
        while piece := self._read():
            cut = piece.rfind(b"\n") + 1
            if not cut:
                kept += piece
                if len(kept) > LONGEST_LINE_BYTES:
                    raise SourceError(f"{self._path}: a line is longer than {LONGEST_LINE_BYTES >> 20} MB: not CSV.")
                continue
            yield kept + piece[:cut]
            tail = piece[max(0, cut - TAIL_BYTES) : cut]
            kept = piece[cut:]
        if kept:
            self._unended = kept, tail
            yield kept + b"\n"

    def _read(self) -> bytes:
        try:
            piece = self._file.read(BLOCK_BYTES)
        except OSError as error:
            raise SourceError(f"{self._path}, after line {self._line - 1}: cannot be unpacked: {error}.") from error
        if self._ends_with_cr is None:
            self._ends_with_cr = b"\r" in piece and b"\n" not in piece
        return piece.replace(b"\r", b"\n") if self._ends_with_cr else piece

    def _read_header(self) -> bytes:
        """Read the header from the first block; returns the rest of the block."""
        block = next(self._blocks, b"")
        if block.startswith(UTF16):
            raise SourceError(f"{self._path}: the text is encoded as UTF-16. Save it as UTF-8.")
        block = block.removeprefix(BOM)
        while block and not block.partition(b"\n")[0].strip():
            block = block.partition(b"\n")[2]
            self._line += 1
        line, _, rest = block.partition(b"\n")
        try:
            text = line.decode().strip("\r")
        except UnicodeDecodeError as error:
            raise SourceError(f"{self._path}, line {self._line}: the header is not UTF-8 text.") from error
        if not text or "\0" in text:
            raise SourceError(f"{self._path}: no header line; neither a CSV nor a Parquet file.")
        self._delimiter = max(DELIMITERS, key=text.count)
        try:
            self._header = [name.strip() for name in next(csv.reader([text], delimiter=self._delimiter))]
        except csv.Error as error:
            raise SourceError(f"{self._path}, line {self._line}: the header cannot be read: {error}.") from error
        self._splitter = RecordSplitter(self._delimiter, len(self._header))
        self._rest = b""
        self._line += 1
        return rest

    def _parse(self, block: bytes, columns: list[str], wanted: list[int], *, is_last: bool) -> Iterator[RawRows]:
        if not block:
            self._rest = b""
            return
        rows = self._parse_fast(block, columns, wanted) or self._parse_slowly(block, columns, wanted, is_last=is_last)
        self._line += block.count(b"\n") - self._rest.count(b"\n")
        if rows.records:
            yield rows

    def _parse_fast(self, block: bytes, columns: list[str], wanted: list[int]) -> RawRows | None:
        """The rows of a block in which every line is one row; None if that is not certain."""
        lines = block.count(b"\n")
        last_line = block[block.rfind(b"\n", 0, -1) + 1 :]
        if not _is_plain(block) or (b'"' in block and not self._splitter.is_closed(last_line)):
            return None
        found = _read_by_arrow(block, self._delimiter, len(self._header), wanted)
        # As many rows as lines: no field contains a line end.
        if found is None or found[0].num_rows + len(found[1]) != lines:
            return None
        table, malformed = found
        indexes = np.delete(np.arange(lines, dtype=np.int64), malformed)
        texts = _LazyLines(block)
        self._rest = b""
        return RawRows(
            columns={name: _one_chunk(table[str(index)]) for name, index in zip(columns, wanted, strict=True)},
            places=indexes + self._line,
            malformed=[Reject(self._line + index, WRONG_COLUMN_COUNT, texts.text(index)) for index in malformed],
            text_of=lambda row: texts.text(int(indexes[row])),
        )

    def _parse_slowly(self, block: bytes, columns: list[str], wanted: list[int], *, is_last: bool) -> RawRows:
        """The rows of any block, parsed one by one. An incomplete last record is kept for the next block."""
        lines = block.split(b"\n")[:-1]
        good: list[Record] = []
        malformed: list[Reject] = []
        self._rest = b""
        for record in self._splitter.records(lines, is_last=is_last):
            if isinstance(record, int):
                self._rest = b"\n".join(lines[record:]) + b"\n"
            elif record.fields is None:
                malformed.append(Reject(self._line + record.index, WRONG_COLUMN_COUNT, _shown(record.text)))
            else:
                good.append(record)
        fields = [[record.fields[index] for record in good if record.fields] for index in wanted]
        return RawRows(
            columns={name: pa.array(values, pa.binary()) for name, values in zip(columns, fields, strict=True)},
            places=np.array([self._line + record.index for record in good], dtype=np.int64),
            malformed=malformed,
            text_of=lambda row: _shown(good[row].text),
        )


def _is_plain(block: bytes) -> bool:
    """Whether Arrow parses the block as the code here would.

    It does not for blank lines and lone carriage returns, which Arrow counts differently; for a BOM, which Arrow
    removes from each block; and for text that is not UTF-8, in which Arrow cannot report malformed rows.
    """
    if block.startswith(BOM):
        return False
    if block.count(b"\r") != block.count(b"\r\n") or block[:1] in b"\r\n" or b"\n\n" in block or b"\n\r\n" in block:
        return False
    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False


def _read_by_arrow(block: bytes, delimiter: str, columns: int, wanted: list[int]) -> tuple[pa.Table, list[int]] | None:
    """The wanted columns as bytes, named by their number, and the indexes of malformed rows; None: Arrow failed."""
    malformed: list[int] = []

    def skip(row: arrow_csv.InvalidRow) -> Literal["skip"]:
        malformed.append((row.number or 0) - 1)
        return "skip"

    try:
        table = arrow_csv.read_csv(
            io.BytesIO(block),
            # Arrow numbers malformed rows only with one thread and one block.
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=len(block) + 1, column_names=[str(index) for index in range(columns)]
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=skip
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=[str(index) for index in wanted],
                column_types={str(index): pa.binary() for index in wanted},
                check_utf8=False,
            ),
        )
    except pa.ArrowException:
        return None
    return table.combine_chunks(), malformed


class _LazyLines:
    """The lines of a block. They are split when the first one is needed, because rejects are rare."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._lines: list[bytes] | None = None

    def text(self, index: int) -> str:
        if self._lines is None:
            self._lines = self._block.split(b"\n")
        return _shown(self._lines[index])


def _shown(record: bytes) -> str:
    return record.rstrip(b"\r").decode(errors="backslashreplace")


def _one_chunk(column: pa.ChunkedArray[Any]) -> Column:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
