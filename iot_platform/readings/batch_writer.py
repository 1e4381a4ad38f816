"""Write batches of readings into L1, each exactly once, even if processes are killed, repeated or run twice.

All readings reach L1 through this module.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse import retries
from iot_platform.clickhouse.client import server_time
from iot_platform.clickhouse.lock import server_lock
from iot_platform.errors import SourceError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.readings.arrival_times import with_arrival_times
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.exactly_once import insert_missing, insert_once
from iot_platform.readings.ledger import EPOCH, Ledger, LedgerEntry, Range, split_ranges, uncommitted_ranges

_L1_COLUMNS = (
    f"SELECT name FROM system.columns WHERE database = currentDatabase() AND table = '{RAW_TABLE}' "
    "AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') AND name != 'ingested_at' AND name IN {names:Array(String)}"
)


@dataclass(frozen=True)
class Batch:
    """Readings that cover a half-open range of a source's positions.

    Columns: those of READING_SCHEMA and further columns of L1. Columns that L1 does not have are dropped.

    Positions are whole numbers, such as row numbers of a file or epoch seconds of a stream. The source must always
    return the same readings for the same range. A range may contain fewer readings than positions, or none.
    ``arrived_at``: when the platform accepted the readings; None: use the time at which they are first sent.
    """

    position_from: int
    position_to: int
    readings: pa.Table
    arrived_at: dt.datetime | None = None

    @property
    def range(self) -> Range:
        """The half-open range of positions."""
        return self.position_from, self.position_to


class BatchWriter:
    """Writes the batches of one source through one client. Not thread-safe.

    ``source`` identifies the content: it must contain a hash of everything that determines which readings a range
    contains (the bytes of a file; the seed and settings of a simulator). If the content changed under the same name,
    readings would be lost, because the server would take them for a retry.
    """

    def __init__(self, client: Client, source: str, description: str = "") -> None:
        if not source:
            raise ValueError("A source needs a name.")
        self._client = client
        self._source = source
        self._ledger = Ledger(client, source, description)
        self._is_exclusive = False

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Lock the source, so that no other process writes it. Use it from ``ranges_to_write`` to the last ``write``.

        ``write`` locks the source itself unless this writer has locked it. Raises PlatformError when another process
        keeps the lock for too long.
        """
        if self._is_exclusive:
            yield
            return
        with server_lock(self._client, f"source_{_digest(self._source)[:16]}"):
            self._is_exclusive = True
            try:
                yield
            finally:
                self._is_exclusive = False

    def uncommitted_ranges(self, position_from: int, position_to: int) -> list[Range]:
        """Ranges that are not committed yet, in order.

        A range whose insert got no response is returned with its old bounds, even if they exceed the given range. Write
        it as one batch.
        """
        return [uncommitted for uncommitted, _ in self._uncommitted(position_from, position_to)]

    def ranges_to_write(self, position_from: int, position_to: int, size: int) -> list[Range]:
        """``uncommitted_ranges``, split into ranges of at most ``size`` positions. Write each as one batch."""
        return list(split_ranges(self._uncommitted(position_from, position_to), size))

    def committed_readings(self, position_from: int, position_to: int) -> int:
        """Number of readings in the committed batches that overlap a range."""
        entries = self._ledger.entries(position_from, position_to)
        return sum(entry.readings for entry in entries if entry.state == "committed")

    def end(self) -> int | None:
        """Number of positions of a finite source; None until ``record_end`` has been called."""
        return self._ledger.end()

    def record_end(self, end: int) -> None:
        """Store that the source has no positions from ``end`` on."""
        self._ledger.record_end(end)

    def write(self, batch: Batch) -> int:
        """Insert a batch into L1 as one block; returns its number of readings, or 0 if it was committed before.

        If an earlier attempt has an unknown outcome, the batch is compared with L1 and only missing rows are inserted.
        Raises ValueError if the range overlaps a written range without being equal to it, SourceError if the source
        returns other readings than at the first attempt, and clickhouse_connect's Error if the server refuses the
        insert or stays unreachable; then the range stays uncommitted and the next run writes it.
        """
        if batch.position_from >= batch.position_to:
            raise ValueError(f"Batch of {self._source}: the range {batch.range} is empty.")
        with self.exclusive():
            before = retries.with_retries(lambda: self._ledger.entries(*batch.range))
            known = self._same_range(batch, before) if before else None
            if known and known.state == "committed":
                return 0
            now = retries.with_retries(lambda: server_time(self._client))
            entry = self._entry(batch, known.ingested_at if known else batch.arrived_at or now)
            if known:
                self._check_same_content(known, entry)
            if batch.readings.num_rows:
                self._send(batch.readings, entry, now, was_sent=known is not None)
            retries.with_retries(lambda: self._ledger.record(entry))
        return entry.readings

    def _send(self, readings: pa.Table, entry: LedgerEntry, now: dt.datetime, *, was_sent: bool) -> None:
        rows = with_arrival_times(self._insertable(readings), entry.ingested_at)
        if was_sent:
            retries.with_retries(lambda: insert_missing(self._client, rows, entry.token))
        else:
            retries.with_retries(lambda: self._ledger.record(replace(entry, state="sending")))
            insert_once(self._client, rows, entry.token, now)

    def _insertable(self, readings: pa.Table) -> pa.Table:
        """The columns of a reading, and those further columns that L1 has (migrations may have added some)."""
        rows = readings.select(READING_SCHEMA.names).cast(READING_SCHEMA)
        others = [name for name in readings.column_names if name not in READING_SCHEMA.names]
        if others:
            known = retries.with_retries(lambda: self._client.query(_L1_COLUMNS, parameters={"names": others}))
            for name in sorted(str(row[0]) for row in known.result_rows):
                rows = rows.append_column(name, readings[name])
        return rows

    def _uncommitted(self, position_from: int, position_to: int) -> list[tuple[Range, bool]]:
        return uncommitted_ranges(self._ledger.entries(position_from, position_to), position_from, position_to)

    def _entry(self, batch: Batch, ingested_at: dt.datetime) -> LedgerEntry:
        token = f"{self._source}/{batch.position_from}-{batch.position_to}"
        first, last = _time_range(batch.readings)
        return LedgerEntry(
            position_from=batch.position_from,
            position_to=batch.position_to,
            state="committed",
            token=token,
            readings=batch.readings.num_rows,
            total_kWh=sum_finite(batch.readings["power_usage_kWh"]),
            first_timestamp=first,
            last_timestamp=last,
            ingested_at=ingested_at,
        )

    def _same_range(self, batch: Batch, before: list[LedgerEntry]) -> LedgerEntry:
        if len(before) > 1 or before[0].range != batch.range:
            raise ValueError(
                f"Batch {batch.range} of {self._source} overlaps ranges already written: "
                f"{[entry.range for entry in before]}. Write only the ranges that ranges_to_write() returns."
            )
        return before[0]

    def _check_same_content(self, known: LedgerEntry, entry: LedgerEntry) -> None:
        same_sum = math.isclose(known.total_kWh, entry.total_kWh, rel_tol=1e-9, abs_tol=1e-9)
        if known.readings != entry.readings or not same_sum:
            raise SourceError(
                f"Source {self._source}, positions {entry.range}: first sent with {known.readings} readings "
                f"({known.total_kWh} kWh), now {entry.readings} ({entry.total_kWh} kWh). Nothing was written: a source "
                "must always return the same readings for a range. Use another source name for changed content."
            )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sum_finite(values: pa.ChunkedArray[Any]) -> float:
    """The sum of the values that are neither NaN nor infinite."""
    return float(pc.sum(values.filter(pc.is_finite(values))).as_py() or 0.0)


def _time_range(readings: pa.Table) -> tuple[dt.datetime, dt.datetime]:
    if not readings.num_rows:
        return EPOCH, EPOCH
    times = readings["timestamp"].cast(pa.timestamp("s", "UTC"))
    bounds: Any = pc.min_max(times)
    return bounds["min"].as_py(), bounds["max"].as_py()
