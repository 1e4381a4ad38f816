"""The marts and the local time of sites, compared with zoneinfo and sums in Python."""

from __future__ import annotations

import datetime as dt
import random
from collections import defaultdict
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.devices.refresh import refresh_devices
from iot_platform.devices.restatement import restate
from iot_platform.devices.source_rows import validate_devices
from iot_platform.devices.violations import ContractError
from iot_platform.layers.catalog import BY_BUILDING_TYPE, BY_DEVICE_DAILY, BY_DEVICE_HOURLY, HOURLY_ROWS, MARTS
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.proof import prove_all
from iot_platform.layers.summary import summarize

# Clock changes of an hour, of half an hour, at other dates in the south; and a zone off by half an hour without any.
SITES = {
    1: (51.5074, -0.1278, "Europe/London"),
    2: (40.7128, -74.006, "America/New_York"),
    3: (-31.5553, 159.0821, "Australia/Lord_Howe"),
    4: (22.5726, 88.3639, "Asia/Kolkata"),
}
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
Reading = tuple[dt.datetime, int, float]


def devices(**columns: str | list[str]) -> pd.DataFrame:
    rows = [(device, f"C-{device % 2}", f"type {device % 3}", *place[:2]) for device, place in SITES.items()]
    names = ["device_id", "customer_id", "building_type", "latitude", "longitude"]
    return pd.DataFrame(rows, columns=names).assign(**columns)


def year_of_readings() -> list[Reading]:
    """A reading each 15 minutes around every clock change in 2025, also of device 5, which has no metadata."""
    chance = random.Random(3)
    changes = [(1, 1), (3, 9), (3, 30), (4, 6), (10, 5), (10, 26), (11, 2), (12, 31)]
    times: set[dt.datetime] = set()
    for month, day in changes:
        start = dt.datetime(2025, month, day, tzinfo=dt.UTC) - dt.timedelta(hours=12)
        times |= {start + dt.timedelta(minutes=15 * n) for n in range(144)}
    return [(time, device, chance.randrange(1, 5000) / 1000) for time in sorted(times) for device in (*SITES, 5)]


def local(time: dt.datetime, device: int) -> dt.datetime:
    zone = SITES[device][2] if device in SITES else "UTC"
    return time.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def hour(time: dt.datetime) -> dt.datetime:
    return time.replace(minute=0, second=0, tzinfo=None)


@pytest.fixture
def filled(schema: Client) -> tuple[Client, list[Reading]]:
    refresh_devices(schema, devices(), NOW)
    readings = year_of_readings()
    for part in (readings[::2], readings[1::2]):
        schema.insert("l1_power_raw", part, column_names=["timestamp", "device_id", "power_usage_kWh"])
    return schema, readings


def sums(client: Client, mart: str, keys: str) -> dict[tuple[object, ...], tuple[Decimal, int, float]]:
    rows = client.query(f"SELECT {keys}, sum(total_kWh), sum(readings), max(max_kWh) FROM {mart} GROUP BY ALL")
    return {tuple(row[:-3]): tuple(row[-3:]) for row in rows.result_rows}


def test_local_hours_are_right_across_every_clock_change(filled: tuple[Client, list[Reading]]) -> None:
    client, readings = filled
    by_device: dict[tuple[object, ...], list[float]] = defaultdict(list)
    by_type: dict[tuple[object, ...], list[float]] = defaultdict(list)
    by_day: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for time, device, kWh in readings:
        here = local(time, device)
        kind = f"type {device % 3}" if device in SITES else "unknown"
        by_device[hour(time), hour(here), device].append(kWh)
        by_type[hour(time), hour(here), kind].append(kWh)
        by_day[time.date(), device].append(kWh)
    for mart, keys, expected in (
        (HOURLY_ROWS, "ts_hour, local_hour, device_id", by_device),
        (BY_BUILDING_TYPE.name, "ts_hour, local_hour, building_type", by_type),
        (BY_DEVICE_DAILY.name, "toDate(ts_hour) AS day, device_id", by_day),
    ):
        assert sums(client, mart, keys) == {
            key: (sum((Decimal(str(kWh)) for kWh in found), Decimal(0)), len(found), max(found))
            for key, found in expected.items()
        }
    zones = client.query("SELECT DISTINCT device_id, time_zone FROM l4_power_agg_hourly ORDER BY device_id").result_rows
    assert {device: zone for device, zone in zones} == {
        **{device: place[2] for device, place in SITES.items()},
        5: "UTC",
    }


