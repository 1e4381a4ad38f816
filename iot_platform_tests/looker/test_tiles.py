"""Every tile shows what pandas computes from the readings."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.looker.compiler import compile_query
from iot_platform_tests.looker.local_hours import average_per_local_hour
from iot_platform_tests.looker.lookml_readings import DASHBOARD, NOW, PROJECT, YEAR, energy
from iot_platform_tests.looker.string_filters import any_of

Filters = Mapping[str, str]
FILTERS: list[tuple[Filters, Callable[[pd.DataFrame], pd.Series]]] = [
    ({}, lambda frame: frame["device_id"] > 0),
    ({"building_type": "office"}, lambda frame: frame["building_type"] == "office"),
    ({"building_type": "%office, -office"}, lambda frame: frame["building_type"] == "small_office"),
    ({"customer": any_of(["big, inc", "island"])}, lambda frame: frame["customer_id"].isin(["big, inc", "island"])),
    ({"device": "1, 8"}, lambda frame: frame["device_id"].isin([1, 8])),
    (
        {"device": "-9", "customer": "-m%", "building_type": "office,retail"},
        lambda frame: (
            frame["customer_id"].isin(["acme", "big, inc", "island", "kolkata"])
            & frame["building_type"].isin(["office", "retail"])
        ),
    ),
    (
        {"period": "2025/10/26", "building_type": "-unknown"},
        lambda frame: (frame["timestamp"].dt.strftime("%F") == "2025-10-26") & frame["known"],
    ),
]
IDS = [json.dumps(filters) for filters, _ in FILTERS]


def answer(client: Client, name: str, filters: Filters) -> list[tuple[object, ...]]:
    (tile,) = (tile for tile in DASHBOARD.tiles if tile.name == name)
    query = tile.query_with({"period": YEAR, **filters})
    compiled = compile_query(PROJECT, query, str(client.database), NOW)
    result = client.query(compiled.sql, parameters=dict(compiled.parameters))
    assert not result.result_rows or result.column_names == tuple(column.name for column in compiled.columns)
    return [tuple(row) for row in result.result_rows]


@pytest.mark.parametrize(("filters", "wanted"), FILTERS, ids=IDS)
def test_single_values(
    marts: Client, readings: pd.DataFrame, filters: Filters, wanted: Callable[[pd.DataFrame], pd.Series]
) -> None:
    frame = readings[wanted(readings)]
    assert answer(marts, "total", filters) == [(energy(frame),)]
    assert answer(marts, "meters", filters) == [(frame["device_id"].nunique(),)]
    assert answer(marts, "peak", filters) == [(frame["Wh"].max() / 1000,)]
    assert answer(marts, "with_metadata", filters) == [(pytest.approx(frame["known"].mean(), rel=1e-12),)]


def newest_first(row: tuple[Any, ...]) -> tuple[float, str]:
    return -row[0].timestamp(), row[1]


@pytest.mark.parametrize(("filters", "wanted"), FILTERS, ids=IDS)
def test_usage_over_time(
    marts: Client, readings: pd.DataFrame, filters: Filters, wanted: Callable[[pd.DataFrame], pd.Series]
) -> None:
    frame = readings[wanted(readings)]
    hours = frame["timestamp"].dt.floor("h").dt.tz_localize(None)
    groups = frame.groupby([hours, "building_type"])
    expected = {(pd.Timestamp(str(hour)).to_pydatetime(), kind): energy(group) for (hour, kind), group in groups}
    rows = answer(marts, "usage_over_time", filters)
    assert {(hour, kind): kWh for hour, kind, kWh in rows} == expected
    assert len(rows) == len(expected)
    assert [row[:2] for row in rows] == [row[:2] for row in sorted(rows, key=newest_first)]


@pytest.mark.parametrize(("filters", "wanted"), FILTERS, ids=IDS)
def test_usage_by_hour_of_day(
    marts: Client, readings: pd.DataFrame, filters: Filters, wanted: Callable[[pd.DataFrame], pd.Series]
) -> None:
    frame = readings[wanted(readings)]
    expected = [(hour, average_per_local_hour(group)) for hour, group in frame.groupby(frame["local"].dt.hour)]
    assert answer(marts, "usage_by_hour_of_day", filters) == [
        (hour, pytest.approx(kWh, rel=1e-12)) for hour, kWh in expected
    ]


@pytest.mark.parametrize(("filters", "wanted"), FILTERS, ids=IDS)
def test_usage_by_day_of_week(
    marts: Client, readings: pd.DataFrame, filters: Filters, wanted: Callable[[pd.DataFrame], pd.Series]
) -> None:
    # The period of this tile is in local time.
    frame = readings[wanted(readings.assign(timestamp=readings["local"]))]
    expected = [(day, average_per_local_hour(group)) for day, group in frame.groupby(frame["local"].dt.day_of_week)]
    assert answer(marts, "usage_by_day_of_week", filters) == [
        (day, pytest.approx(kWh, rel=1e-12)) for day, kWh in expected
    ]


@pytest.mark.parametrize(("filters", "wanted"), FILTERS, ids=IDS)
def test_building_types(
    marts: Client, readings: pd.DataFrame, filters: Filters, wanted: Callable[[pd.DataFrame], pd.Series]
) -> None:
    groups = readings[wanted(readings)].groupby("building_type")
    expected = sorted(((kind, energy(group) / len(group)) for kind, group in groups), key=lambda row: -row[1])
    rows = answer(marts, "building_types", filters)
    assert rows == [(kind, pytest.approx(average, rel=1e-12)) for kind, average in expected]


@pytest.mark.parametrize(("filters", "wanted"), FILTERS, ids=IDS)
def test_top_devices(
    marts: Client, readings: pd.DataFrame, filters: Filters, wanted: Callable[[pd.DataFrame], pd.Series]
) -> None:
    last = readings["timestamp"].between(
        pd.Timestamp("2025-11-01 13:00", tz="UTC"), pd.Timestamp("2025-11-02 12:59", tz="UTC")
    )
    # This tile does not listen to the period.
    chosen = wanted(readings.assign(timestamp=pd.Timestamp("2025-10-26", tz="UTC")))
    groups = readings[last & chosen].groupby("device_id")
    expected = sorted(((str(device), energy(group)) for device, group in groups), key=lambda row: (-row[1], row[0]))
    assert answer(marts, "top_devices", filters) == expected[:10]


@pytest.mark.parametrize(("filters", "wanted"), FILTERS, ids=IDS)
def test_map(
    marts: Client, readings: pd.DataFrame, filters: Filters, wanted: Callable[[pd.DataFrame], pd.Series]
) -> None:
    frame = readings[wanted(readings) & readings["known"]]
    groups = frame.groupby([frame["latitude"].round(3), frame["longitude"].round(3), "building_type"])
    expected = {key: (energy(group), group["device_id"].nunique()) for key, group in groups}
    rows = answer(marts, "map", filters)
    assert {row[:3]: row[3:] for row in rows} == expected
    assert len(rows) == len(expected)
