"""Read a CSV file as rows with exact line numbers.

Arrow parses each block in which every line is one row. All other blocks are parsed record by record in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from iot_platform.errors import SourceError
from iot_platform.readings.files.csv_blocks import LazyLines, is_plain, one_chunk, read_by_arrow, shown
from iot_platform.readings.files.csv_header import COMMENT, HeaderHints, find_header
from iot_platform.readings.files.csv_records import Record, RecordSplitter
from iot_platform.readings.files.csv_text import UTF8, WINDOWS, Utf8Text, name_of_encoding, transcoded
from iot_platform.readings.files.file_format import FileFormat
from iot_platform.readings.files.raw_rows import Fact, RawRows, Reject
from iot_platform.readings.files.unended_line import UnendedLine

BY_TEXT = "its text"
BLOCK_BYTES = 8 << 20
LONGEST_LINE_BYTES = 64 << 20
TAIL_BYTES = 16 << 10  # what a last line without a line end is compared with
WRONG_COLUMN_COUNT = "wrong_column_count"


class CsvRowSource:
    """A CSV file with a header line, which determines the delimiter: comma, semicolon, tab or bar.

    Before the header there may be other lines (csv_header.py), and the text may have another encoding than UTF-8
    (csv_text.py). Fields may be quoted with ``"`` and contain line ends. Rows with another number of columns than the
    header are malformed. After a quote that is not closed, reading continues with the next line. Blank lines are
    ignored. Lines end with LF or CR LF; or with CR, if the file begins so.
    """

    place_name = "line"

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        position: Callable[[], int],
        size_bytes: int,
        hints: HeaderHints | None = None,
        recognised_by: str = BY_TEXT,
    ) -> None:
        """``hints``: what helps to find the header; None: it is the first line."""
        self.format = FileFormat("CSV", recognised_by)
        self._path = path
        self._file = file
        self._position = position
        self._size_bytes = size_bytes
        self._line = 1
        self._unended: tuple[bytes, bytes] | None = None
        self._is_at_end = False
        self._rest = b""
        try:
            self._text = Utf8Text(file, hints.encoding if hints else UTF8)
        except OSError as error:
            raise SourceError(f"{path}: cannot be unpacked: {error}.") from error
        start = self._text.start
        self._ends_with_cr = b"\r" in start and b"\n" not in start
        self._found = find_header(self._lines_of(start), str(path), hints, is_whole=self._text.is_whole)
        self._header, self._delimiter = self._found.names, self._found.delimiter
        self._comment = COMMENT.encode() if self._found.comments else None
        self._splitter = RecordSplitter(self._delimiter, len(self._header), self._comment)
        head = self._lines_of(start)[: self._found.line.end]
        if not self._found.line.is_utf8 and self._text.encoding_from == "assumed":
            self._text.take(WINDOWS, "the header, which is not UTF-8")
            head = transcoded(head, WINDOWS)
        self._blocks = self._read_blocks()
        self._first = self._after_header(len(head))

    @property
    def column_names(self) -> list[str]:
        """The header of the file."""
        return self._header

    @property
    def encoding(self) -> str:
        """The encoding of the text; "" for UTF-8."""
        return "" if self._text.encoding == UTF8 else self._text.encoding

    @property
    def facts(self) -> list[Fact]:
        """What the text was taken for."""
        found = self._found
        delimiter = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}.get(self._delimiter, self._delimiter)
        facts = [
            Fact("encoding", name_of_encoding(self._text.encoding), self._text.encoding_from),
            Fact("delimiter", delimiter, found.delimiter_from),
        ]
        if found.line.number > 1:
            facts.append(Fact("header", f"line {found.line.number}", "its names"))
        return facts

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
            piece = self._text.read(BLOCK_BYTES)
        except OSError as error:
            raise SourceError(f"{self._path}, after line {self._line - 1}: cannot be unpacked: {error}.") from error
        return self._lines_of(piece)

    def _lines_of(self, text: bytes) -> bytes:
        return text.replace(b"\r", b"\n") if self._ends_with_cr else text

    def _after_header(self, length: int) -> bytes:
        """Read the blocks of the first ``length`` bytes, which end with the header; returns the rest of the last."""
        self._line = self._found.line.number + 1
        for block in self._blocks:
            if length < len(block):
                return block[length:]
            length -= len(block)
        return b""

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
        if (
            not is_plain(block)
            or self._has_comments(block)
            or (b'"' in block and not self._splitter.is_closed(last_line))
        ):
            return None
        found = read_by_arrow(block, self._delimiter, len(self._header), wanted)
        # As many rows as lines: no field contains a line end.
        if found is None or found[0].num_rows + len(found[1]) != lines:
            return None
        table, malformed = found
        indexes = np.delete(np.arange(lines, dtype=np.int64), malformed)
        texts = LazyLines(block)
        self._rest = b""
        return RawRows(
            columns={name: one_chunk(table[str(index)]) for name, index in zip(columns, wanted, strict=True)},
            places=indexes + self._line,
            malformed=[Reject(self._line + index, WRONG_COLUMN_COUNT, texts.text(index)) for index in malformed],
            text_of=lambda row: texts.text(int(indexes[row])),
        )

    def _has_comments(self, block: bytes) -> bool:
        return self._comment is not None and (block.startswith(self._comment) or b"\n" + self._comment in block)

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
                malformed.append(Reject(self._line + record.index, WRONG_COLUMN_COUNT, shown(record.text)))
            else:
                good.append(record)
        fields = [[record.fields[index] for record in good if record.fields] for index in wanted]
        return RawRows(
            columns={name: pa.array(values, pa.binary()) for name, values in zip(columns, fields, strict=True)},
            places=np.array([self._line + record.index for record in good], dtype=np.int64),
            malformed=malformed,
            text_of=lambda row: shown(good[row].text),
        )
