"""Load files of readings into L1: each row once, even if a load is interrupted or repeated."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from clickhouse_connect.driver.client import Client

from iot_platform.devices.meter_ids import MeterIds
from iot_platform.errors import PlatformError, SourceError
from iot_platform.readings.files.column_mapping import ColumnMapping, FileOptions
from iot_platform.readings.files.columns import Header
from iot_platform.readings.files.file_digest import FileDigest, digest_file
from iot_platform.readings.files.file_group import INSPECTION_SHARE, FileGroup, FileLoad, FileProgress
from iot_platform.readings.files.file_readings import FileReadings, Progress, kept_pieces, read_pieces
from iot_platform.readings.files.file_result import FileResult
from iot_platform.readings.files.input_file import InputFile
from iot_platform.readings.files.inspection import Inspected, Inspection, Surroundings, inspect_file, may_be_usual
from iot_platform.readings.files.last_line import LastReading
from iot_platform.readings.files.meter_zones import MeterZones
from iot_platform.readings.files.older_ids import older_kind
from iot_platform.readings.files.open_file import naming_errors
from iot_platform.readings.files.open_readings import OpenFile, open_readings
from iot_platform.readings.files.raw_rows import RowSource
from iot_platform.readings.files.rejects import RejectReport
from iot_platform.readings.files.usual_use import UsualUse
from iot_platform.readings.files.window_writer import FileTarget, WindowWriter
from iot_platform.readings.group_commit import BatchError
from iot_platform.readings.group_writer import GroupWriter
from iot_platform.readings.ledger import Ledger, entries_of, loaded_to

# Rows are sorted by time within windows of this many rows before they are split into batches. Without that, each batch
# of a file that is sorted by meter would touch every day of every layer, and each touched day costs a part per table.
# The window determines the position of each reading. After a change of the window, change SCHEME too: it is part of the
# names of all sources.
WINDOW_ROWS = 4_000_000
SCHEME = "1"

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
        zones, use = MeterZones(client), UsualUse(client, self._meter_ids)
        self._surroundings = Surroundings(zones.of, use.warnings, lambda: self._meter_ids.leading_zeros)

    def load(
        self,
        file: Path | InputFile,
        progress: Progress = lambda share: None,
        inspected: Inspect = lambda path, inspection: None,
        *,
        dry_run: bool = False,
    ) -> FileResult:
        """Load one file; like ``load_files``, but raises the error of the file."""
        [(_, outcome)] = self.load_files([file], lambda path, share: progress(share), inspected, dry_run=dry_run)
        if isinstance(outcome, FileResult):
            return outcome
        raise outcome

    def load_files(
        self,
        files: Iterable[Path | InputFile],
        progress: FileProgress = lambda path, share: None,
        inspected: Inspect = lambda path, inspection: None,
        *,
        dry_run: bool = False,
    ) -> list[tuple[Path, FileResult | BatchError]]:
        """Load files; returns the result of each, or the error for which it was not loaded, or not completely.

        A file need not exist any more when the next one is asked for.

        Rows that are not readings are reported and skipped. Each file is inspected as a whole before anything of it is
        inserted; ``dry_run`` stops there. A file that cannot be used, or can be read in two ways, is refused
        (SourceError). Small files are inserted together, so that a day of several files is written once. A repeated
        load does not load rows again. Of a file in which not one row is a reading, nothing is recorded. Raises
        clickhouse_connect's Error when the server refuses a query or stays unreachable.
        """
        outcomes: list[tuple[Path, FileLoad | FileResult | BatchError]] = []
        with GroupWriter(self._client) as writer:
            windows = WindowWriter(self._client, writer, self._batch_rows)
            group = FileGroup(windows, self._meter_ids, progress, WINDOW_ROWS)
            for file in map(InputFile.of, files):
                try:
                    outcomes.append((file.shown, self._load(file, group, progress, inspected, dry_run=dry_run)))
                except PlatformError as error:
                    outcomes.append((file.shown, error))
            group.write()
        return [(path, found.outcome() if isinstance(found, FileLoad) else found) for path, found in outcomes]

    def _load(
        self, file: InputFile, group: FileGroup, progress: FileProgress, inspected: Inspect, *, dry_run: bool
    ) -> FileLoad | FileResult:
        """Inspect a file, and write it or add it to those that are written together."""
        started = time.monotonic()
        digest = digest_file(file)
        path = file.shown
        with naming_errors(path):
            opened = _naming(path, lambda: open_readings(file, self._options))
        with closing(opened.source) as source:
            with naming_errors(path):
                header, mapping = self._columns(path, opened)
                name, mapping, found = self._take(digest, header, mapping, progress, is_dry_run=dry_run)
            result = FileResult(file=str(path), source=name, mapping=mapping.describe(), place_name=source.place_name)
            if found:
                result.inspection = found.inspection
                inspected(path, found.inspection)
            if dry_run:
                progress(path, 1.0)
                result.seconds = time.monotonic() - started
                return result
            load = self._file_load(digest, source, mapping, found, result, progress)
            load.seconds = time.monotonic() - started
            if name in group:
                group.write()
            # (A file with the usual conventions was looked up before its inspection.)
            if end := self._loaded_to(name):
                load.report_again(*end)
                progress(path, 1.0)
                return load
            self._check_last_line(path, mapping, found)
            if found and found.kept.fits(mapping) and found.kept.rows < WINDOW_ROWS:
                _check_size(digest)
                load.ids = found.kept.ids()
                group.add(load, found.kept.rows)
            else:
                group.write_alone(load)
                _check_size(digest)
        return load

    def _file_load(
        self,
        digest: FileDigest,
        source: RowSource,
        mapping: ColumnMapping,
        found: Inspected | None,
        result: FileResult,
        progress: FileProgress,
    ) -> FileLoad:
        """A file that is ready to be written."""
        path = digest.file.shown
        if found and found.kept.fits(mapping):
            pieces = kept_pieces(found, mapping, self._meter_ids)
        else:
            rows = source.rows(mapping.columns.names)
            repeated_hours = found.repeated_hours if found else None

            def show(share: float) -> None:
                progress(path, INSPECTION_SHARE + share * (1 - INSPECTION_SHARE))

            pieces = read_pieces(source, rows, mapping, repeated_hours, self._meter_ids, show)
        report = RejectReport(self._rejects(digest), source.place_name)
        target = FileTarget(
            f"{digest.file.name}: {result.mapping}", result, LastReading(self._options.accept_last_line)
        )
        return FileLoad(digest, FileReadings(path, pieces, mapping, report), target)

    def _columns(self, path: Path, opened: OpenFile) -> tuple[Header, ColumnMapping]:
        """What the header says, and the mapping with the usual conventions."""
        options = self._options
        header = _naming(path, lambda: opened.header(options))
        return header, ColumnMapping(
            header.columns, options.timezone or "UTC", options.device_ids, format=opened.source.format.key
        )

    def _take(
        self, digest: FileDigest, header: Header, usual: ColumnMapping, progress: FileProgress, *, is_dry_run: bool
    ) -> tuple[str, ColumnMapping, Inspected | None]:
        """The name of the source of a file, its mapping, and what an inspection has found.

        A file with the usual conventions that was loaded completely need not be inspected again.
        """
        name, mapping = self._source(digest, usual)
        if not is_dry_run and may_be_usual(header, self._options) and (self._loaded_to(name) or (0, 0))[1]:
            # (If not one row was a reading then, this version may read it.)
            return name, mapping, None
        found = self._inspect(digest.file, header, usual, progress)
        name, mapping = self._source(digest, found.mapping)
        return name, mapping, found

    def _source(self, digest: FileDigest, mapping: ColumnMapping) -> tuple[str, ColumnMapping]:
        """The name of the source, and its mapping: as before if an older version has loaded the file, or begun to."""
        if self._meter_ids.is_older_than_the_rule:
            kind = mapping.device_ids
            if kind == "auto":
                with closing(open_readings(digest.file, self._options).source) as source:
                    kind = older_kind(next(source.rows(mapping.columns.names), None), mapping.columns)
            older = replace(mapping, device_ids=kind, by_older_rule=True)
            name = _source_name(digest, older)
            if Ledger(self._client, name).is_known():
                return name, older
        return _source_name(digest, mapping), mapping

    def _loaded_to(self, name: str) -> tuple[int, int] | None:
        """The number of positions and of readings of a source that was loaded completely."""
        return loaded_to(entries_of(self._client, [name])[name])

    def _inspect(self, file: InputFile, header: Header, mapping: ColumnMapping, progress: FileProgress) -> Inspected:
        def show(share: float) -> None:
            progress(file.shown, share * INSPECTION_SHARE)

        return _naming(file.shown, lambda: inspect_file(file, mapping, header, self._options, self._surroundings, show))

    def _check_last_line(self, path: Path, mapping: ColumnMapping, found: Inspected | None) -> None:
        """Refuse a register whose last line may be cut: other intervals than its own may depend on it."""
        is_register = mapping.conventions.is_register
        if is_register and found and found.may_be_cut and not self._options.accept_last_line:
            raise SourceError(
                f"{path}: the last line has no line end, and may be cut off in its value. The energy of a register is "
                "the difference of values, so nothing was loaded. If the line is whole, add --accept-last-line."
            )


def _check_size(digest: FileDigest) -> None:
    if digest.file.path.stat().st_size != digest.size_bytes:
        raise SourceError(
            f"{digest.file.shown}: the file changed while it was read. Load a copy that nothing writes to."
        )


def _naming(path: Path, read: Callable[[], Result]) -> Result:
    """The result of a function; its SourceError names the file."""
    try:
        return read()
    except SourceError as error:
        raise SourceError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from error


def _source_name(digest: FileDigest, mapping: ColumnMapping) -> str:
    options = hashlib.sha256(f"{SCHEME}/{mapping.key()}".encode()).hexdigest()
    return f"file:{digest.sha256[:16]}:{options[:8]}"
