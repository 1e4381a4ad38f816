"""Find the header of a CSV file: after title lines and comments, and with or without empty columns at its end."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from iot_platform.errors import SourceError
from iot_platform.readings.files.columns import names_a_reading
from iot_platform.readings.files.csv_text import BOM, WINDOWS

DELIMITERS = (",", ";", "\t", "|")
COMMENT = "#"
# The header is one of the first lines.
MOST_LINES = 200
# So many lines after the header show how many columns there are.
LINES_OF_ROWS = 20
_SEPARATOR = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)


@dataclass(frozen=True)
class Line:
    """A line of a text that is not blank: its number, the bytes up to its end, its text, and whether that is UTF-8."""

    number: int
    end: int
    text: str
    is_utf8: bool


@dataclass(frozen=True)
class HeaderHints:
    """What is given of a file: its encoding, and the names of the columns of the time and of the value."""

    encoding: str | None = None
    timestamp: str | None = None
    value: str | None = None


@dataclass(frozen=True)
class CsvHeader:
    """The header of a file: its line, the names of the columns, and the delimiter.

    ``comments``: lines that begin with # are comments, because there is one before the header.
    """

    line: Line
    names: list[str]
    delimiter: str
    comments: bool
    delimiter_from: str


def find_header(start: bytes, where: str, hints: HeaderHints | None, *, is_whole: bool) -> CsvHeader:
    """The header in the first bytes of a file: the first line that names a time and a value, which may be given.

    If none does, it is the first line with as many fields as the lines after it; else the first line of all. Without
    ``hints``, nothing is looked for: the first line is the header. ``is_whole``: these are all bytes of the file.
    Raises SourceError if there is no header.
    """
    lines = list(_lines(start, 1 if hints is None else MOST_LINES, is_whole=is_whole))
    separator = _SEPARATOR.fullmatch(lines[0].text) if lines and hints else None
    candidates = lines[1:] if separator else lines
    if not candidates or "\0" in lines[0].text:
        raise SourceError(f"{where}: no header line; neither a CSV nor a Parquet file.")
    if hints is None and not candidates[0].is_utf8:
        raise SourceError(f"{where}, line {candidates[0].number}: the header is not UTF-8 text.")
    given = separator[1] if separator else None
    index = _index_of_header(candidates, given, hints) if hints else 0
    header, after = candidates[index], candidates[index + 1 :]
    delimiter = given or _delimiter(header.text, hints)
    try:
        names = [name.strip() for name in _split(header.text, delimiter)]
    except csv.Error as error:
        raise SourceError(f"{where}, line {header.number}: the header cannot be read: {error}.") from error
    comments = any(line.text.startswith(COMMENT) for line in candidates[:index])
    rows = [line for line in after if not (comments and line.text.startswith(COMMENT))]
    names = _with_empty_columns(names, rows[:LINES_OF_ROWS], delimiter)
    return CsvHeader(header, names, delimiter, comments, "its line sep=" if given else "the header")


def _lines(start: bytes, most: int, *, is_whole: bool) -> Iterator[Line]:
    """The first lines that are complete and not blank."""
    position = len(BOM) if start.startswith(BOM) else 0
    number = found = 0
    while position < len(start) and found < most:
        stop = start.find(b"\n", position)
        if stop < 0 and not is_whole:
            # Without a complete line, there is no header.
            return
        stop = len(start) if stop < 0 else stop
        number += 1
        line, position = start[position:stop], stop + 1
        if line.strip():
            found += 1
            text, is_utf8 = _decode_line(line)
            yield Line(number, position, text.strip("\r"), is_utf8)


def _decode_line(line: bytes) -> tuple[str, bool]:
    """The text of a line, and whether it is UTF-8. Otherwise it is taken as Windows-1252."""
    try:
        return line.decode(), True
    except UnicodeDecodeError:
        return line.decode(WINDOWS, errors="surrogateescape"), False


def _index_of_header(lines: list[Line], given: str | None, hints: HeaderHints) -> int:
    for index, line in enumerate(lines):
        if _is_header(line.text, given or _delimiter(line.text, hints), hints):
            return index
    rows = [index for index, line in enumerate(lines) if not line.text.startswith(COMMENT)]
    for index, *after in (rows[n : n + 6] for n in range(len(rows))):
        delimiter = given or _delimiter(lines[index].text, None)
        width = len(_names(lines[index].text, delimiter))
        same = sum(len(_names(lines[other].text, delimiter)) == width for other in after)
        if width > 1 and after and same * 2 > len(after):
            return index
    return rows[0] if rows else 0


def _with_empty_columns(names: list[str], rows: list[Line], delimiter: str) -> list[str]:
    """The names with as many empty ones at the end as the rows need.

    Rows or the header may end with delimiters that the other does not have.
    """
    if not rows:
        return names
    fields = [_names(line.text, delimiter) for line in rows]
    [(width, _)] = Counter(len(row) for row in fields).most_common(1)
    named = len(names)
    while named and not names[named - 1]:
        named -= 1
    if width in (len(names), 0) or width < named:
        return names
    if width > len(names) and any(field for row in fields if len(row) == width for field in row[len(names) :]):
        return names
    return names[:named] + [""] * (width - named)


def _delimiter(text: str, hints: HeaderHints | None) -> str:
    """The most frequent delimiter with which a line is a header; if there is none, the most frequent one."""
    found = sorted(DELIMITERS, key=text.count, reverse=True)
    return next((each for each in found if hints and each in text and _is_header(text, each, hints)), found[0])


def _is_header(text: str, delimiter: str, hints: HeaderHints) -> bool:
    return names_a_reading(_names(text, delimiter), hints.timestamp, hints.value)


def _split(text: str, delimiter: str) -> list[str]:
    return next(csv.reader([text], delimiter=delimiter), [])


def _names(text: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in _split(text, delimiter)]
    except csv.Error:
        return []
