"""The LookML against the real engine: every tile equals what pandas makes of the readings, and checks see damage."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import clickhouse_connect
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iot_platform.cli import cli
from iot_platform.clickhouse.migrations import migrate
from iot_platform.clickhouse.server import Endpoint
from iot_platform.looker import checks
from iot_platform.looker.filters import Values, any_of, condition
from iot_platform.looker.project import load_project
from iot_platform.looker.query import Query, compile_query
from iot_platform.settings import Settings

PROJECT = load_project()
DASHBOARD = PROJECT.dashboards["power_overview"]
NOW = dt.datetime(2025, 11, 2, 12, 34, tzinfo=dt.UTC)
YEAR = "2025/01/01 to 2026/01/01"

# Both changes of the clock of each zone: London, New York, Lord Howe (by half an hour). Kolkata is off by half an hour.
CHANGES = ["2025-03-09", "2025-03-30", "2025-04-05", "2025-10-04", "2025-10-26", "2025-11-02"]

# device_id, customer_id, building_type, latitude, longitude, time_zone, valid_from; device 9 has no metadata.
DEVICES = [
    (1, "acme", "office", 51.50741, -0.12781, "Europe/London", "1970-01-01"),
    (2, "acme", "retail", 51.50742, -0.12782, "Europe/London", "1970-01-01"),
    (3, "big, inc", "office", 40.71284, -74.00602, "America/New_York", "1970-01-01"),
    (4, "big, inc", "small_office", 40.71911, -74.00123, "America/New_York", "1970-01-01"),
    (5, "island", "residential", -31.55309, 159.08211, "Australia/Lord_Howe", "1970-01-01"),
    (6, "island", "office", -31.52011, 159.07212, "Australia/Lord_Howe", "1970-01-01"),
    (7, "kolkata", "retail", 22.57262, 88.36391, "Asia/Kolkata", "1970-01-01"),
    (8, "mover", "office", 22.57262, 88.36391, "Asia/Kolkata", "1970-01-01"),
    # The meter has moved to another customer, place and clock.
    (8, "moved", "retail", 40.71911, -74.00123, "America/New_York", "2025-10-05 06:00:00"),
]
COLUMNS = ["device_id", "customer_id", "building_type", "latitude", "longitude", "time_zone", "valid_from"]


def raw_readings() -> pd.DataFrame:
    """A reading each quarter of an hour of three days around each change, in whole Wh."""
    random = np.random.default_rng(7)
    days = [pd.Timestamp(day, tz="UTC") + pd.Timedelta(days=shift) for day in CHANGES for shift in (-1, 0, 1)]
    times = pd.DatetimeIndex(
        np.unique(np.concatenate([pd.date_range(day, periods=96, freq="15min").to_numpy() for day in days])), tz="UTC"
    )
    frame = pd.DataFrame({"timestamp": np.tile(times, 9), "device_id": np.repeat(np.arange(1, 10), len(times))}).sample(
        frac=0.9, random_state=7
    )  # gaps
    frame["Wh"] = random.integers(0, 90_000, len(frame))
    return frame.reset_index(drop=True)


@pytest.fixture(scope="module")
def readings() -> pd.DataFrame:
    """The raw readings with the metadata and the local time that pandas finds."""
    frame = raw_readings()
    devices = pd.DataFrame(DEVICES, columns=COLUMNS)
    devices["valid_from"] = pd.to_datetime(devices["valid_from"], utc=True, format="ISO8601")
    frame = pd.merge_asof(
        frame.sort_values("timestamp"),
        devices.sort_values("valid_from"),
        left_on="timestamp",
        right_on="valid_from",
        by="device_id",
    )
    frame["known"] = frame["customer_id"].notna()
    fill = {"customer_id": "", "building_type": "unknown", "time_zone": "UTC"}
    frame = frame.fillna(fill)
    frame["local"] = pd.NaT
    for zone, group in frame.groupby("time_zone"):
        frame.loc[group.index, "local"] = group["timestamp"].dt.tz_convert(str(zone)).dt.tz_localize(None)
    frame["local"] = pd.to_datetime(frame["local"])
    return frame


@pytest.fixture(scope="module")
def marts(server: Endpoint) -> Iterator[Client]:
    """A database with those readings, inserted in pieces, with duplicates and readings that are refused."""
    name = f"test_{secrets.token_hex(6)}"
    login = {"host": server.host, "port": server.port, "username": server.username, "password": server.password}
    with clickhouse_connect.get_client(**login) as admin:
        admin.command(f"CREATE DATABASE {name}")
        with clickhouse_connect.get_client(**login, database=name) as client:
            migrate(client, Settings())
            fill(client)
            yield client
        admin.command(f"DROP DATABASE {name} SYNC")


def fill(client: Client) -> None:
    devices = [[*row[:-1], dt.datetime.fromisoformat(str(row[-1])).replace(tzinfo=dt.UTC)] for row in DEVICES]
    client.insert("device_metadata", devices, column_names=COLUMNS)
    for dictionary in ("device_current", "device_history"):
        client.command(f"SYSTEM RELOAD DICTIONARY `{client.database}`.{dictionary}")
    frame = raw_readings()
    frame["timestamp"] = frame["timestamp"].dt.tz_localize(None)
    frame["power_usage_kWh"] = frame.pop("Wh") / 1000
    refused = frame.head(50).assign(power_usage_kWh=-1.0)
    # The second piece repeats its own readings, and holds what L2 refuses.
    pieces = [frame.iloc[::2], pd.concat([frame.iloc[1::2], frame.iloc[1::20], refused])]
    for piece in pieces:
        client.insert_df("l1_power_raw", piece)


Filters = Mapping[str, str]
FILTERS: list[tuple[Filters, Callable[[pd.DataFrame], pd.Series]]] = [
    ({}, lambda frame: frame["device_id"] > 0),
    ({"building_type": "office"}, lambda frame: frame["building_type"] == "office"),
    ({"building_type": "%office, -office"}, lambda frame: frame["building_type"] == "small_office"),
    ({"customer": any_of(["big, inc", "island"])}, lambda frame: frame["customer_id"].isin(["big, inc", "island"])),
    ({"device": "1, 8"}, lambda frame: frame["device_id"].isin([1, 8])),
    (
        {"device": "NOT 9", "customer": "-m%", "building_type": "office,retail"},
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


def energy(frame: pd.DataFrame) -> float:
    return int(frame["Wh"].sum()) / 1000


@pytest.mark.parametrize(("filters", "wanted"), FILTERS, ids=IDS)
def test_single_values(
    marts: Client, readings: pd.DataFrame, filters: Filters, wanted: Callable[[pd.DataFrame], pd.Series]
) -> None:
    frame = readings[wanted(readings)]
    assert answer(marts, "total", filters) == [(energy(frame),)]
    assert answer(marts, "meters", filters) == [(frame["device_id"].nunique(),)]
    assert answer(marts, "peak", filters) == [(frame["Wh"].max() / 1000,)]
    assert answer(marts, "with_metadata", filters) == [(pytest.approx(frame["known"].mean(), rel=1e-12),)]


@pytest.mark.parametrize(("filters", "wanted"), FILTERS, ids=IDS)
def test_usage_over_time(
    marts: Client, readings: pd.DataFrame, filters: Filters, wanted: Callable[[pd.DataFrame], pd.Series]
) -> None:
    frame = readings[wanted(readings)]
    hours = frame["timestamp"].dt.floor("h").dt.tz_localize(None)
    expected = {
        (hour.to_pydatetime(), kind): energy(group) for (hour, kind), group in frame.groupby([hours, "building_type"])
    }
    rows = answer(marts, "usage_over_time", filters)
    assert {(hour, kind): kWh for hour, kind, kWh in rows} == expected
    assert len(rows) == len(expected)
    assert [row[:2] for row in rows] == sorted((row[:2] for row in rows), key=lambda key: (-key[0].timestamp(), key[1]))


@pytest.mark.parametrize(("filters", "wanted"), FILTERS, ids=IDS)
@pytest.mark.parametrize(("tile", "part"), [("usage_by_hour_of_day", "hour"), ("usage_by_day_of_week", "day_of_week")])
def test_usage_by_local_time(
    marts: Client,
    readings: pd.DataFrame,
    filters: Filters,
    wanted: Callable[[pd.DataFrame], pd.Series],
    tile: str,
    part: str,
) -> None:
    frame = readings[wanted(readings)]
    expected = [
        (key, pytest.approx(energy(group) / group["local"].dt.floor("h").nunique(), rel=1e-12))
        for key, group in frame.groupby(getattr(frame["local"].dt, part))
    ]
    assert answer(marts, tile, filters) == expected


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
    expected = sorted(((device, energy(group)) for device, group in groups), key=lambda row: (-row[1], row[0]))
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


def test_the_checks_are_green(marts: Client) -> None:
    assert checks.everything_runs(marts, PROJECT, NOW) == []
    assert checks.everything_runs(marts, PROJECT, NOW, explain=True) == []
    assert checks.tiles_are_whole(marts, PROJECT, NOW) == []
    assert checks.totals_agree(marts, PROJECT, NOW) == []
    assert checks.columns_agree(marts, PROJECT) == []


def test_a_pivoted_table_is_cut_by_rows(marts: Client) -> None:
    fields = ("power_usage.time_date", "power_usage.building_type", "power_usage.reading_count")
    query = Query("power_usage", fields, pivots=fields[1:2], sorts=("power_usage.time_date desc",), limit=2)
    compiled = compile_query(PROJECT, query, str(marts.database), NOW)
    rows = marts.query(compiled.sql, parameters=dict(compiled.parameters)).result_rows
    assert list(dict.fromkeys(row[0] for row in rows)) == [dt.date(2025, 11, 3), dt.date(2025, 11, 2)]
    assert len(rows) == 2 * 5


def test_filters_on_measures_and_other_fields(marts: Client, readings: pd.DataFrame) -> None:
    query = Query(
        "power_usage",
        ("power_usage.customer_id", "power_usage.metadata_known", "power_usage.total_kwh"),
        {"power_usage.devices": ">1", "power_usage.metadata_known": "yes", "power_usage.time_zone": "-Asia%"},
    )
    compiled = compile_query(PROJECT, query, str(marts.database), NOW)
    rows = marts.query(compiled.sql, parameters=dict(compiled.parameters)).result_rows
    frame = readings[readings["known"] & ~readings["time_zone"].str.startswith("Asia")]
    groups = {customer: group for customer, group in frame.groupby("customer_id") if group["device_id"].nunique() > 1}
    assert {(row[0], row[1]): row[2] for row in rows} == {
        (name, "Yes"): energy(group) for name, group in groups.items()
    }
    kWh = [row[2] for row in rows]
    assert kWh == sorted(kWh, reverse=True)  # as Looker sorts when nothing is said
    place = Query("power_usage", ("power_usage.devices",), {"power_usage.place": "51.507, -0.128"})
    compiled = compile_query(PROJECT, place, str(marts.database), NOW)
    assert marts.query(compiled.sql, parameters=dict(compiled.parameters)).result_rows == [(2,)]


def test_the_sql_for_reading_gives_the_same(marts: Client) -> None:
    for tile in DASHBOARD.tiles:
        query = tile.query_with({"period": YEAR, "customer": any_of(["it's", "a\\", "acme"])})
        compiled = compile_query(PROJECT, query, str(marts.database), NOW)
        rows = marts.query(compiled.sql, parameters=dict(compiled.parameters)).result_rows
        assert marts.query(compiled.pretty).result_rows == rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(alphabet="aB%_^\\-,\"' \n\t;éN", max_size=4), min_size=1, max_size=8), st.data())
def test_exactly_the_texts_asked_for_are_found(marts: Client, texts: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(texts), min_size=1))
    values = Values()
    sql = condition("strings", {"": "x"}, any_of(wanted), values, NOW)
    statement = f"SELECT DISTINCT x FROM (SELECT arrayJoin({values.bind(texts, 'Array(String)')}) AS x) WHERE {sql}"
    found = [row[0] for row in marts.query(statement, parameters=values.parameters).result_rows]
    assert sorted(found) == sorted(set(wanted))
    needle = wanted[0]
    if needle:
        values = Values()
        sql = condition("strings", {"": "x"}, f"%{any_of([needle])}%", values, NOW)
        statement = f"SELECT DISTINCT x FROM (SELECT arrayJoin({values.bind(texts, 'Array(String)')}) AS x) WHERE {sql}"
        found = [row[0] for row in marts.query(statement, parameters=values.parameters).result_rows]
        assert sorted(found) == sorted({text for text in texts if needle in text})


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(Settings().looker_dir, tmp_path / "looker"))


def test_a_wrong_column_is_found(marts: Client, copy: Path) -> None:
    view = copy / "views/power_usage.view.lkml"
    view.write_text(view.read_text().replace("${TABLE}.max_kWh", "${TABLE}.highest_kWh"))
    project = load_project(copy)
    (ran, tile) = checks.everything_runs(marts, project, NOW)
    assert (ran.name, tile.name) == ("power_usage.peak_kwh", "peak")
    assert "highest_kWh" in ran.what and ran.where.endswith("measure peak_kwh")
    found = {finding.name: finding.what for finding in checks.columns_agree(marts, project)}
    assert found["power_usage.peak_kwh"].startswith("reads highest_kWh, which l4_power_by_building_type_hourly lacks")
    assert found["l4_power_by_building_type_hourly.max_kWh"] == "is read by no field"


def test_a_field_of_the_wrong_table_is_found(marts: Client, copy: Path) -> None:
    view = copy / "views/power_usage.view.lkml"
    view.write_text(view.read_text().replace(" or power_usage.customers._in_query", ""))
    found = {(each.name, each.what) for each in checks.columns_agree(marts, load_project(copy))}
    assert (
        "power_usage.customers",
        "reads customer_id, which l4_power_by_building_type_hourly lacks (customers)",
    ) in found


def test_a_tile_over_its_limit_is_found(marts: Client, copy: Path) -> None:
    dashboard = copy / "dashboards/power_overview.dashboard.lookml"
    text = dashboard.read_text().replace("default_value: 30 day", f"default_value: {YEAR}")
    dashboard.write_text(text.replace("limit: 5000", "limit: 3"))
    found = {each.name: each.what for each in checks.tiles_are_whole(marts, load_project(copy), NOW)}
    assert found == {"usage_over_time": "has 432 rows, but shows 3", "map": "has 6 rows, but shows 3"}


def test_a_new_column_a_missing_table_and_other_totals_are_found(schema: Client) -> None:
    fill(schema)
    schema.command("ALTER TABLE l4_power_by_device_daily ADD COLUMN voltage Float64")
    schema.command("ALTER TABLE device_metadata ADD COLUMN supplier String")
    (supplier, voltage) = checks.columns_agree(schema, PROJECT)
    assert (supplier.name, voltage.name) == ("device_metadata.supplier", "l4_power_by_device_daily.voltage")
    schema.command("ALTER TABLE l4_power_by_device_daily DROP COLUMN voltage")
    schema.command("ALTER TABLE device_metadata DROP COLUMN supplier")
    # A billionth of a kWh in one mart.
    schema.command(
        "INSERT INTO l4_power_by_device_daily (ts_hour, device_id, total_kWh) VALUES ('2025-03-30', 1, 0.000000001)"
    )
    found = checks.totals_agree(schema, PROJECT, NOW)
    assert {each.name for each in found} == {
        f"power_usage.{name}" for name in ("device_id", "customer_id", "location", "place")
    }
    assert all("in l4_power_by_device_daily, all together" in each.what for each in found)
    schema.command("DROP TABLE l4_power_by_device_daily SYNC")
    (missing,) = checks.columns_agree(schema, PROJECT)
    assert (missing.name, missing.what) == ("l4_power_by_device_daily", "is missing in ClickHouse")


def test_the_command_line(marts: Client, server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login = f"{quote(server.username, safe='')}:{quote(server.password, safe='')}"
    monkeypatch.setenv("IOT_CLICKHOUSE_URL", server.url.replace("://", f"://{login}@"))
    monkeypatch.setenv("IOT_CLICKHOUSE_DATABASE", str(marts.database))

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, ["lookml", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    report = json.loads(run("check", "--json"))
    assert report["findings"] == [] and report["checked"] > 60
    assert "as they should be" in run("check", "--no-clickhouse")
    assert "as they should be" in run("check", "--run")
    sql = run("sql", "map", "--filter", "period", "2025", "--filter", "power_usage.device_id", "1")
    assert marts.query(sql).result_rows
    assert "count(DISTINCT" in run("sql", "--field", "power_usage.devices", "--filter", "power_usage.time_date", "2025")
    run("dictionary", "--output", str(tmp_path / "dictionary.md"))
    assert (tmp_path / "dictionary.md").read_text() == Path("docs/field-dictionary.md").read_text()
