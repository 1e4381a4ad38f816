"""Load a file of readings into L1: each row once, even if a load is interrupted or repeated."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from iot_platform.devices.meter_ids import MeterIds
from iot_platform.errors import SourceError
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.files.column_mapping import ColumnMapping, FileOptions, to_readings
from iot_platform.readings.files.columns import choose_columns
from iot_platform.readings.files.file_digest import FileDigest, digest_file
from iot_platform.readings.files.last_line import LastLine, LastReading
from iot_platform.readings.files.older_ids import older_kind
from iot_platform.readings.files.open_file import naming_errors, open_row_source
from iot_platform.readings.files.raw_rows import RawRows, Reject, RowSource
from iot_platform.readings.files.rejects import RejectReport
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

Progress = Callable[[float], None]


@dataclass
class FileResult:
    """The result of loading one file. ``rows_read`` = ``inserted`` + ``already_loaded`` + all ``rejected``.

    ``last_line``: of a file whose last line has no line end. "held back": it may be cut, and is one of ``rejected``; it
    is loaded when the file is loaded again with ``accept_last_line``.
    """

    file: str
    source: str
    mapping: str
    rows_read: int = 0
    inserted: int = 0
    already_loaded: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    rejects_file: str | None = None
    first_rejects: list[Reject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    place_name: str = "row"
    was_complete: bool = False
    seconds: float = 0.0
    last_line: LastLine = ""

    @property
    def has_no_readings(self) -> bool:
        """Whether the file has rows, and not one of them is a reading."""
        return bool(self.rows_read) and not self.inserted + self.already_loaded


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

    def load(self, path: Path, progress: Progress = lambda share: None) -> FileResult:
        """Load one file. Rows that are not readings are reported and skipped.

        Raises SourceError when the file cannot be used. Rows before a damaged place stay loaded, and a repeated load
        does not load them again. Of a file in which not one row is a reading, nothing is recorded.
        """
        started = time.monotonic()
        digest = digest_file(path)
        with naming_errors(path):
            opened = open_row_source(path)
        with closing(opened) as source:
            with naming_errors(path):
                mapping, first, rows = self._mapping(path, source)
                name, mapping = self._source(digest, mapping, first)
            result = FileResult(file=str(path), source=name, mapping=mapping.describe(), place_name=source.place_name)
            writer = BatchWriter(self._client, name, f"{path.name}: {mapping.describe()}")
            report = RejectReport(self._rejects(digest), source.place_name)
            with writer.exclusive(), closing(report):
                end = writer.end()
                last = LastReading(self._options.accept_last_line)
                parsed = self._parsed(rows, mapping, report, source, progress, result, last)
                if end is not None and not writer.uncommitted_ranges(0, end):
                    result.rows_read = end
                    result.already_loaded = writer.committed_readings(0, end)
                    result.was_complete = True
                    if end > result.already_loaded:
                        # Report its bad rows again.
                        for _ in parsed:
                            pass
                        more = end - result.already_loaded - report.counts.total()
                        if more > 0:
                            report.counts[REJECTED_BEFORE] = more
                else:
                    self._write(writer, parsed, result, last)
                    if last.reject:
                        report.add([last.reject])
            result.notes = self._meter_ids.notes()
            result.rejected = dict(report.counts)
            result.first_rejects = report.first
            result.rejects_file = str(report.path) if report.counts else None
        if path.stat().st_size != digest.size_bytes:
            raise SourceError(f"{path}: the file changed while it was read. Load a copy that nothing writes to.")
        result.seconds = time.monotonic() - started
        return result

    def _mapping(self, path: Path, source: RowSource) -> tuple[ColumnMapping, RawRows | None, Iterator[RawRows]]:
        """The mapping of a file, its first rows, and all of its rows."""
        options = self._options
        try:
            columns = choose_columns(
                source.column_names,
                timestamp=options.timestamp_column,
                device=options.device_column,
                value=options.value_column,
                unit=options.unit,
            )
        except SourceError as error:
            raise SourceError(f"{path}: {error}") from error
        rows = source.rows(columns.names)
        first = next(rows, None)
        mapping = ColumnMapping(columns, options.timezone, options.device_ids)
        return mapping, first, chain([first] if first else [], rows)

    def _source(self, digest: FileDigest, mapping: ColumnMapping, first: RawRows | None) -> tuple[str, ColumnMapping]:
        """The name of the source, and its mapping: as before if an older version has loaded the file, or begun to."""
        if self._meter_ids.is_older_than_the_rule:
            kind = older_kind(first, mapping.columns) if mapping.device_ids == "auto" else mapping.device_ids
            older = replace(mapping, device_ids=kind, by_older_rule=True)
            name = _source_name(digest, older)
            if Ledger(self._client, name).is_known():
                return name, older
        return _source_name(digest, mapping), mapping

    def _parsed(
        self,
        rows: Iterator[RawRows],
        mapping: ColumnMapping,
        report: RejectReport,
        source: RowSource,
        progress: Progress,
        result: FileResult,
        last: LastReading,
    ) -> Iterator[tuple[int, pa.Table]]:
        """Number of rows and readings of each piece of the file. Sets ``last`` before the piece with the last row."""
        while True:
            with naming_errors(result.file):
                piece = next(rows, None)
                if piece is None:
                    return
                readings, rejects = to_readings(
                    piece, mapping, self._meter_ids, lambda place: f"{result.file}, {source.place_name} {place}"
                )
            report.add(rejects)
            progress(source.progress())
            result.last_line = last.judge(source, mapping.columns.names, piece, readings, rejects)
            yield piece.records, readings

    def _write(
        self, writer: BatchWriter, parsed: Iterator[tuple[int, pa.Table]], result: FileResult, last: LastReading
    ) -> None:
        position = 0
        empty: list[Batch] = []
        for records, readings in windows(parsed, WINDOW_ROWS):
            spans = [(position, position + records)]
            if last.reject:
                # Leave its position open.
                place = position + last.place_in(readings)
                if writer.uncommitted_ranges(place, place + 1) == [(place, place + 1)]:
                    spans = [(position, place), (place + 1, position + records)]
                    result.already_loaded -= 1
                else:
                    last.reject, result.last_line = None, "accepted"
            for span in spans:
                for start, stop in writer.ranges_to_write(*span, self._batch_rows):
                    batch = Batch(start, stop, readings.slice(start - position, stop - start))
                    if batch.readings.num_rows:
                        result.inserted += writer.write(batch)
                    else:
                        empty.append(batch)
            result.already_loaded += readings.num_rows
            position += records
        result.already_loaded -= result.inserted
        result.rows_read = position
        if result.has_no_readings:
            return
        for batch in empty:
            writer.write(batch)
        if last.reject is None:
            writer.record_end(position)


def windows(parsed: Iterator[tuple[int, pa.Table]], size: int) -> Iterator[tuple[int, pa.Table]]:
    """Join the pieces of a file into windows: number of rows, and readings sorted by time.

    A window ends with the piece that brings it to ``size`` rows or more. Only the file's content decides where pieces
    end, so the windows are the same in each load. The positions of a window after its last reading stand for its
    rejected rows.
    """
    tables: list[pa.Table] = []
    records = 0
    for count, table in parsed:
        tables.append(table)
        records += count
        if records >= size:
            yield records, _sorted(tables)
            tables, records = [], 0
    if records:
        yield records, _sorted(tables)


def _sorted(tables: list[pa.Table]) -> pa.Table:
    table = pa.concat_tables(tables).combine_chunks() if tables else READING_SCHEMA.empty_table()
    tables.clear()
    times = table["timestamp"].cast(pa.int64())
    if table.num_rows < 2 or pc.all(pc.less_equal(times[:-1], times[1:])).as_py():
        return table
    # A stable sort keeps readings of the same time in the order of the file, so positions are the same in each load.
    return table.take(pc.sort_indices(times))


def _source_name(digest: FileDigest, mapping: ColumnMapping) -> str:
    options = hashlib.sha256(f"{SCHEME}/{mapping.key()}".encode()).hexdigest()
    return f"file:{digest.sha256[:16]}:{options[:8]}"
