"""Write the windows of several files into L1 together: batches by day across files, each file with its own ledger."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse import retries
from iot_platform.clickhouse.client import server_time
from iot_platform.clickhouse.lock import LockHeldError
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.files.cuts import Part, Stretch, cut_by_day
from iot_platform.readings.files.file_result import FileResult
from iot_platform.readings.files.last_line import LastReading
from iot_platform.readings.group_commit import BatchError, is_lost
from iot_platform.readings.group_writer import GroupWriter, SourceBatch
from iot_platform.readings.ledger import EPOCH, LedgerEntry, Range, end_of, uncommitted_ranges
from iot_platform.readings.prepared_batch import Batch
from iot_platform.readings.source_lease import LOCK_WAIT_S

# How often to look whether another process has released a file.
POLL_S = 0.5
# Inserts at the same time. One uses little more than one core: it makes a part after the other.
SIDE_BY_SIDE = 2
# How long the server's clock is not asked again.
CLOCK_S = 60.0


@dataclass(eq=False)
class FileTarget:
    """A file that is being written. ``error``: why it is not, or not all of it.

    ``position``: the first position of the next window. ``left_over``: ranges without readings; they are written last,
    as the file may have no readings at all.
    """

    description: str
    result: FileResult
    last: LastReading
    position: int = 0
    left_over: list[Range] = field(default_factory=list)
    error: BatchError | None = None

    @property
    def source(self) -> str:
        """The name of the source."""
        return self.result.source


@dataclass(frozen=True, eq=False)
class Window:
    """A window of a file, as ``windows`` yields it."""

    file: FileTarget
    records: int
    readings: pa.Table


class WindowWriter:
    """Writes windows through a group writer, and keeps the order of files: the last one has the newest readings."""

    def __init__(self, client: Client, writer: GroupWriter, batch_rows: int) -> None:
        self._client = client
        self._writer = writer
        self._batch_rows = batch_rows
        self._clock: tuple[dt.datetime, float] | None = None
        self._next_arrival = EPOCH

    def write(self, windows: Sequence[Window], *, are_last: bool = False) -> None:
        """Write what is missing of the windows, of different files; ``are_last``: the files have no others after them.
        Errors are kept in the files.

        While another process writes a file, its window waits until the others are written: nothing is held then, so two
        processes with the same files in another order do not wait for each other. Raises clickhouse_connect's Error
        when the server stays unreachable.
        """
        waiting = list(windows)
        deadline = time.monotonic() + LOCK_WAIT_S
        while waiting:
            sources = {window.file.source: window.file.description for window in waiting}
            try:
                entries, errors = self._writer.hold(sources)
                held = [window for window in waiting if window.file.source in entries]
                self._write(held, entries)
                if are_last:
                    self._finish([window.file for window in held])
            finally:
                self._writer.release(*sources)
            later = [window for window in waiting if isinstance(errors.get(window.file.source), LockHeldError)]
            if len(later) < len(waiting):
                deadline = time.monotonic() + LOCK_WAIT_S
            for window in waiting:
                if window not in later or time.monotonic() > deadline:
                    window.file.error = window.file.error or errors.get(window.file.source)
            waiting = [window for window in later if window.file.error is None]
            if waiting:
                time.sleep(POLL_S)

    def finish(self, files: Sequence[FileTarget]) -> None:
        """Write the ends of files of which all windows were written."""
        self.write([Window(file, 0, READING_SCHEMA.empty_table()) for file in files], are_last=True)

    def _write(self, windows: Sequence[Window], entries: dict[str, list[LedgerEntry]]) -> None:
        starts = [window.file.position for window in windows]
        sent_before: list[Part] = []
        stretches: list[Stretch] = []
        for number, window in enumerate(windows):
            if not window.records:
                continue
            seconds = window.readings["timestamp"].cast(pa.int64()).to_numpy()
            for bounds, was_sent in self._missing(window, entries[window.file.source]):
                first = bounds[0] - starts[number]
                found = seconds[first : bounds[1] - starts[number]]
                if was_sent:
                    sent_before.append((number, bounds))
                elif len(found):
                    stretches.append(Stretch(number, bounds, found))
                else:
                    window.file.left_over.append(bounds)
        for part in sent_before:
            self._insert(windows, starts, [[part]])
        if stretches:
            groups = cut_by_day(stretches, self._batch_rows)
            while together := list(islice(groups, SIDE_BY_SIDE)):
                self._insert(windows, starts, together)

    def _missing(self, window: Window, entries: Sequence[LedgerEntry]) -> list[tuple[Range, bool]]:
        """The ranges of a window that are not written yet; True: an insert has an unknown outcome."""
        file = window.file
        start, stop = file.position, file.position + window.records
        file.position = file.result.rows_read = stop
        known = [entry for entry in entries if entry.position_from < entry.position_to and entry.state != "unloaded"]
        file.result.already_loaded += window.readings.num_rows
        spans = [(start, stop)]
        if file.last.reject:
            # Leave its position open.
            place = start + file.last.place_in(window.readings)
            if uncommitted_ranges(known, place, place + 1) == [((place, place + 1), False)]:
                spans = [(start, place), (place + 1, stop)]
                file.result.already_loaded -= 1
            else:
                file.last.reject, file.result.last_line = None, "accepted"
        return [found for span in spans for found in uncommitted_ranges(known, *span)]

    def _insert(self, windows: Sequence[Window], starts: Sequence[int], groups: Sequence[Sequence[Part]]) -> None:
        """Write each group of parts with one insert; or each part alone, if the server refuses that."""
        batches: list[list[SourceBatch]] = []
        files: list[FileTarget] = []
        for parts in groups:
            batches.append([])
            for number, (first, last) in parts:
                window = windows[number]
                if window.file.error is not None:
                    continue
                readings = window.readings.slice(first - starts[number], last - first)
                batch = Batch(first, last, readings, self._arrival(readings.num_rows))
                batches[-1].append(SourceBatch(window.file.source, batch, window.file.description))
                files.append(window.file)
        if not files:
            return
        self._writer.open(min(item.batch.arrived_at or EPOCH for items in batches for item in items))
        outcomes = [outcome for found in self._writer.write_side_by_side(batches) for outcome in found]
        for file, outcome in zip(files, outcomes, strict=True):
            if isinstance(outcome, int):
                file.result.inserted += outcome
                file.result.already_loaded -= outcome
            elif is_lost(outcome):
                raise outcome
            else:
                file.error = outcome

    def _finish(self, files: Sequence[FileTarget]) -> None:
        """Write the ranges without readings, and the ends, of files of which everything else is written."""
        files = [file for file in files if file.error is None and not file.result.has_no_readings]
        nothing = READING_SCHEMA.empty_table()
        empty = [(file, Batch(*bounds, nothing, self._arrival(0))) for file in files for bounds in file.left_over]
        if empty:
            outcomes = self._writer.write([SourceBatch(file.source, batch, file.description) for file, batch in empty])
            for (file, _), outcome in zip(empty, outcomes, strict=True):
                if not isinstance(outcome, int):
                    file.error = file.error or outcome
        whole = [file for file in files if file.error is None and file.last.reject is None]
        self._writer.record((file.source, end_of(file.position)) for file in whole)

    def _arrival(self, readings: int) -> dt.datetime:
        """The arrival time of a batch: later than those of all readings of the batches before it, of whatever file."""
        if self._clock is None or time.monotonic() - self._clock[1] > CLOCK_S:
            self._clock = retries.with_retries(lambda: server_time(self._client)), time.monotonic()
        now = self._clock[0] + dt.timedelta(seconds=time.monotonic() - self._clock[1])
        arrived_at = max(now, self._next_arrival)
        self._next_arrival = arrived_at + dt.timedelta(microseconds=max(readings, 1))
        return arrived_at
