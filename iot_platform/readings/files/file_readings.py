"""The readings of a file, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from iot_platform.devices.meter_ids import MeterIds
from iot_platform.readings.files.column_mapping import ColumnMapping, to_readings
from iot_platform.readings.files.last_line import LastLine, LastReading
from iot_platform.readings.files.local_times import RepeatedHours
from iot_platform.readings.files.open_file import naming_errors
from iot_platform.readings.files.raw_rows import RawRows, RowSource
from iot_platform.readings.files.registers import RegisterReader
from iot_platform.readings.files.rejects import RejectReport

Progress = Callable[[float], None]


class FileReadings:
    """Reads the pieces of a file, once. What is not a reading is in ``report``, ``last`` and ``without_interval``.

    ``last_line``: what is known of a last line without a line end, when the piece with the last row was read.
    """

    def __init__(
        self,
        path: Path,
        source: RowSource,
        rows: Iterator[RawRows],
        mapping: ColumnMapping,
        repeated_hours: RepeatedHours | None,
        report: RejectReport,
        last: LastReading,
    ) -> None:
        self.mapping = mapping
        self.report = report
        self.last = last
        self.last_line: LastLine = ""
        self._path = path
        self._source = source
        self._rows = rows
        self._repeated_hours = repeated_hours
        self._register = RegisterReader(mapping.conventions.interval_s)

    @property
    def without_interval(self) -> int:
        """Number of readings of a register, so far, that end no interval."""
        return self._register.without_interval

    def pieces(self, meter_ids: MeterIds, progress: Progress) -> Iterator[tuple[int, pa.Table]]:
        """Number of rows and readings of each piece."""
        while True:
            with naming_errors(self._path):
                piece = next(self._rows, None)
                if piece is None:
                    return
                readings, rejects = to_readings(piece, self.mapping, meter_ids, self._repeated_hours)
                columns = self.mapping.columns.names
                self.last_line = self.last.judge(self._source, columns, piece, readings, rejects)
                if self.mapping.conventions.is_register:
                    readings = self._register.intervals(readings)
            self.report.add(rejects)
            progress(self._source.progress())
            yield piece.records, readings
