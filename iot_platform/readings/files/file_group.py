"""Files that are written together: their windows are cut into batches by day across files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from iot_platform.devices.meter_ids import MeterIds
from iot_platform.errors import PlatformError
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.files.file_digest import FileDigest
from iot_platform.readings.files.file_readings import FileReadings
from iot_platform.readings.files.file_result import FileResult
from iot_platform.readings.files.raw_rows import Column
from iot_platform.readings.files.window_writer import FileTarget, Window, WindowWriter
from iot_platform.readings.files.windows import windows
from iot_platform.readings.group_commit import BatchError

# Each file has a lease, and in the ledger an entry for each batch.
MOST_FILES = 250

# Rows that were not readings when the file was loaded, and that this version of the platform could read.
REJECTED_BEFORE = "rejected_when_it_was_loaded"

# Called with the path of a file and the share of it that is done, from 0 to 1.
FileProgress = Callable[[Path, float], None]
# A file is inspected first, and written after that.
INSPECTION_SHARE = 0.6


@dataclass(eq=False)
class FileLoad:
    """One file on its way into L1. ``ids``: those of its readings, if they are known; ``seconds``: time used so far."""

    digest: FileDigest
    readings: FileReadings
    target: FileTarget
    ids: list[Column] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def path(self) -> Path:
        """The path of the file, for messages."""
        return self.digest.file.shown

    @property
    def result(self) -> FileResult:
        """What became of the file so far."""
        return self.target.result

    def windows(self, size: int) -> Iterator[Window]:
        """The windows of the file, to be written one after the other."""
        for records, table in windows(self.readings.pieces(self.target.last), size):
            self.result.last_line = self.readings.last_line
            self.result.without_interval = self.readings.without_interval
            yield Window(self.target, records, table)

    def complete(self) -> None:
        """Complete the result when everything was written."""
        report, result = self.readings.report, self.result
        if self.target.last.reject and self.target.error is None:
            report.add([self.target.last.reject])
        report.close()
        result.rejected = dict(report.counts)
        result.first_rejects = report.first
        result.rejects_file = str(report.path) if report.counts else None
        result.seconds = self.seconds

    def report_again(self, end: int, already_loaded: int) -> None:
        """Report the bad rows of a file that was loaded completely: its number of rows, and of readings."""
        result, readings = self.result, self.readings
        result.rows_read, result.already_loaded, result.was_complete = end, already_loaded, True
        if end > already_loaded:
            for _ in readings.pieces(self.target.last):
                pass
            # Its last line was accepted, or it would not be complete.
            self.target.last.reject = None
            result.last_line = "accepted" if readings.last_line == "held back" else readings.last_line
            result.without_interval = readings.without_interval
            rejected = end - already_loaded - result.without_interval
            if rejected > readings.report.counts.total():
                readings.report.counts[REJECTED_BEFORE] = rejected - readings.report.counts.total()
        self.complete()

    def outcome(self) -> FileResult | BatchError:
        """The result, or the error for which it is not complete."""
        return self.target.error or self.result


class FileGroup:
    """Collects files that were inspected, and writes them together. ``size``: rows of a window, and of all files."""

    def __init__(self, writer: WindowWriter, meter_ids: MeterIds, progress: FileProgress, size: int) -> None:
        self._writer = writer
        self._meter_ids = meter_ids
        self._progress = progress
        self._size = size
        self._loads: list[FileLoad] = []
        self._rows = 0

    def __contains__(self, source: str) -> bool:
        """Whether a file of this content waits to be written."""
        return any(load.target.source == source for load in self._loads)

    def add(self, load: FileLoad, rows: int) -> None:
        """Add a file of one window; writes the others first if they are too many together."""
        if self._rows + rows > self._size or len(self._loads) == MOST_FILES:
            self.write()
        self._loads.append(load)
        self._rows += rows

    def write(self) -> None:
        """Write the files that wait. Errors are kept in their targets."""
        loads, self._loads, self._rows = self._loads, [], 0
        if not loads:
            return
        started = time.monotonic()
        self._register([load for load in loads if load.ids])
        found: list[Window] = []
        for load in loads:
            try:
                found.append(next(load.windows(self._size), Window(load.target, 0, READING_SCHEMA.empty_table())))
            except PlatformError as error:
                load.target.error = error
            load.result.notes = self._meter_ids.notes()
        self._writer.write(found, are_last=True)
        seconds = time.monotonic() - started
        rows = sum(window.records for window in found) or 1
        for load in loads:
            load.seconds += seconds * load.target.position / rows
            load.complete()
            self._progress(load.path, 1.0)

    def write_alone(self, load: FileLoad) -> None:
        """Write a file of any size, window by window, after those that wait."""
        self.write()
        started = time.monotonic()
        try:
            for window in load.windows(self._size):
                self._writer.write([window])
            self._writer.finish([load.target])
        except PlatformError as error:
            load.target.error = load.target.error or error
        load.result.notes = self._meter_ids.notes()
        load.seconds += time.monotonic() - started
        load.complete()
        self._progress(load.path, 1.0)

    def _register(self, loads: list[FileLoad]) -> None:
        """Register the meters of all files at once, in the order of the files."""
        ids = [part for load in loads for part in load.ids]
        try:
            self._meter_ids.device_ids(pa.concat_arrays(ids))
        except (PlatformError, pa.ArrowException):
            # Each file tells of its own meters.
            return
        finally:
            self._meter_ids.notes()
