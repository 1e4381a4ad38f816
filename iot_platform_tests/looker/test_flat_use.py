"""Flat use shows as bars of one height by hour of day and by weekday, whatever the period and the filters."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.looker.compiler import compile_query
from iot_platform.looker.query import Query
from iot_platform_tests.databases import Blueprint, client_of, fresh_database
from iot_platform_tests.looker import flat_use
from iot_platform_tests.looker.flat_use import FIRST, HOURLY_DEVICE, HOURLY_KWH, LAST, METERS, ZONES, device
from iot_platform_tests.looker.lookml_readings import DASHBOARD, PROJECT

# Filters of the dashboard, the zones and the kWh an hour that they leave in each, and the mart that answers.
BY_TYPE, BY_HOUR = "l4_power_by_building_type_hourly", "l4_power_agg_hourly_store"
ALL = {zone: 5.0 for zone in ZONES}
FILTERS: dict[str, tuple[dict[str, str], dict[str, float], str]] = {
    "all but the hourly meter": ({"building_type": "-farm"}, ALL, BY_TYPE),
    "everything": ({}, {**ALL, flat_use.HOURLY_ZONE: 5 + HOURLY_KWH}, BY_TYPE),
    "one type": ({"building_type": "office"}, {zone: METERS["office"][0] for zone in ZONES}, BY_TYPE),
    "one customer": ({"customer": "C-Kolkata"}, {"Asia/Kolkata": 5.0}, BY_HOUR),
    "two customers": ({"customer": "C-Lord_Howe,C-New_York"}, {z: 5.0 for z in (ZONES[3], ZONES[1])}, BY_HOUR),
    "all customers": ({"customer": "C-%"}, ALL, BY_HOUR),
    "one device": ({"device": str(device("Australia/Lord_Howe", "retail"))}, {"Australia/Lord_Howe": 3.0}, BY_HOUR),
    "hourly readings": ({"device": str(HOURLY_DEVICE)}, {flat_use.HOURLY_ZONE: HOURLY_KWH}, BY_HOUR),
    "hourly type": ({"building_type": "farm"}, {flat_use.HOURLY_ZONE: HOURLY_KWH}, BY_TYPE),
}
# Both changes of the clock of each zone are in the year.
DAYS = st.dates(FIRST.date() + dt.timedelta(days=2), LAST.date() - dt.timedelta(days=10))


@pytest.fixture(scope="module")
def flat(server: Endpoint, migrated: Blueprint) -> Iterator[Client]:
    with fresh_database(server) as name, client_of(server, name) as client:
        migrated.copy_into(client)
        flat_use.insert_meters(client)
        flat_use.insert_use(client)
        yield client


def bars(client: Client, tile: str, filters: dict[str, str], mart: str) -> dict[int, float]:
    """The bars of a tile by hour or weekday."""
    (found,) = (each for each in DASHBOARD.tiles if each.name == tile)
    compiled = compile_query(PROJECT, found.query_with(filters), str(client.database))
    assert compiled.table == mart
    rows = client.query(compiled.sql, parameters=dict(compiled.parameters)).result_rows
    return {int(key): float(kWh) for key, kWh in rows}


def hours_that_occur(zone: str, first: dt.date, days: int) -> set[int]:
    """The hours of day that a zone's clock has in a period of UTC days; when it is put forward, it skips some."""
    start = dt.datetime(first.year, first.month, first.day, tzinfo=dt.UTC)
    steps = range(min(days, 3) * 96)  # after three days each hour has come
    clock = ZoneInfo(zone)
    return {(start + dt.timedelta(minutes=15 * step)).astimezone(clock).hour for step in steps}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(FILTERS)), DAYS, st.integers(1, 400))
