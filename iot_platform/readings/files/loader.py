"""Load a file of readings into L1: each row once, even if a load is interrupted or repeated."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from iot_platform.devices.meter_ids import MeterIds
from iot_platform.errors import SourceError
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.files.column_mapping import ColumnMapping, FileOptions, decide_id_kind, to_readings
from iot_platform.readings.files.columns import Header, read_header
from iot_platform.readings.files.file_digest import FileDigest, digest_file
from iot_platform.readings.files.inspection import Inspected, Inspection, inspect_file, may_be_usual
from iot_platform.readings.files.meter_zones import zones_of_meters
from iot_platform.readings.files.open_file import open_row_source
from iot_platform.readings.files.raw_rows import RawRows, Reject, RowSource
from iot_platform.readings.files.registers import RegisterReader
from iot_platform.readings.files.rejects import RejectReport
from iot_platform.readings.prepared_batch import Batch

# Rows are sorted by time within windows of this many rows before they are split into batches. Without that, each batch
# of a file that is sorted by meter would touch every day of every layer, and each touched day costs a part per table.
# The window determines the position of each reading. After a change of the window, change SCHEME too: it is part of the
# names of all sources.
WINDOW_ROWS = 4_000_000
SCHEME = "1"

Progress = Callable[[float], None]
# Called with the path and what a file is taken for, before anything is inserted.
Inspect = Callable[[Path, Inspection], None]


@dataclass
class FileResult:
    """The result of loading one file.

    ``rows_read`` = ``inserted`` + ``already_loaded`` + all ``rejected`` + ``without_interval`` (readings of a register
    that end no interval, such as the first). ``inspection``: None if the file was loaded before.
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
    place_name: str = "row"
    was_complete: bool = False
    seconds: float = 0.0
    without_interval: int = 0
    inspection: Inspection | None = None


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
        """
        started = time.monotonic()
        digest = digest_file(path)
        with closing(open_row_source(path)) as source:
            header, mapping, rows = self._mapping(path, source)
            found: Inspected | None = None
            if dry_run or not self._was_loaded(digest, header, mapping):
                found = self._inspect(path, header, mapping)
                mapping = found.mapping
                inspected(path, found.inspection)
            result = FileResult(
                file=str(path),
                source=_source_name(digest, mapping),
                mapping=mapping.describe(),
                place_name=source.place_name,
                inspection=found.inspection if found else None,
            )
            if not dry_run:
                self._insert(digest, source, rows, mapping, found, result, progress)
        if path.stat().st_size != digest.size_bytes:
            raise SourceError(f"{path}: the file changed while it was read. Load a copy that nothing writes to.")
        result.seconds = time.monotonic() - started
        return result

    def _insert(
        self,
        digest: FileDigest,
        source: RowSource,
        rows: Iterator[RawRows],
        mapping: ColumnMapping,
        found: Inspected | None,
        result: FileResult,
        progress: Progress,
    ) -> None:
        """Insert what is missing of a file, and complete its result."""
        writer = BatchWriter(self._client, result.source, f"{digest.path.name}: {result.mapping}")
        report = RejectReport(self._rejects(digest), source.place_name)
        with writer.exclusive(), closing(report):
            end = writer.end()
            if end is not None and not writer.uncommitted_ranges(0, end):
                result.rows_read = end
                result.already_loaded = writer.committed_readings(0, end)
                result.was_complete = True
            else:
                register = RegisterReader(mapping.conventions.interval_s)
                parsed = self._parsed(rows, mapping, found, register, report, source, progress)
                self._write(writer, parsed, result)
                result.without_interval = register.without_interval
        result.rejected = dict(report.counts)
        result.first_rejects = report.first
        result.rejects_file = str(report.path) if report.counts else None

    def _mapping(self, path: Path, source: RowSource) -> tuple[Header, ColumnMapping, Iterator[RawRows]]:
        """What the header and the first rows say."""
        options = self._options
        try:
            header = read_header(
                source.column_names,
                timestamp=options.timestamp_column,
                device=options.device_column,
                value=options.value_column,
                unit=options.unit,
                override_unit=options.override_unit,
            )
        except SourceError as error:
            raise SourceError(f"{path}: {error}") from error
        rows = source.rows(header.columns.names)
        first = next(rows, None)
        kind = decide_id_kind(first, header.columns, options, str(path))
        mapping = ColumnMapping(header.columns, options.timezone or "UTC", kind)
        return header, mapping, chain([first] if first else [], rows)

    def _was_loaded(self, digest: FileDigest, header: Header, mapping: ColumnMapping) -> bool:
        """Whether a file with the usual conventions was loaded completely: then it need not be inspected again."""
        if not may_be_usual(header, self._options):
            return False
        writer = BatchWriter(self._client, _source_name(digest, mapping))
        end = writer.end()
        return end is not None and not writer.uncommitted_ranges(0, end)

    def _inspect(self, path: Path, header: Header, mapping: ColumnMapping) -> Inspected:
        try:
            return inspect_file(
                lambda: open_row_source(path),
                mapping,
                header,
                self._options,
                lambda names: zones_of_meters(self._client, names),
            )
        except SourceError as error:
            raise SourceError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from error

    def _parsed(
        self,
        rows: Iterator[RawRows],
        mapping: ColumnMapping,
        found: Inspected | None,
        register: RegisterReader,
        report: RejectReport,
        source: RowSource,
        progress: Progress,
    ) -> Iterator[tuple[int, pa.Table]]:
        """Number of rows and readings of each piece of the file."""
        for piece in rows:
            readings, rejects = to_readings(piece, mapping, self._meter_ids, found.repeated_hours if found else None)
            if mapping.conventions.is_register:
                readings = register.intervals(readings)
            report.add(rejects)
            progress(source.progress())
            yield piece.records, readings

    def _write(self, writer: BatchWriter, parsed: Iterator[tuple[int, pa.Table]], result: FileResult) -> None:
        position = 0
        for records, readings in windows(parsed, WINDOW_ROWS):
            for start, stop in writer.ranges_to_write(position, position + records, self._batch_rows):
                batch = Batch(start, stop, readings.slice(start - position, stop - start))
                result.inserted += writer.write(batch)
            result.already_loaded += readings.num_rows
            position += records
        result.already_loaded -= result.inserted
        result.rows_read = position
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
