"""The facts behind the schema, shown on the real engine: averages, misses, rejects, retries, partitions."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from iot_platform.layers.dictionaries import reload_dictionaries

DAY = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
Row = tuple[dt.datetime, int, float]


def insert(client: Client, rows: Sequence[Row], **settings: object) -> None:
    client.insert(
        "l1_power_raw", rows, column_names=["timestamp", "device_id", "power_usage_kWh"], settings=settings or None
    )


def add_device(client: Client, *values: object) -> None:
    names = ["device_id", "customer_id", "building_type", "latitude", "longitude", "valid_from"]
    client.insert("device_metadata", [values], column_names=names[: len(values)])
    reload_dictionaries(client)


def value(client: Client, query: str) -> Any:
    return client.query(query).result_rows[0][0]


def test_average_over_several_inserts_is_the_average_of_all_readings(schema: Client) -> None:
    for kWh in (1.0, 2.0, 6.0):
        insert(schema, [(DAY + dt.timedelta(minutes=kWh), 1, kWh)])
    schema.command("OPTIMIZE TABLE l4_power_hourly_by_version FINAL")
    rows = schema.query("SELECT total_kWh, avg_kWh, readings, max_kWh FROM l4_power_agg_hourly").result_rows
    assert rows == [(9.0, 3.0, 3, 6.0)]


def test_hours_of_zero_energy_stay(schema: Client) -> None:
    insert(schema, [(DAY, 1, 0.0)])
    schema.command("OPTIMIZE TABLE l4_power_hourly_by_version FINAL")
    assert schema.query("SELECT total_kWh, readings FROM l4_power_agg_hourly").result_rows == [(0.0, 1)]


def test_coordinates_survive_merges_and_metadata_is_joined(schema: Client) -> None:
    add_device(schema, 1, "C-1", "office", 35.5, -80.25)
    for minute in range(12):
        insert(schema, [(DAY + dt.timedelta(minutes=minute), 1, 1.0)])
    schema.command("OPTIMIZE TABLE l4_power_hourly_by_version FINAL")
    rows = schema.query(
        "SELECT customer_id, building_type, latitude, longitude, has_metadata, total_kWh FROM l4_power_agg_hourly"
    ).result_rows
    assert rows == [("C-1", "office", 35.5, -80.25, 1, 12.0)]


def test_a_device_without_metadata_is_marked_and_has_no_place(schema: Client) -> None:
    insert(schema, [(DAY, 7, 1.0)])
    expected = [("", "unknown", None, None, 0)]
    columns = "customer_id, building_type, latitude, longitude, has_metadata"
    assert schema.query(f"SELECT {columns} FROM l3_power_joined").result_rows == expected
    assert schema.query(f"SELECT {columns} FROM l4_power_agg_hourly").result_rows == expected


def test_metadata_imported_twice_does_not_multiply_energy(schema: Client) -> None:
    add_device(schema, 1, "C-1", "office", 35.5, -80.25)
    add_device(schema, 1, "C-1", "office", 35.5, -80.25)
    insert(schema, [(DAY, 1, 5.0)])
    assert value(schema, "SELECT sum(total_kWh) FROM l4_power_agg_hourly") == 5.0


@pytest.mark.parametrize(
    ("hour", "customer"), [(0, ""), (9, ""), (10, "first"), (11, "first"), (12, "second"), (23, "second")]
)
def test_readings_get_the_metadata_of_their_time(schema: Client, hour: int, customer: str) -> None:
    add_device(schema, 1, "first", "office", 1.0, 2.0, DAY.replace(hour=10))
    add_device(schema, 1, "second", "shop", 1.0, 2.0, DAY.replace(hour=12))
    insert(schema, [(DAY.replace(hour=hour), 1, 1.0)])
    assert value(schema, "SELECT customer_id FROM l3_power_joined") == customer


def test_a_version_that_begins_later_does_not_apply_to_earlier_readings(schema: Client) -> None:
    add_device(schema, 1, "C-1", "office", 1.0, 2.0, DAY.replace(hour=10))
    insert(schema, [(DAY.replace(hour=9), 1, 1.0)])
    assert value(schema, "SELECT has_metadata FROM l3_power_joined") == 0


def test_a_version_that_begins_within_an_hour_is_refused(schema: Client) -> None:
    with pytest.raises(DatabaseError, match="valid_from_is_a_whole_hour"):
        add_device(schema, 1, "C-1", "office", 1.0, 2.0, DAY.replace(hour=10, minute=30))


def from_now(**ahead: int) -> dt.datetime:
    """Taken when the test runs, not when it is collected: a long suite would let 20 minutes ahead become the past."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(**ahead)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((DAY, 0, 1.0), "no_device"),
        ((DAY, 1, math.nan), "not_a_number"),
        ((DAY, 1, math.inf), "infinite"),
        ((DAY, 1, -math.inf), "infinite"),
        ((DAY, 1, -0.1), "negative"),
        ((DAY, 1, 100.0), "over_limit"),
        ((DAY, 1, 1e308), "over_limit"),
        ((dt.datetime(1999, 12, 31, 23, 59, 59, tzinfo=dt.UTC), 1, 1.0), "too_old"),
    ],
)
def test_a_bad_reading_goes_to_quarantine_with_its_reason(schema: Client, row: Row, reason: str) -> None:
    insert(schema, [row])
    assert schema.query("SELECT reject_reason FROM power_quarantine").result_rows == [(reason,)]
    assert value(schema, "SELECT count() FROM l2_power_cleaned") == 0
    assert value(schema, "SELECT count() FROM l1_power_raw") == 1