@example("everything", dt.date(2025, 3, 30), 1)  # London's clock skips an hour
@example("everything", dt.date(2025, 4, 5), 1)  # Lord Howe's clock is put back by half an hour
@example("everything", dt.date(2025, 10, 4), 1)  # and forward
@example("two customers", dt.date(2025, 10, 4), 30)
@example("everything", dt.date(2025, 1, 3), 355)
@example("one device", dt.date(2025, 4, 5), 1)
@example("one device", dt.date(2025, 10, 4), 2)
@example("hourly readings", dt.date(2025, 5, 6), 1)
def test_hours_of_the_day_are_flat(flat: Client, name: str, first: dt.date, days: int) -> None:
    filters, levels, mart = FILTERS[name]
    last = min(first + dt.timedelta(days=days), LAST.date())
    found = bars(flat, "usage_by_hour_of_day", {**filters, "period": f"{first:%Y/%m/%d} to {last:%Y/%m/%d}"}, mart)
    occur = {zone: hours_that_occur(zone, first, (last - first).days) for zone in levels}
    expected = {hour: sum(kWh for zone, kWh in levels.items() if hour in occur[zone]) for hour in range(24)}
    assert found == {hour: pytest.approx(kWh, rel=1e-12) for hour, kWh in expected.items() if kWh}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(FILTERS)), DAYS, st.integers(1, 400))
@example("everything", dt.date(2025, 3, 30), 1)
@example("everything", dt.date(2025, 4, 1), 9)
@example("two customers", dt.date(2025, 10, 4), 30)
@example("everything", dt.date(2025, 1, 3), 355)
def test_weekdays_are_flat(flat: Client, name: str, first: dt.date, days: int) -> None:
    filters, levels, mart = FILTERS[name]
    last = min(first + dt.timedelta(days=days), LAST.date() - dt.timedelta(days=1))
    found = bars(flat, "usage_by_day_of_week", {**filters, "period": f"{first:%Y/%m/%d} to {last:%Y/%m/%d}"}, mart)
    weekdays = {(first + dt.timedelta(days=day)).weekday() for day in range((last - first).days)}
    assert found == {weekday: pytest.approx(sum(levels.values()), rel=1e-12) for weekday in weekdays}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("dimension", ["time_hour", "time_date", "local_time_date", "time_zone", "building_type", None])
@pytest.mark.parametrize("period", ["2025/06/01 05 to 2025/06/03 20", "2025/10/04 17 to 2025/10/06 09"])
def test_an_explore_of_ones_own_is_flat_when_its_filter_cuts_local_hours(
    flat: Client, name: str, dimension: str | None, period: str
) -> None:
    """As a user of Looker builds it: by any dimension, with a filter on UTC hours."""
    filters, levels, _ = FILTERS[name]
    fields = [each for each in (dimension, "average_kwh_per_local_hour") if each]
    names = {"customer": "customer_id", "device": "device_id"}
    where = {f"power_usage.{names.get(key, key)}": value for key, value in filters.items()}
    where["power_usage.time_hour"] = period
    query = Query("power_usage", tuple(f"power_usage.{each}" for each in fields), where)
    compiled = compile_query(PROJECT, query, str(flat.database))
    rows = flat.query(compiled.sql, parameters=dict(compiled.parameters)).result_rows
    if dimension == "time_zone":
        assert {row[0]: row[1] for row in rows} == {zone: pytest.approx(kWh, rel=1e-12) for zone, kWh in levels.items()}
    elif dimension == "building_type":
        assert sum(row[-1] for row in rows) == pytest.approx(sum(levels.values()), rel=1e-12)
    elif dimension == "local_time_date":
        # At the ends, a date has hours of some zones only.
        assert max(row[-1] for row in rows) == pytest.approx(sum(levels.values()), rel=1e-12)
    else:
        assert rows and all(row[-1] == pytest.approx(sum(levels.values()), rel=1e-12) for row in rows)


def test_the_hour_that_is_filling_is_left_out(schema: Client) -> None:
    flat_use.insert_meters(schema)
    now = dt.datetime.now(dt.UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    flat_use.insert_use(schema, hour - dt.timedelta(days=3), hour)
    # A large reading of each meter in this hour, which no bar may show. Half past, an hour in Kolkata is over by now.
    devices = [device(zone, "office") for zone in ZONES]
    rows = [[hour, each, 900.0] for each in devices]
    schema.insert("l1_power_raw", rows, column_names=["timestamp", "device_id", "power_usage_kWh"])
    level = pytest.approx(sum(ALL.values()) + HOURLY_KWH, rel=1e-12)
    found = bars(schema, "usage_by_hour_of_day", {"period": "3 days"}, BY_TYPE)
    days = bars(schema, "usage_by_day_of_week", {"period": "3 days"}, BY_TYPE)
    if dt.datetime.now(dt.UTC) < hour + dt.timedelta(hours=1):  # else it is over
        assert found == dict.fromkeys(range(24), level)
        assert days and all(day == level for day in days.values())
