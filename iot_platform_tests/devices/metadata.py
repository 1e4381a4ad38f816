"""Shared by tests of changing metadata: readings of three days, metadata by device and customer, and queries."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
from clickhouse_connect.driver.client import Client

from iot_platform.devices.refresh import RefreshResult, refresh_devices
from iot_platform.devices.restatement import Restatement, restate
from iot_platform.devices.sources.csv_file import DeviceCsvSource
from iot_platform.layers.proof import prove_all
from iot_platform.layers.summary import summarize

DAYS = ["20260105", "20260106", "20260107"]
NOW = dt.datetime(2026, 1, 7, 12, 40, tzinfo=dt.UTC)
COLUMNS = ["device_id", "customer_id", "building_type", "latitude", "longitude", "valid_from"]

# device_id, customer_id, and optionally valid_from.
Device = tuple[int, str] | tuple[int, str, str]


SIX: list[Device] = [(device, f"c{device}") for device in range(1, 7)]


def read_csv(path: Path) -> pd.DataFrame:
    """The validated rows of a CSV file."""
    return DeviceCsvSource(str(path), complete=False, timeout_s=10, max_bytes=1 << 20).read().devices


def insert_readings(client: Client) -> None:
    """Three days with a reading each half hour of devices 1 to 6, of device * 0.1 kWh; device 6 has none on day 1."""
    client.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) "
        "SELECT toDateTime('2026-01-05', 'UTC') + 1800 * intDiv(number, 6) AS timestamp, number % 6 + 1 AS device_id, "
        "device_id / 10 FROM numbers(6 * 144) WHERE device_id < 6 OR timestamp >= '2026-01-06'"
    )


def frame(*devices: Device) -> pd.DataFrame:
    rows = [(*device[:2], "office", 1.0, 2.0, *(device[2:] or (None,))) for device in devices]
    return pd.DataFrame(rows, columns=COLUMNS)


def load(client: Client, *devices: Device, complete: bool = True, now: dt.datetime = NOW) -> RefreshResult:
    return refresh_devices(client, frame(*devices), now, complete=complete, max_closed_share=1)


def load_and_restate(client: Client, *devices: Device, complete: bool = True) -> tuple[RefreshResult, Restatement]:
    result = load(client, *devices, complete=complete)
    return result, restate(client, result)


def customers_by_hour(client: Client, device: int, day: str, table: str = "l4_power_agg_hourly") -> list[str]:
    """The customer of each of the 24 hours, several joined by +."""
    time = "ts_hour" if table.startswith("l4") else "timestamp"
    rows = client.query(
        f"SELECT toHour({time}) AS hour, arrayStringConcat(groupUniqArray(customer_id), '+') FROM {table} "
        f"WHERE device_id = {device} AND toYYYYMMDD({time}) = {day} GROUP BY hour ORDER BY hour"
    ).result_rows
    assert [row[0] for row in rows] == list(range(24))
    return [row[1] for row in rows]


def proved_days(client: Client) -> dict[str, list[str]]:
    rows = client.query("SELECT layer, groupUniqArray(partition_id) FROM partition_proofs GROUP BY layer").result_rows
    return {layer: sorted(days) for layer, days in rows}


def is_settled(client: Client) -> bool:
    """Whether the sums agree and comparing all days finds no difference: the layers match the current metadata."""
    return summarize(client).conserved and not any(proof.difference() for proof in prove_all(client, repair=False))