@pytest.mark.parametrize("ahead", [{"minutes": 20}, {"days": 900}])
def test_a_reading_of_the_future_goes_to_quarantine(schema: Client, ahead: dict[str, int]) -> None:
    insert(schema, [(from_now(**ahead), 1, 1.0)])
    assert schema.query("SELECT reject_reason FROM power_quarantine").result_rows == [("in_the_future",)]
    assert value(schema, "SELECT count() FROM l2_power_cleaned") == 0


@pytest.mark.parametrize("kWh", [0.0, -0.0, 5e-324, 99.999999])
def test_a_value_within_the_limits_is_valid(schema: Client, kWh: float) -> None:
    insert(schema, [(DAY, 1, kWh)])
    assert value(schema, "SELECT power_usage_kWh FROM l2_power_cleaned") == kWh
    assert value(schema, "SELECT count() FROM power_quarantine") == 0


def test_a_reading_of_this_moment_is_not_in_the_future(schema: Client) -> None:
    insert(schema, [(from_now(minutes=5), 1, 1.0)])
    assert value(schema, "SELECT count() FROM l2_power_cleaned") == 1


def test_the_most_specific_limit_wins(schema: Client) -> None:
    add_device(schema, 1, "C", "office", 1.0, 2.0)
    add_device(schema, 2, "C", "office", 1.0, 2.0)
    limits = [("default", "", 10.0), ("building_type", "office", 20.0), ("device", "2", 30.0)]
    schema.insert("power_limits", limits, column_names=["scope", "key", "max_kWh"])
    schema.command("SYSTEM RELOAD DICTIONARY device_limits")
    insert(schema, [(DAY + dt.timedelta(minutes=kWh), device, float(kWh)) for device in (1, 2, 3) for kWh in range(40)])
    rows = schema.query("SELECT device_id, max(power_usage_kWh) FROM l2_power_cleaned GROUP BY 1 ORDER BY 1")
    assert rows.result_rows == [(1, 19.0), (2, 29.0), (3, 9.0)]


def test_a_limit_beyond_what_the_sums_hold_is_refused(schema: Client) -> None:
    with pytest.raises(DatabaseError, match="max_kWh_fits_the_sums"):
        schema.insert("power_limits", [("default", "", 1e12)], column_names=["scope", "key", "max_kWh"])


def test_scattered_wrong_times_do_not_create_partitions(schema: Client) -> None:
    wrong = [(dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=20 * n), 1, 1.0) for n in range(500)]
    wrong += [(from_now(days=2 + 20 * n), 1, 1.0) for n in range(500)]
    insert(schema, [*wrong, (DAY, 1, 1.0)], max_partitions_per_insert_block=100)
    for table in ("l1_power_raw", "power_quarantine"):
        assert value(schema, f"SELECT uniqExact(_partition_id) FROM {table}") <= 2
    assert value(schema, "SELECT count() FROM l2_power_cleaned") == 1


def test_a_retry_with_the_same_token_adds_nothing_to_any_layer(schema: Client) -> None:
    rows = [(DAY + dt.timedelta(minutes=n), 1, 1.0) for n in range(10)] + [(DAY, 2, -1.0)]
    for _ in range(3):
        insert(schema, rows, insert_deduplication_token="batch-1")
    counts = {
        table: value(schema, f"SELECT count() FROM {table}")
        for table in ("l1_power_raw", "l2_power_cleaned", "power_quarantine", "l3_power_joined")
    }
    assert counts == {"l1_power_raw": 11, "l2_power_cleaned": 10, "power_quarantine": 1, "l3_power_joined": 10}
    assert value(schema, "SELECT sum(readings) FROM l4_power_agg_hourly") == 10


def test_within_a_batch_one_reading_per_device_and_time_reaches_l2(schema: Client) -> None:
    insert(schema, [(DAY, 1, 3.0), (DAY, 1, 4.0), (DAY, 1, 4.0)])
    assert schema.query("SELECT power_usage_kWh FROM l2_power_cleaned").result_rows == [(4.0,)]
    assert value(schema, "SELECT count() FROM l1_power_raw") == 3


def test_sums_of_many_small_readings_are_exact(schema: Client) -> None:
    insert(schema, [(DAY + dt.timedelta(seconds=n), 1, 0.1) for n in range(3600)])
    assert value(schema, "SELECT total_kWh FROM l4_power_agg_hourly") == 360.0


def test_every_column_of_the_original_design_is_there(schema: Client) -> None:
    expected = {
        "l1_power_raw": {"timestamp", "device_id", "power_usage_kWh"},
        "l2_power_cleaned": {"timestamp", "device_id", "power_usage_kWh"},
        "device_metadata": {"device_id", "customer_id", "building_type", "latitude", "longitude"},
        "l3_power_joined": {
            "timestamp", "device_id", "power_usage_kWh", "customer_id", "building_type", "latitude", "longitude"
        },
        "l4_power_agg_hourly": {
            "ts_hour", "device_id", "customer_id", "building_type", "latitude", "longitude", "total_kWh", "avg_kWh"
        },
    }  # fmt: skip
    for table, columns in expected.items():
        found = {row[0] for row in schema.query(f"DESCRIBE TABLE {table}").result_rows}
        assert columns <= found, table
    views = {row[0] for row in schema.query("SHOW TABLES").result_rows}
    assert {"mv_l1_to_l2", "mv_l2_to_l3", "mv_l3_to_l4_hourly"} <= views
