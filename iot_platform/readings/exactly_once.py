"""Insert batches into L1 exactly once: insert, retry, and compare with L1 after a crash."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse import retries
from iot_platform.clickhouse.blocks import insert_block
from iot_platform.clickhouse.write_pause import wait_while_paused
from iot_platform.errors import SourceError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.readings.arrival_times import INGESTED_AT, missing_rows, unknown_rows
from iot_platform.readings.contract import READING_SCHEMA
from iot_platform.readings.prepared_batch import PreparedBatch
from iot_platform.readings.takeover import wait_for_running_inserts

# The server reports its uptime in whole seconds.
CLOCK_TOLERANCE_S = 2


def insert_once(
    client: Client, rows: pa.Table, token: str, sent_at: dt.datetime, after_restart: Callable[[], None]
) -> None:
    """Insert rows that were never sent before; ``sent_at``: the server's current time.

    An attempt without a response is repeated with the same deduplication token: the server drops the second insert if
    the first one succeeded. This cannot be relied on after a restart of ClickHouse: then ``after_restart`` is called
    instead. Raises clickhouse_connect's Error when the server refuses the insert or stays unreachable.
    """
    attempted = False

    def attempt() -> None:
        nonlocal attempted
        wait_while_paused(client)
        if attempted and _started_at(client) > sent_at - dt.timedelta(seconds=CLOCK_TOLERANCE_S):
            after_restart()
            return
        attempted = True
        insert_block(client, RAW_TABLE, rows, token=token)

    retries.with_retries(attempt)


def insert_missing(client: Client, batch: PreparedBatch) -> int:
    """Insert those readings of a batch with an unknown outcome that L1 lacks; returns how many.

    Waits until an earlier insert of this batch alone has ended. For an insert of several batches, whose token begins
    with the writer's name, the callers wait. It uses a new token. The later layers may lack rows that L1 has. That is
    repaired by the next proof: L1's rows are newer than the last proof of their days, so these days are unverified
    already. Raises SourceError if L1 has readings of this range that the batch does not have.
    """
    token = batch.entry.token
    wait_for_running_inserts(client, token)
    present = _present(client, batch)
    if unknown := unknown_rows(batch.rows, present.filter(pc.field("is_own") == 1)):
        raise SourceError(
            f"Source {batch.source}, positions {batch.entry.range}: L1 has {unknown:,} readings of this range that are "
            f"not among the {batch.rows.num_rows:,} that the source returns now. Nothing was written: a source must "
            "always return the same readings for a range. Use another source name for changed content."
        )
    missing = missing_rows(batch.rows, present)
    if missing.num_rows:
        wait_while_paused(client)
        insert_block(client, RAW_TABLE, missing, token=f"{token}/{uuid4().hex}")
    return missing.num_rows


def _started_at(client: Client) -> dt.datetime:
    started: dt.datetime = client.query("SELECT now('UTC') - toIntervalSecond(uptime())").result_rows[0][0]
    return started.replace(tzinfo=dt.UTC)


def _present(client: Client, batch: PreparedBatch) -> pa.Table:
    """The rows of L1 that may be of a batch, by arrival time: those of its range, and those without a source within its
    timestamps, as older versions sent none. (L1 has a min-max index of both times.)"""
    rows = batch.rows
    seconds: Any = pc.min_max(rows["timestamp"].cast(pa.int64()))
    arrivals: Any = pc.min_max(rows[INGESTED_AT].cast(pa.int64()))
    columns = ", ".join([*READING_SCHEMA.names, INGESTED_AT])
    found: pa.Table = client.query_arrow(
        f"SELECT {columns}, toUInt8(source != '') AS is_own FROM {RAW_TABLE} "
        f"WHERE {INGESTED_AT} BETWEEN fromUnixTimestamp64Micro({{first_arrival:Int64}}, 'UTC') "
        f"AND fromUnixTimestamp64Micro({{last_arrival:Int64}}, 'UTC') "
        "AND ((source = {source:String} AND position_from = {from:Int64} AND position_to = {to:Int64}) "
        "OR (source = '' AND toUnixTimestamp(timestamp) BETWEEN {first:UInt32} AND {last:UInt32}))",
        parameters={
            "first": seconds["min"].as_py(),
            "last": seconds["max"].as_py(),
            "first_arrival": arrivals["min"].as_py(),
            "last_arrival": arrivals["max"].as_py(),
            "source": batch.source,
            "from": batch.entry.position_from,
            "to": batch.entry.position_to,
        },
    )
    times = found["timestamp"]
    if pa.types.is_integer(times.type):
        times = times.cast(pa.int64()).cast(pa.timestamp("s", "UTC"))
    return found.set_column(found.column_names.index("timestamp"), "timestamp", times.cast(pa.timestamp("s", "UTC")))
