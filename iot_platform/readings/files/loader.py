"""Load a file of readings into L1: each row once, even if a load is interrupted or repeated."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.devices.meter_ids import MeterIds
from iot_platform.errors import SourceError
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.files.column_mapping import ColumnMapping, FileOptions
from iot_platform.readings.files.columns import Header
from iot_platform.readings.files.file_digest import FileDigest, digest_file
from iot_platform.readings.files.file_readings import FileReadings, Progress
from iot_platform.readings.files.file_result import FileResult
from iot_platform.readings.files.inspection import Inspected, Inspection, inspect_file, may_be_usual
from iot_platform.readings.files.last_line import LastReading
from iot_platform.readings.files.meter_zones import zones_of_meters
from iot_platform.readings.files.older_ids import older_kind
from iot_platform.readings.files.open_file import naming_errors
from iot_platform.readings.files.open_readings import OpenFile, open_readings
from iot_platform.readings.files.raw_rows import RawRows
from iot_platform.readings.files.rejects import RejectReport
from iot_platform.readings.files.windows import windows
from iot_platform.readings.ledger import Ledger
from iot_platform.readings.prepared_batch import Batch

# Rows are sorted by time within windows of this many rows before they are split into batches. Without that, each batch
# of a file that is sorted by meter would touch every day of every layer, and each touched day costs a part per table.
# The window determines the position of each reading. After a change of the window, change SCHEME too: it is part of the
# names of all sources.
WINDOW_ROWS = 4_000_000
SCHEME = "1"
# Rows that were not readings when the file was loaded, and that this version of the platform could read.
REJECTED_BEFORE = "rejected_when_it_was_loaded"

Result = TypeVar("Result")
# Called with the path and what a file is taken for, before anything is inserted.
Inspect = Callable[[Path, Inspection], None]


class FileLoader:
    """Loads files through one client. ``rejects`` returns the path of a file's reject report."""

    def __init__(
        self, client: Client, options: FileOptions, *, batch_rows: int, rejects: Callable[[FileDigest], Path]
    ) -> None:
        self._client = client
        self._options = options
        self._batch_rows = batch_rows
        self._rejects = rejects
        self._meter_ids = MeterIds(client)

    def load(
        self,
        path: Path,
        progress: Progress = lambda share: None,
        inspected: Inspect = lambda path, inspection: None,
        *,
        dry_run: bool = False,
    ) -> FileResult:
        """Load one file. Rows that are not readings are reported and skipped.

        The whole file is inspected first; ``dry_run`` stops there. Raises SourceError when the file cannot be used, or
        can be read in two ways. Rows before a damaged place stay loaded, and a repeated load does not load them again.
        Of a file in which not one row is a reading, nothing is recorded.
        """
        started = time.monotonic()
        digest = digest_file(path)
        with naming_errors(path):
            opened = _naming(path, lambda: open_readings(path, self._options))
        with closing(opened.source) as source:
            with naming_errors(path):
                header, mapping, first, rows = self._columns(path, opened)
                name, mapping, found = self._take(digest, header, mapping, first, is_dry_run=dry_run)
            result = FileResult(file=str(path), source=name, mapping=mapping.describe(), place_name=source.place_name)
            if found:
                result.inspection = found.inspection
                inspected(path, found.inspection)
            if not dry_run:
                report = RejectReport(self._rejects(digest), source.place_name)
                last = LastReading(self._options.accept_last_line)
                repeated_hours = found.repeated_hours if found else None
                readings = FileReadings(path, source, rows, mapping, repeated_hours, report, last)
                self._insert(path, readings, found, result, progress)
        if path.stat().st_size != digest.size_bytes:
            raise SourceError(f"{path}: the file changed while it was read. Load a copy that nothing writes to.")
        result.seconds = time.monotonic() - started
        return result

    def _columns(self, path: Path, opened: OpenFile) -> tuple[Header, ColumnMapping, RawRows | None, Iterator[RawRows]]:
        """What the header says, the mapping with the usual conventions, the first rows, and all rows."""
        options = self._options
        header = _naming(path, lambda: opened.header(options))
        rows = opened.source.rows(header.columns.names)
        first = _naming(path, lambda: next(rows, None))
        mapping = ColumnMapping(header.columns, options.timezone or "UTC", options.device_ids)
        return header, mapping, first, chain([first] if first else [], rows)

    def _take(
        self, digest: FileDigest, header: Header, usual: ColumnMapping, first: RawRows | None, *, is_dry_run: bool
    ) -> tuple[str, ColumnMapping, Inspected | None]:
        """The name of the source of a file, its mapping, and what an inspection has found.

        A file with the usual conventions that was loaded completely need not be inspected again.
        """
        name, mapping = self._source(digest, usual, first)
        if not is_dry_run and may_be_usual(header, self._options) and self._was_loaded(name):
            return name, mapping, None
        found = self._inspect(digest.path, header, usual)
        name, mapping = self._source(digest, found.mapping, first)
        return name, mapping, found

    def _source(self, digest: FileDigest, mapping: ColumnMapping, first: RawRows | None) -> tuple[str, ColumnMapping]:
        """The name of the source, and its mapping: as before if an older version has loaded the file, or begun to."""
        if self._meter_ids.is_older_than_the_rule:
            kind = older_kind(first, mapping.columns) if mapping.device_ids == "auto" else mapping.device_ids
            older = replace(mapping, device_ids=kind, by_older_rule=True)
            name = _source_name(digest, older)
            if Ledger(self._client, name).is_known():
                return name, older
        return _source_name(digest, mapping), mapping

    def _was_loaded(self, name: str) -> bool:
        """Whether a source was loaded completely. (If not one row was a reading then, this version may read it.)"""
        writer = BatchWriter(self._client, name)
        end = writer.end()
        return end is not None and not writer.uncommitted_ranges(0, end) and writer.committed_readings(0, end) > 0

    def _inspect(self, path: Path, header: Header, mapping: ColumnMapping) -> Inspected:
        def zones_of(names: Sequence[str]) -> dict[str, str]:
            return zones_of_meters(self._client, names)

        return _naming(path, lambda: inspect_file(path, mapping, header, self._options, zones_of))

    def _insert(
        self, path: Path, readings: FileReadings, found: Inspected | None, result: FileResult, progress: Progress
    ) -> None:
        """Insert what is missing of a file, and complete its result."""
        writer = BatchWriter(self._client, result.source, f"{path.name}: {result.mapping}")
        pieces = readings.pieces(self._meter_ids, progress)
        report = readings.report
        with writer.exclusive(), closing(report):
            end = writer.end()
            if end is not None and not writer.uncommitted_ranges(0, end):
                result.rows_read, result.was_complete = end, True
                result.already_loaded = writer.committed_readings(0, end)
                if end > result.already_loaded:
                    _report_again(pieces, readings, result)
            else:
                self._check_last_line(path, readings, found)
                self._write(writer, windows(pieces, WINDOW_ROWS), readings, result)
                if readings.last.reject:
                    report.add([readings.last.reject])
        result.notes = self._meter_ids.notes()
        result.rejected = dict(report.counts)
        result.first_rejects = report.first
        result.rejects_file = str(report.path) if report.counts else None

    def _check_last_line(self, path: Path, readings: FileReadings, found: Inspected | None) -> None:
        """Refuse a register whose last line may be cut: other intervals than its own may depend on it."""
        is_register = readings.mapping.conventions.is_register
        if is_register and found and found.may_be_cut and not self._options.accept_last_line:
            raise SourceError(
                f"{path}: the last line has no line end, and may be cut off in its value. The energy of a register is "
                "the difference of values, so nothing was loaded. If the line is whole, add --accept-last-line."
            )

    def _write(
        self, writer: BatchWriter, found: Iterator[tuple[int, pa.Table]], readings: FileReadings, result: FileResult
    ) -> None:
        """Write the windows of a file. Batches without a reading come last, as the file may have none at all."""
        position, last = 0, readings.last
        empty: list[Batch] = []
        for records, window in found:
            result.last_line = readings.last_line
            spans = [(position, position + records)]
            if last.reject:
                # Leave its position open.
                place = position + last.place_in(window)
                if writer.uncommitted_ranges(place, place + 1) == [(place, place + 1)]:
                    spans = [(position, place), (place + 1, position + records)]
                    result.already_loaded -= 1
                else:
                    last.reject, result.last_line = None, "accepted"
            for span in spans:
                for start, stop in writer.ranges_to_write(*span, self._batch_rows):
                    batch = Batch(start, stop, window.slice(start - position, stop - start))
                    if batch.readings.num_rows:
                        result.inserted += writer.write(batch)
                    else:
                        empty.append(batch)
            result.already_loaded += window.num_rows
            position += records
        result.already_loaded -= result.inserted
        result.rows_read = position
        result.without_interval = readings.without_interval
        if result.has_no_readings:
            return
        for batch in empty:
            writer.write(batch)
        if last.reject is None:
            writer.record_end(position)


def _report_again(pieces: Iterator[tuple[int, pa.Table]], readings: FileReadings, result: FileResult) -> None:
    """Report the bad rows of a file that was loaded completely."""
    for _ in pieces:
        pass
    # Its last line was accepted, or it would not be complete.
    result.last_line = "accepted" if readings.last_line == "held back" else readings.last_line
    result.without_interval = readings.without_interval
    rejected = result.rows_read - result.already_loaded - result.without_interval
    if rejected > readings.report.counts.total():
        readings.report.counts[REJECTED_BEFORE] = rejected - readings.report.counts.total()


def _naming(path: Path, read: Callable[[], Result]) -> Result:
    """The result of a function; its SourceError names the file."""
    try:
        return read()
    except SourceError as error:
        raise SourceError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from error


def _source_name(digest: FileDigest, mapping: ColumnMapping) -> str:
    options = hashlib.sha256(f"{SCHEME}/{mapping.key()}".encode()).hexdigest()
    return f"file:{digest.sha256[:16]}:{options[:8]}"
