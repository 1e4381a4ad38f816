"""The readings of a file, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from iot_platform.devices.meter_ids import MeterIds
from iot_platform.readings.files.column_mapping import ColumnMapping, to_readings
from iot_platform.readings.files.inspected import Inspected
from iot_platform.readings.files.last_line import LastLine, LastReading, LastRow, last_row
from iot_platform.readings.files.local_times import RepeatedHours
from iot_platform.readings.files.open_file import naming_errors
from iot_platform.readings.files.raw_rows import RawRows, Reject, RowSource
from iot_platform.readings.files.registers import RegisterReader
from iot_platform.readings.files.rejects import RejectReport

Progress = Callable[[float], None]
# Number of rows, readings, rows that are none, and the last row of the file if it is among them.
Piece = tuple[int, pa.Table, list[Reject], LastRow | None]


class FileReadings:
    """Reads the pieces of a file, once. What is not a reading is in ``report``, ``last`` and ``without_interval``.

    ``last_line``: what is known of a last line without a line end, when the piece with the last row was read.
    """

    def __init__(self, path: Path, pieces: Iterator[Piece], mapping: ColumnMapping, report: RejectReport) -> None:
        self.report = report
        self.last_line: LastLine = ""
        self._path = path
        self._pieces = pieces
        self._register = RegisterReader(mapping.conventions.interval_s) if mapping.conventions.is_register else None

    @property
    def without_interval(self) -> int:
        """Number of readings of a register, so far, that end no interval."""
        return self._register.without_interval if self._register else 0

    def pieces(self, last: LastReading) -> Iterator[tuple[int, pa.Table]]:
        """Number of rows and readings of each piece."""
        while True:
            with naming_errors(self._path):
                piece = next(self._pieces, None)
                if piece is None:
                    return
                records, readings, rejects, row = piece
                self.last_line = last.judge(row, readings, rejects)
                if self._register:
                    readings = self._register.intervals(readings)
            self.report.add(rejects)
            yield records, readings


def kept_pieces(found: Inspected, mapping: ColumnMapping, meter_ids: MeterIds) -> Iterator[Piece]:
    """The pieces that the inspection has kept."""
    for records, readings, rejects, is_last in found.kept.pieces(mapping, meter_ids):
        yield records, readings, rejects, found.last_row if is_last else None


def read_pieces(
    source: RowSource,
    rows: Iterator[RawRows],
    mapping: ColumnMapping,
    repeated_hours: RepeatedHours | None,
    meter_ids: MeterIds,
    progress: Progress,
) -> Iterator[Piece]:
    """The pieces of an open file."""
    for piece in rows:
        readings, rejects = to_readings(piece, mapping, meter_ids, repeated_hours)
        progress(source.progress())
        yield piece.records, readings, rejects, last_row(source, mapping.columns.names, piece)
