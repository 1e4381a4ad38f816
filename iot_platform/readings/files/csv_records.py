"""Split lines into CSV records one by one, for the blocks of a file that Arrow does not parse reliably."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# A quoted field may span several lines. Without a limit, an opening quote without its closing quote would consume the
# rest of the file.
LONGEST_RECORD_LINES = 100


@dataclass(frozen=True)
class Record:
    """A record that begins at line ``index`` of its block; ``fields`` is None when their number is wrong."""

    index: int
    text: bytes
    fields: list[bytes] | None


class RecordSplitter:
    """Splits lines into records of a known number of columns. A field is quoted only if it begins with ``"``.

    ``comment``: how lines begin that are comments; they are left out.
    """

    def __init__(self, delimiter: str, columns: int, comment: bytes | None = None) -> None:
        self._delimiter = delimiter.encode()
        self._columns = columns
        self._comment = comment
        d = re.escape(self._delimiter)
        self._field = re.compile(rb'"((?:[^"]|"")*+)"([^%b]*+)|([^%b]*+)' % (d, d))
        self._closed = _closed_record(self._delimiter, allow_text_after_quote=True)
        # Text after a closing quote is accepted in a record of one line. In a record of several lines it is a sign that
        # a quote was a mistake.
        self._closed_strictly = _closed_record(self._delimiter, allow_text_after_quote=False)

    def is_closed(self, line: bytes) -> bool:
        """Whether all quoted fields of a line (with its line end) are closed in the same line."""
        return self._closed.fullmatch(line) is not None

    def records(self, lines: list[bytes], *, is_last: bool) -> Iterator[Record | int]:
        """The records in the lines, without blank ones.

        If the last record may continue in the next block, the index of its first line is yielded instead of the record
        (unless ``is_last``: this is the last block).
        """
        index = 0
        while index < len(lines):
            if self._comment and lines[index].startswith(self._comment):
                index += 1
                continue
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
            # The lines are not one valid record, so the quote was a mistake. Continue with the next line.
            return Record(index, lines[index], None)
        return Record(index, text, fields)

    def _length(self, lines: list[bytes], start: int) -> int | None:
        """Number of lines of the record that begins at ``start``; None when a quote is not closed."""
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
        """The fields of a record, split as Arrow does: text after a closing quote belongs to the field."""
        values: list[bytes] = []
        end = -1
        while end < len(record):
            field = self._field.match(record, end + 1)
            assert field is not None  # the pattern matches any text
            quoted, tail, plain = field.groups()
            values.append(plain if quoted is None else quoted.replace(b'""', b'"') + tail)
            end = field.end()
        return values


def _closed_record(delimiter: bytes, *, allow_text_after_quote: bool) -> re.Pattern[bytes]:
    """A pattern for a record, with its line end, in which all quoted fields are closed."""
    d = re.escape(delimiter)
    tail = rb'(?:[^"%b\n][^%b\n]*+)?' % (d, d) if allow_text_after_quote else b""
    field = rb'(?:"(?:[^"]|"")*+"%b|[^"%b\n][^%b\n]*+|)' % (tail, d, d)
    return re.compile(rb"%b(?:%b%b)*+\r?\n" % (field, d, field), re.DOTALL)
