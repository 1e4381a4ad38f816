"""Simulated readings are written once, for any windows of time and any first day."""

from __future__ import annotations

import datetime as dt

from clickhouse_connect.driver.client import Client

from iot_platform.settings import Settings
from iot_platform.simulator.ingestion import first_simulated_day, ingest_simulated_readings

DAY = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)


def settings(first_day: dt.datetime) -> Settings:
    return Settings(simulator_devices=5, simulator_interval_s=900, first_day=first_day.date())


def rows(client: Client) -> int:
    return int(client.query("SELECT count() FROM l1_power_raw").result_rows[0][0])


def test_overlapping_windows_add_each_reading_once(schema: Client) -> None:
    end = DAY + dt.timedelta(days=1)
    first = ingest_simulated_readings(schema, settings(DAY), DAY, end - dt.timedelta(hours=6))
    second = ingest_simulated_readings(schema, settings(DAY), DAY + dt.timedelta(hours=3), end)
    third = ingest_simulated_readings(schema, settings(DAY), DAY, end)
    assert first.rows > 0 and second.rows > 0 and third.rows == 0
    assert rows(schema) == first.rows + second.rows


def test_another_first_day_repeats_no_readings(schema: Client) -> None:
    later = ingest_simulated_readings(schema, settings(DAY), DAY, DAY + dt.timedelta(days=1))
    assert first_simulated_day(schema, settings(DAY)) == DAY.date()
    day_before = DAY - dt.timedelta(days=1)
    earlier = ingest_simulated_readings(schema, settings(day_before), day_before, DAY + dt.timedelta(days=1))
    assert earlier.rows > 0 and rows(schema) == later.rows + earlier.rows
    assert first_simulated_day(schema, settings(DAY)) == day_before.date()


def test_no_reading_is_older_than_the_first_day(schema: Client) -> None:
    ingest_simulated_readings(schema, settings(DAY), DAY - dt.timedelta(days=1), DAY + dt.timedelta(hours=2))
    assert schema.query("SELECT min(timestamp) >= '2026-01-05 00:00:00' FROM l1_power_raw").first_row == (1,)
    assert first_simulated_day(schema, settings(DAY)) == DAY.date()


def test_no_stream_has_no_first_day(schema: Client) -> None:
    assert first_simulated_day(schema, settings(DAY)) is None
