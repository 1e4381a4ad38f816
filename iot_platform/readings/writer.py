"""The one way into L1: each batch of a source arrives exactly once, whatever is repeated, killed or run twice."""

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
from iot_platform.readings.arrivals import with_arrival_times
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.delivery import deliver, deliver_missing
from iot_platform.readings.ledger import EPOCH, Entry, Ledger, Range, cut, open_ranges

_L1_COLUMNS = (
    f"SELECT name FROM system.columns WHERE database = currentDatabase() AND table = '{RAW_TABLE}' "
    "AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') AND name != 'ingested_at' AND name IN {names:Array(String)}"
)


@dataclass(frozen=True)
class Batch:
    """Readings that cover a half-open range of a source's positions.

    Columns: those of READING_SCHEMA, and any that L1 has besides them (all others are dropped).

    Positions are whole numbers that the source can always give again with the same readings: rows of a file, epoch
    seconds of a stream. A range may hold fewer readings than positions, also none. ``arrived_at``: when the platform
    accepted the readings; None: when they are first sent.
    """

    position_from: int
    position_to: int
    readings: pa.Table
    arrived_at: dt.datetime | None = None

    @property
    def range(self) -> Range:
        return self.position_from, self.position_to


class Writer:
    """Writes the batches of one source through one client; not for use by several threads.

    ``source`` names the content for good: it must contain a hash of everything that decides which readings a range
    holds (bytes of a file, seed and settings of a simulator). The same name with other content would lose readings,
    because the server takes them for a retry.
    """

    def __init__(self, client: Client, source: str, description: str = "") -> None:
        if not source:
            raise ValueError("A source needs a name.")
        self._client = client
        self._source = source
        self._ledger = Ledger(client, source, description)
        self._exclusive_depth = 0

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other processes from writing this source. Hold it from ``gaps`` to the last ``write``.

        ``write`` takes it by itself when it is not held. Raises PlatformError when another process keeps it.
        """
        if self._exclusive_depth:
            self._exclusive_depth += 1
            try:
                yield
            finally:
                self._exclusive_depth -= 1
            return
        with server_lock(self._client, f"source_{_digest(self._source)[:16]}"):
            self._exclusive_depth = 1
            try:
                yield
            finally:
                self._exclusive_depth = 0

    def gaps(self, position_from: int, position_to: int) -> list[Range]:
        """Ranges that are not committed yet, in order.

        A range whose insert had no answer comes back with exactly its old bounds, also where they exceed the asked
        range: write it as one batch.
        """
        return [gap for gap, _ in self._open_ranges(position_from, position_to)]

    def cuts(self, position_from: int, position_to: int, size: int) -> list[Range]:
        """``gaps``, cut into ranges of at most ``size`` positions that can be written one by one."""
        return list(cut(self._open_ranges(position_from, position_to), size))

    def readings(self, position_from: int, position_to: int) -> int:
        """Number of readings in L1 from the committed batches that overlap a range."""
        entries = self._ledger.entries(position_from, position_to)
        return sum(entry.readings for entry in entries if entry.state == "committed")

    def end(self) -> int | None:
        """Number of positions of a finite source; None until ``finish`` was called once."""
        return self._ledger.end()

    def finish(self, end: int) -> None:
        """Remember that the source has no positions from ``end`` on."""
        self._ledger.record_end(end)

    def write(self, batch: Batch) -> int:
        """Insert a batch into L1 as one block; returns the number of readings, 0 if it was committed before.

        A batch that was sent before, with an unknown outcome, is compared with L1 and only what is missing is inserted.
        Raises ValueError for a range that cuts through one already written, SourceError when the source gives other
        readings than at the first attempt, and clickhouse_connect's Error when the server refuses or stays away; the
        range is then open for the next run.
        """
        if batch.position_from >= batch.position_to:
            raise ValueError(f"Batch of {self._source}: empty range {batch.range}.")
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

    def _send(self, readings: pa.Table, entry: Entry, now: dt.datetime, *, was_sent: bool) -> None:
        rows = with_arrival_times(self._insertable(readings), entry.ingested_at)
        if was_sent:
            retries.with_retries(lambda: deliver_missing(self._client, rows, entry.token))
        else:
            retries.with_retries(lambda: self._ledger.record(replace(entry, state="sending")))
            deliver(self._client, rows, entry.token, now)

    def _insertable(self, readings: pa.Table) -> pa.Table:
        """The columns of a reading, and what L1 has of the others (a migration may have added some)."""
        rows = readings.select(READING_SCHEMA.names).cast(READING_SCHEMA)
        others = [name for name in readings.column_names if name not in READING_SCHEMA.names]
        if others:
            known = retries.with_retries(lambda: self._client.query(_L1_COLUMNS, parameters={"names": others}))
            for name in sorted(str(row[0]) for row in known.result_rows):
                rows = rows.append_column(name, readings[name])
        return rows

    def _open_ranges(self, position_from: int, position_to: int) -> list[tuple[Range, bool]]:
        return open_ranges(self._ledger.entries(position_from, position_to), position_from, position_to)

    def _entry(self, batch: Batch, ingested_at: dt.datetime) -> Entry:
        token = f"{self._source}/{batch.position_from}-{batch.position_to}"
        first, last = _time_range(batch.readings)
        return Entry(
            position_from=batch.position_from,
            position_to=batch.position_to,
            state="committed",
            token=token,
            readings=batch.readings.num_rows,
            total_kWh=_finite_sum(batch.readings["power_usage_kWh"]),
            first_timestamp=first,
            last_timestamp=last,
            ingested_at=ingested_at,
        )

    def _same_range(self, batch: Batch, before: list[Entry]) -> Entry:
        if len(before) > 1 or before[0].range != batch.range:
            raise ValueError(
                f"Batch {batch.range} of {self._source} cuts through ranges already written: "
                f"{[entry.range for entry in before]}. Ask gaps() or cuts() and write just what they return."
            )
        return before[0]

    def _check_same_content(self, known: Entry, entry: Entry) -> None:
        same_sum = math.isclose(known.total_kWh, entry.total_kWh, rel_tol=1e-9, abs_tol=1e-9)
        if known.readings != entry.readings or not same_sum:
            raise SourceError(
                f"Source {self._source}, positions {entry.range}: first sent with {known.readings} readings "
                f"({known.total_kWh} kWh), now {entry.readings} ({entry.total_kWh} kWh). Nothing was written: a source "
                "must always give the same readings for a range. Give changed content another source name."
            )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _finite_sum(values: pa.ChunkedArray[Any]) -> float:
    return float(pc.sum(values.filter(pc.is_finite(values))).as_py() or 0.0)


def _time_range(readings: pa.Table) -> tuple[dt.datetime, dt.datetime]:
    if not readings.num_rows:
        return EPOCH, EPOCH
    times = readings["timestamp"].cast(pa.timestamp("s", "UTC"))
    bounds: Any = pc.min_max(times)
    return bounds["min"].as_py(), bounds["max"].as_py()
