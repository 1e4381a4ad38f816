"""Read the rows of a CSV of device metadata in pieces, with the line in which each row begins.

Spreadsheets write it in many ways: with semicolons, tabs or bars, with a line ``sep=;`` before the header, with another
case of the names, in UTF-16 or in Windows-1252 (in which Latin-1 is contained).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

import pandas as pd

from iot_platform.devices.sources.source import NOTHING_CHANGED
from iot_platform.devices.violations import Violation, Violations
from iot_platform.errors import SourceError

PIECE_ROWS = 50_000
DELIMITERS = (",", ";", "\t", "|")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
WINDOWS = "cp1252"
# A row with more characters has a quote that is never closed, or it is not a CSV.
LONGEST_ROW = 1 << 20


def csv_encoding(content: bytes, where: str) -> str:
    """UTF-8 or UTF-16, and what is neither is Windows-1252. Raises SourceError if it is none of them."""
    if content.startswith(_UTF16):
        return "utf-16"
    if _is_text(content, "utf-8-sig"):
        return "utf-8-sig"
    if b"\0" not in content and _is_text(content, WINDOWS):
        return WINDOWS
    raise SourceError(f"{where}, line {_undecodable_line(content)}: not UTF-8 text. {NOTHING_CHANGED}")


def csv_pieces(
    content: bytes, encoding: str, columns: list[str], required: list[str], where: str, violations: Violations
) -> Iterator[pd.DataFrame]:
    """The columns that the CSV has, as text, in frames of at most PIECE_ROWS rows; the index has the line numbers.

    Rows of wrong length are added to ``violations``. Raises SourceError if it is not text in ``encoding`` or lacks a
    required column. The message quotes nothing of a file that is not a CSV of devices: it may be any file of the
    machine.
    """
    lines = _Lines(content, encoding, where)
    try:
        reader, header = _header(lines, required)
        _require(required, header, where)
        wanted = [name for name in columns if name in header]
        positions = [header.index(name) for name in wanted]
        for numbers, rows in _pieces(reader, lines, len(header), violations):
            values = ([row[position] for row in rows] for position in positions)
            data = {name: pd.Series(column, dtype=str) for name, column in zip(wanted, values, strict=True)}
            yield pd.DataFrame(data).set_index(pd.Index(numbers, name="line", dtype="int64"))
    except UnicodeDecodeError:
        raise SourceError(f"{where}: not text in {encoding}. {NOTHING_CHANGED}") from None


def _header(lines: _Lines, required: list[str]) -> tuple[Iterator[list[str]], list[str]]:
    """A reader of the rows after the header, and the header. Its delimiter gives most of the required columns."""
    first = next(lines, "")
    if re.fullmatch(r"sep=.\s*", first, re.IGNORECASE):
        lines.end_row()
        first = next(lines, "")
    found: dict[str, list[str]] = {}
    for delimiter in DELIMITERS:
        try:
            names = next(csv.reader([first], delimiter=delimiter), [])
        except csv.Error:
            continue
        found[delimiter] = [re.sub(r"[\s-]+", "_", name.strip().casefold()) for name in names]
    if not found:
        return iter(()), []
    best = max(found, key=lambda delimiter: len(set(found[delimiter]) & set(required)))
    return csv.reader(lines, delimiter=best), found[best]


def _is_text(content: bytes, encoding: str) -> bool:
    text = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    try:
        while text.read(LONGEST_ROW):
            pass
    except UnicodeDecodeError:
        return False
    return True


class _Lines:
    """The lines of a text for csv.reader, with a limit for the length of a row: csv.reader has none."""

    def __init__(self, content: bytes, encoding: str, where: str) -> None:
        self._text = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
        self._where = where
        self._row_length = 0
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_ROW + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._row_length += len(line)
        if self._row_length > LONGEST_ROW:
            raise SourceError(
                f"{self._where}, line {self.number}: a row of more than {LONGEST_ROW:,} characters. It is not a CSV "
                f"of devices, or a quote is never closed. {NOTHING_CHANGED}"
            )
        return line

    def end_row(self) -> None:
        self._row_length = 0


def _require(required: list[str], header: list[str], where: str) -> None:
    missing = [name for name in required if name not in header]
    if missing:
        found = ", ".join(name for name in header if name in required) or "none of them"
        others = sum(name not in required for name in header)
        raise SourceError(
            f"{where}: the first line has no column {', '.join(map(repr, missing))}. It must have "
            f"{', '.join(required)}; found: {found}, and {others:,} others. {NOTHING_CHANGED}"
        )


def _pieces(
    reader: Iterator[list[str]], lines: _Lines, width: int, violations: Violations
) -> Iterator[tuple[list[int], list[list[str]]]]:
    numbers: list[int] = []
    rows: list[list[str]] = []
    line = lines.number + 1
    lines.end_row()
    try:
        for row in reader:
            lines.end_row()
            if len(row) == width:
                numbers.append(line)
                rows.append(row)
            elif row:
                violations.add([Violation(line, "row", f"{len(row)} columns instead of {width}")])
            line = lines.number + 1
            if len(rows) == PIECE_ROWS:
                yield numbers, rows
                numbers, rows = [], []
    except csv.Error as error:
        violations.add([Violation(line, "row", str(error))])
    yield numbers, rows


def _undecodable_line(content: bytes) -> int:
    for number, line in enumerate(io.BytesIO(content), 1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            return number
    raise AssertionError("Every line is UTF-8 text.")
