"""Insert one batch into L1 exactly once: insert, retry, and compare with L1 after a crash."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse import retries
from iot_platform.clickhouse.blocks import insert_block
from iot_platform.clickhouse.write_pause import wait_while_paused
from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.readings.arrival_times import INGESTED_AT, missing_rows
from iot_platform.readings.contract import READING_SCHEMA

# The server reports its uptime in whole seconds.
CLOCK_TOLERANCE_S = 2
RUNNING_INSERT_WAIT_S = 600.0


def insert_once(client: Client, readings: pa.Table, token: str, sent_at: dt.datetime) -> None:
    """Insert readings (with their arrival times) that were never sent before; ``sent_at``: the server's current time.

    An attempt without a response is repeated with the same deduplication token: the server drops the second insert if
    the first one succeeded. This cannot be relied on after a restart of ClickHouse: then the readings are compared with
    L1 and only missing ones are inserted. Raises clickhouse_connect's Error when the server refuses the insert or
    stays unreachable.
    """
    attempted = False

    def attempt() -> None:
        nonlocal attempted
        wait_while_paused(client)
        if attempted and _started_at(client) > sent_at - dt.timedelta(seconds=CLOCK_TOLERANCE_S):
            insert_missing(client, readings, token)
            return
        attempted = True
        insert_block(client, RAW_TABLE, readings, token=token)

    retries.with_retries(attempt)


def insert_missing(client: Client, readings: pa.Table, token: str) -> int:
    """Insert those readings of an earlier insert with an unknown outcome that L1 lacks; returns how many.

    Waits until an earlier insert with the same token has ended, and uses a new token. The later layers may lack rows
    that L1 has. That is repaired by the next proof: L1's rows are newer than the last proof of their days, so these
    days are unverified already.
    """
    _wait_for_running_insert(client, token)
    missing = missing_rows(readings, _present(client, readings))
    if missing.num_rows:
        wait_while_paused(client)
        insert_block(client, RAW_TABLE, missing, token=f"{token}/{uuid4().hex}")
    return missing.num_rows


def _started_at(client: Client) -> dt.datetime:
    started: dt.datetime = client.query("SELECT now('UTC') - toIntervalSecond(uptime())").result_rows[0][0]
    return started.replace(tzinfo=dt.UTC)


def _present(client: Client, readings: pa.Table) -> pa.Table:
    """The rows of L1 within a batch's arrival times and timestamps. (L1 has a min-max index of both.)"""
    seconds: Any = pc.min_max(readings["timestamp"].cast(pa.int64()))
    arrivals: Any = pc.min_max(readings[INGESTED_AT].cast(pa.int64()))
    columns = ", ".join([*READING_SCHEMA.names, INGESTED_AT])
    found: pa.Table = client.query_arrow(
        f"SELECT {columns} FROM {RAW_TABLE} "
        f"WHERE {INGESTED_AT} BETWEEN fromUnixTimestamp64Micro({{first_arrival:Int64}}, 'UTC') "
        f"AND fromUnixTimestamp64Micro({{last_arrival:Int64}}, 'UTC') "
        "AND timestamp BETWEEN toDateTime({first:UInt32}, 'UTC') AND toDateTime({last:UInt32}, 'UTC')",
        parameters={
            "first": seconds["min"].as_py(),
            "last": seconds["max"].as_py(),
            "first_arrival": arrivals["min"].as_py(),
            "last_arrival": arrivals["max"].as_py(),
        },
    )
    times = found["timestamp"]
    if pa.types.is_integer(times.type):
        times = times.cast(pa.int64()).cast(pa.timestamp("s", "UTC"))
    return found.set_column(found.column_names.index("timestamp"), "timestamp", times.cast(pa.timestamp("s", "UTC")))


def _wait_for_running_insert(client: Client, token: str) -> None:
    deadline = time.monotonic() + RUNNING_INSERT_WAIT_S
    idle_checks = 0
    # Two checks without such an insert: the server may not have started the request of a killed writer at the first.
    while idle_checks < 2:
        rows = client.query(
            "SELECT count() FROM system.processes WHERE query_kind = 'Insert' "
            "AND startsWith(Settings['insert_deduplication_token'], {token:String})",
            parameters={"token": token},
        ).result_rows
        idle_checks = 0 if rows[0][0] else idle_checks + 1
        if time.monotonic() > deadline:
            raise PlatformError(
                f"An earlier insert of batch {token} is still running after {RUNNING_INSERT_WAIT_S:.0f} s. Nothing was "
                "inserted. Look for it in system.processes; once it is gone, the next attempt delivers the batch."
            )
        time.sleep(0.1)
