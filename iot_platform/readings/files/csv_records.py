"""Cut lines into CSV records one by one: for the blocks of a file that Arrow cannot be trusted with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# A quoted field may span lines, but not this many: an opening quote that is never closed must not swallow the file.
LONGEST_RECORD_LINES = 100


@dataclass(frozen=True)
class Record:
    """A record that begins with line ``index`` of its block; ``fields`` is None when it has the wrong number."""

    index: int
    text: bytes
    fields: list[bytes] | None


class RecordSplitter:
    """Cuts records of a known number of columns; only ``"`` quotes, and only at the start of a field."""

    def __init__(self, delimiter: str, columns: int) -> None:
        self._delimiter = delimiter.encode()
        self._columns = columns
        d = re.escape(self._delimiter)
        self._field = re.compile(rb'"((?:[^"]|"")*+)"([^%b]*+)|([^%b]*+)' % (d, d))
        self._closed = _closed_record(self._delimiter, may_go_on=True)
        # Text after a closing quote is tolerated within a line; over several lines it shows that a quote was a slip.
        self._closed_strictly = _closed_record(self._delimiter, may_go_on=False)

    def is_closed(self, line: bytes) -> bool:
        """Whether every quoted field of a line (with its line end) is closed in it."""
        return self._closed.fullmatch(line) is not None

    def records(self, lines: list[bytes], *, is_last: bool) -> Iterator[Record | int]:
        """The records of some lines, without blank ones.

        At the end comes a number instead of a record when the rest of the lines, from that one on, may be continued
        by the next block (unless this block is the last).
        """
        index = 0
        while index < len(lines):
            count = self._length(lines, index)
            if count is None and not is_last and len(lines) - index < LONGEST_RECORD_LINES:
                yield index
                return
            record = self._record(lines, index, count)
            index += record.text.count(b"\n") + 1
            if record.text.strip(b"\r"):
                yield record

    def _record(self, lines: list[bytes], index: int, count: int | None) -> Record:
        text = b"\n".join(lines[index : index + (count or 1)])
        fields = self._fields(text) if count else None
        if fields is None and count and count > 1:
            # Several lines that do not make one row: the quote was a slip, and the lines after it are rows again.
            return Record(index, lines[index], None)
        return Record(index, text, fields)

    def _length(self, lines: list[bytes], start: int) -> int | None:
        """Number of lines of the record that begins at ``start``; None when its last quote is never closed."""
        if b'"' not in lines[start]:
            return 1
        record = b""
        for count, line in enumerate(lines[start : start + LONGEST_RECORD_LINES], start=1):
            record += line.rstrip(b"\r") + b"\n"
            closed = self._closed if count == 1 else self._closed_strictly
            if b'"' in line and closed.fullmatch(record):
                return count
        return None

    def _fields(self, record: bytes) -> list[bytes] | None:
        text = record.rstrip(b"\r")
        values = self._split(text) if b'"' in text else text.split(self._delimiter)
        return values if len(values) == self._columns else None

    def _split(self, record: bytes) -> list[bytes]:
        """The fields of a closed record, as Arrow cuts it: text after a closing quote belongs to the field."""
        values: list[bytes] = []
        end = -1
        while end < len(record):
            field = self._field.match(record, end + 1)
            assert field is not None  # it matches any text
            quoted, tail, plain = field.groups()
            values.append(plain if quoted is None else quoted.replace(b'""', b'"') + tail)
            end = field.end()
        return values


def _closed_record(delimiter: bytes, *, may_go_on: bool) -> re.Pattern[bytes]:
    """Matches a record, with its line end, whose quoted fields are all closed (and, or not, go on after that)."""
    d = re.escape(delimiter)
    tail = rb'(?:[^"%b\n][^%b\n]*+)?' % (d, d) if may_go_on else b""
    field = rb'(?:"(?:[^"]|"")*+"%b|[^"%b\n][^%b\n]*+|)' % (tail, d, d)
    return re.compile(rb"%b(?:%b%b)*+\r?\n" % (field, d, field), re.DOTALL)
