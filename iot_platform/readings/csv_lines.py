"""Parse readings from a stream of CSV lines, such as standard input."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pyarrow as pa

from iot_platform.errors import SourceError
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.files.column_mapping import FileOptions, to_named_readings
from iot_platform.readings.files.csv_rows import CsvRowSource
from iot_platform.readings.files.open_readings import OpenFile
from iot_platform.readings.files.raw_rows import Reject
from iot_platform.readings.named_readings import METER_ID
from iot_platform.readings.stream_options import (
    DigitsCheck,
    MidnightCheck,
    check_stream_options,
    open_lines,
    stream_mapping,
)

PIECE_BYTES = 4 << 20
LONGEST_LINE_BYTES = 1 << 20

_NOTHING = READING_SCHEMA.append(pa.field(METER_ID, pa.null())).empty_table()


class LineParser:
    """Parses lines that belong to one CSV header. Each line is one reading.

    Quoted fields must not contain line ends. The readings have the column ``meter_id`` (named_readings.py): ClickHouse
    assigns the numbers of names, and a stream is accepted while it is unreachable.
    """

    def __init__(self, header: bytes, where: str, options: FileOptions | None = None) -> None:
        """``header``: the first line. ``options``: see stream_options.py; times without a zone are UTC by default.

        Raises SourceError when the header does not name each column of a reading once, or needs other options.
        """
        options = options or FileOptions()
        check_stream_options(options)
        self._header = header.rstrip(b"\r\n") + b"\n"
        self._where = Path(where)
        self._options = options
        opened = self._open(b"")
        self._mapping = stream_mapping(opened.header(options), options, where)
        self._midnights = MidnightCheck(self._mapping) if opened.joined else None
        self._digits = None if options.timestamp_format else DigitsCheck()

    def parse(self, lines: bytes, first: int = 0) -> tuple[pa.Table, list[Reject]]:
        """The readings in whole lines, and the lines that are not readings (place 1 is the first line).

        ``first``: the position of the stream before these lines. Raises SourceError for ids in scientific notation, and
        for times that may be dates or epoch numbers.
        """

        def where(place: int) -> str:
            return f"{self._where}, position {first + place - 1} (no line after position {first} was accepted)"

        tables, rejects = [_NOTHING], []
        for rows in self._open(lines).source.rows(self._mapping.columns.names):
            if self._digits:
                self._digits.add(rows.columns[self._mapping.columns.timestamp])
            if self._midnights:
                self._midnights.add(rows, first, where)
            readings, bad = to_named_readings(rows, self._mapping, where)
            tables.append(readings)
            # The header counts as line 1.
            rejects += [Reject(reject.place - 1, reject.reason, reject.text) for reject in bad]
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks(), rejects

    def _open(self, lines: bytes) -> OpenFile:
        content = self._header + lines
        source = CsvRowSource(self._where, BytesIO(content), lambda: 0, len(content))
        return open_lines(source, self._options)


def read_whole_lines(descriptor: int, where: str, wait_s: float) -> Iterator[bytes]:
    """Whole lines from a file descriptor, as soon as they arrive; b"" after each ``wait_s`` seconds without data.

    Raises SourceError when the last line has no line end: a sender that was killed may have written half a number.
    """
    kept = b""
    while True:
        ready, _, _ = select.select([descriptor], [], [], wait_s)
        if not ready:
            yield b""
            continue
        piece = os.read(descriptor, PIECE_BYTES)
        if not piece:
            break
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield kept + piece[:cut]
            kept = piece[cut:]
        else:
            kept += piece
        if len(kept) > LONGEST_LINE_BYTES:
            raise SourceError(f"{where}: a line is longer than {LONGEST_LINE_BYTES >> 20} MB: not CSV.")
    if kept:
        raise SourceError(
            f"{where}: the last line, {kept[:80]!r}, has no line end and may be incomplete. It was not accepted; all "
            "lines before it were. Send it again with a line end."
        )
