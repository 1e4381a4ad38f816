"""Batches of readings, and what is decided of a batch before it is sent: its arrival time, its entry, its rows."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse import retries
from iot_platform.errors import SourceError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.readings.arrival_times import INGESTED_AT, with_arrival_times
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.ledger import EPOCH, LedgerEntry, Range
from iot_platform.readings.source_lease import SourceLease

# Columns of L1 that the writer fills: when a reading arrived, and from where.
WRITER_COLUMNS = (INGESTED_AT, "source", "position_from", "position_to")

_L1_COLUMNS = (
    f"SELECT name FROM system.columns WHERE database = currentDatabase() AND table = '{RAW_TABLE}' "
    "AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') AND name IN {names:Array(String)}"
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


@dataclass(frozen=True, eq=False)
class PreparedBatch:
    """A batch ready to be sent: its entry of the ledger, and its rows as L1 has them, in the order of L1's key.

    ``was_sent``: an earlier insert of it has an unknown outcome.
    """

    lease: SourceLease
    entry: LedgerEntry
    rows: pa.Table
    was_sent: bool

    @property
    def source(self) -> str:
        """The name of the source."""
        return self.lease.source


def prepare(client: Client, lease: SourceLease, batch: Batch) -> PreparedBatch | None:
    """Prepare a batch; None if it was committed before (and perhaps unloaded since, if it is of a stream).

    Raises ValueError if the range is empty or overlaps a written range without being equal to it, and SourceError if
    the source returns other readings than at the first attempt.
    """
    if batch.position_from >= batch.position_to:
        raise ValueError(f"Batch of {lease.source}: the range {batch.range} is empty.")
    if lease.doubtful:
        lease.resolve()
    known = None if lease.is_new(batch.range) else _known(lease, batch)
    if known and known.state != "sending":
        return None
    arrived_at = known.ingested_at if known else batch.arrived_at or lease.arrival(batch.readings.num_rows)
    entry = _entry(lease, batch, arrived_at)
    if known and known.readings:
        _check_same_content(lease.source, known, entry)
    rows = with_arrival_times(_insertable(client, batch.readings), arrived_at)
    return PreparedBatch(lease, entry, _with_source(rows, lease.source, batch.range), was_sent=known is not None)


def sum_finite(values: pa.ChunkedArray[Any]) -> float:
    """The sum of the values that are neither NaN nor infinite."""
    return float(pc.sum(values.filter(pc.is_finite(values))).as_py() or 0.0)


def _known(lease: SourceLease, batch: Batch) -> LedgerEntry | None:
    before = retries.with_retries(lambda: lease.ledger.entries(*batch.range))
    if not before:
        return None
    if len(before) > 1 or before[0].range != batch.range:
        raise ValueError(
            f"Batch {batch.range} of {lease.source} overlaps ranges already written: "
            f"{[entry.range for entry in before]}. Write only the ranges that ranges_to_write() returns."
        )
    return before[0]


def _insertable(client: Client, readings: pa.Table) -> pa.Table:
    """The columns of a reading, and those further columns that L1 has (migrations may have added some)."""
    rows = readings.select(READING_SCHEMA.names).cast(READING_SCHEMA)
    others = [name for name in readings.column_names if name not in (*READING_SCHEMA.names, *WRITER_COLUMNS)]
    if others:
        known = retries.with_retries(lambda: client.query(_L1_COLUMNS, parameters={"names": others}))
        for name in sorted(str(row[0]) for row in known.result_rows):
            rows = rows.append_column(name, readings[name])
    return rows


def _with_source(rows: pa.Table, source: str, bounds: Range) -> pa.Table:
    count = rows.num_rows
    name = pa.DictionaryArray.from_arrays(np.zeros(count, np.int16), pa.array([source]))
    rows = rows.append_column("source", name)
    for column, position in zip(("position_from", "position_to"), bounds, strict=True):
        rows = rows.append_column(column, pa.array(np.full(count, position, np.int64)))
    return rows


def _entry(lease: SourceLease, batch: Batch, arrived_at: dt.datetime) -> LedgerEntry:
    first, last = _time_range(batch.readings)
    return LedgerEntry(
        position_from=batch.position_from,
        position_to=batch.position_to,
        state="committed",
        token=lease.ledger.token(batch.range),
        readings=batch.readings.num_rows,
        total_kWh=sum_finite(batch.readings["power_usage_kWh"]),
        first_timestamp=first,
        last_timestamp=last,
        ingested_at=arrived_at,
    )


def _check_same_content(source: str, known: LedgerEntry, entry: LedgerEntry) -> None:
    same_sum = math.isclose(known.total_kWh, entry.total_kWh, rel_tol=1e-9, abs_tol=1e-9)
    if known.readings != entry.readings or not same_sum:
        raise SourceError(
            f"Source {source}, positions {entry.range}: first sent with {known.readings} readings "
            f"({known.total_kWh} kWh), now {entry.readings} ({entry.total_kWh} kWh). Nothing was written: a source "
            "must always return the same readings for a range. Use another source name for changed content."
        )


def _time_range(readings: pa.Table) -> tuple[dt.datetime, dt.datetime]:
    if not readings.num_rows:
        return EPOCH, EPOCH
    times = readings["timestamp"].cast(pa.timestamp("s", "UTC"))
    bounds: Any = pc.min_max(times)
    return bounds["min"].as_py(), bounds["max"].as_py()
