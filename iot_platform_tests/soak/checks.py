"""Compare the layers with the model, and look for what crashes may have left behind."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.lock import is_alive
from iot_platform.layers.catalog import L2, L3, MARTS, QUARANTINE, RAW_TABLE
from iot_platform_tests.soak.model import Expected, Reading

SHOWN = 8


def mismatches(client: Client, expected: Expected) -> Iterator[str]:
    """Each difference between the layers and the model, in words."""
    l1 = _readings(client, RAW_TABLE)
    yield from _difference(client, RAW_TABLE, l1, expected.l1, expected)
    yield from _difference(client, L2.table, _readings(client, L2.table), expected.l2, expected)
    yield from _difference(client, QUARANTINE.table, _readings(client, QUARANTINE.table), expected.quarantine, expected)
    for layer in (L2, L3, *MARTS):
        final = " FINAL" if layer.needs_final else ""
        # As text: a Decimal column would come as one, but not with all its digits in every format.
        row = client.query(f"SELECT toString({layer.kWh_sql}) FROM {layer.table}{final}").result_rows[0]
        kWh = Decimal(row[0])
        if kWh != expected.kWh:
            yield f"{layer.name}: {kWh} kWh instead of {expected.kWh}"


def leftovers(client: Client, outbox: Path) -> Iterator[str]:
    """Tables of the platform's own that no live process holds, and batches that nobody delivers."""
    rows = client.query(
        "SELECT name, comment FROM system.tables WHERE database = currentDatabase() "
        "AND (startsWith(name, 'staging_') OR startsWith(name, 'lock_'))"
    ).result_rows
    for name, comment in rows:
        if not is_alive(str(comment)):
            yield f"table {name} was left behind on {socket.gethostname()}: {comment}"
    for path in sorted(outbox.glob("*.batch")):
        yield f"batch {path.name} is still in the outbox"
    for path in sorted(outbox.glob("*.open")):
        if path.stat().st_size:
            yield f"{path.name} in the outbox has {path.stat().st_size} bytes"


def wrong_status(output: str) -> Iterator[str]:
    """What ``status --json`` complains about."""
    status = json.loads(output)
    for name in ("proved", "conserved"):
        if status[name] is not True:
            yield f"status: not {name}: {output.strip()}"


def wrong_proofs(output: str) -> Iterator[str]:
    """What ``prove --json`` has still found to do."""
    for proof in json.loads(output)["proofs"]:
        yield f"prove again looked at {proof['layer']} {proof['partition']}: {proof['difference'] or 'equal'}"


def _readings(client: Client, table: str) -> Counter[Reading]:
    columns = client.query(
        f"SELECT toUnixTimestamp(timestamp), device_id, power_usage_kWh, count() FROM {table} GROUP BY ALL",
        column_oriented=True,
    ).result_columns
    if not columns:
        return Counter()
    return Counter({Reading(*key): count for *key, count in zip(*columns, strict=True)})


def _difference(
    client: Client, table: str, found: Counter[Reading], wanted: Counter[Reading], expected: Expected
) -> Iterator[str]:
    for label, rows in (("missing", wanted - found), ("too many", found - wanted)):
        if not rows:
            continue
        yield f"{table}: {rows.total():,} of {wanted.total():,} readings {label}"
        for reading in sorted(rows)[:SHOWN]:
            positions = expected.positions.get(reading, [])
            yield f"  {tuple(reading)} x{rows[reading]}, sent at {positions}: {_batches(client, positions, reading)}"


def _batches(client: Client, positions: list[int], reading: Reading) -> str:
    """The ledger's batches of some positions, and the rows that L1 has of the reading's key."""
    batches = client.query(
        "SELECT DISTINCT position_from, position_to, toString(state), toString(ingested_at), source "
        "FROM ingestion_ledger FINAL WHERE arrayExists(p -> p >= position_from AND p < position_to, {at:Array(Int64)})",
        parameters={"at": positions[:50]},
    ).result_rows
    rows = client.query(
        "SELECT toString(ingested_at), power_usage_kWh, _part FROM l1_power_raw "
        "WHERE device_id = {device:UInt32} AND timestamp = toDateTime({time:UInt32}, 'UTC') ORDER BY ingested_at",
        parameters={"device": reading.device_id, "time": reading.timestamp},
    ).result_rows
    return f"batches {batches}, L1 has {rows}"