def test_marts_are_proved_and_conserved(filled: tuple[Client, list[Reading]]) -> None:
    client, readings = filled
    proofs = [proof for proof in prove_all(client) if proof.layer in {mart.name for mart in MARTS}]
    assert all(proof.is_equal and not proof.was_rebuilt for proof in proofs)
    summary = summarize(client)
    assert summary.conserved and summary.proved
    assert {summary.layers[mart.name].readings for mart in MARTS} == {len(readings)}


@pytest.mark.slow
def test_a_zone_from_the_source_wins_and_a_new_one_restates_its_device_alone(
    filled: tuple[Client, list[Reading]],
) -> None:
    client, readings = filled
    list(prove_all(client))
    moved = devices(time_zone=["", "", "", "Asia/Kathmandu"], valid_from="1970-01-01T00:00:00Z")
    result = refresh_devices(client, moved, NOW)
    assert result.counts == {"new": 0, "changed": 1, "closed": 0, "unchanged": 3}
    restated = restate(client, result)
    assert restated.rebuilt[BY_BUILDING_TYPE.name] and restated.rebuilt[BY_DEVICE_HOURLY.name]
    expected = {hour(time.astimezone(ZoneInfo("Asia/Kathmandu"))) for time, device, _ in readings if device == 4}
    found = client.query("SELECT DISTINCT local_hour FROM l4_power_agg_hourly WHERE device_id = 4").result_rows
    assert {row[0] for row in found} == expected


def test_a_zone_that_does_not_exist_is_refused_and_one_that_clickhouse_lacks_counts_as_utc(schema: Client) -> None:
    with pytest.raises(ContractError, match="time_zone: 'Europe/Lundon' is not an IANA time zone"):
        validate_devices(devices(time_zone=["", "Europe/Lundon", "", ""]))
    columns = ["device_id", "customer_id", "building_type", "latitude", "longitude", "time_zone"]
    schema.insert("device_metadata", [(1, "C", "office", 1.0, 2.0, "Mars/Olympus")], column_names=columns)
    reload_dictionaries(schema)
    reading = (dt.datetime(2026, 1, 5, 3, tzinfo=dt.UTC), 1, 1.0)
    schema.insert("l1_power_raw", [reading], column_names=["timestamp", "device_id", "power_usage_kWh"])
    [row] = schema.query("SELECT local_hour, time_zone, customer_id FROM l4_power_agg_hourly").result_rows
    assert row == (dt.datetime(2026, 1, 5, 3), "UTC", "C")


def test_a_device_that_moves_within_a_day_has_a_row_for_each_place(schema: Client) -> None:
    day = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
    rows = [(1, "C", "office", 51.5, -0.1, None), (1, "C", "office", -0.0, 20.5, day.replace(hour=12))]
    columns = ["device_id", "customer_id", "building_type", "latitude", "longitude", "valid_from"]
    refresh_devices(schema, pd.DataFrame(rows, columns=columns), NOW)
    readings = [(day.replace(hour=hour), 1, 1.0) for hour in range(24)]
    schema.insert("l1_power_raw", readings, column_names=["timestamp", "device_id", "power_usage_kWh"])
    assert sums(schema, BY_DEVICE_DAILY.name, "latitude, longitude") == {
        (51.5, -0.1): (Decimal(12), 12, 1.0),
        (0.0, 20.5): (Decimal(12), 12, 1.0),
    }
    assert all(proof.is_equal and not proof.was_rebuilt for proof in prove_all(schema))
