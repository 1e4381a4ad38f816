"""Response times of the dashboard's tiles: their SQL on the marts, compared with the same queries in DuckDB."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.blocks import ONE_BLOCK
from iot_platform.clickhouse.client import connect, quoted
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.migrations import create_database, migrate
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.looker.compiler import Compiled, compile_query
from iot_platform.looker.project import Project, load_project
from iot_platform.settings import Settings
from iot_platform_tests.bench.dashboard_duckdb import QUESTIONS, asking_duckdb, export
from iot_platform_tests.bench.inserts import Say
from iot_platform_tests.bench.sizes import Sizes

DATABASE = "bench_dashboard"
FIRST = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
# The first is the dashboard's default; one viewer sometimes selects the other.
PERIODS = {"30 days": 30, "365 days": 365}
RARE = 4
VIEWERS = 16
CLICKHOUSE, DUCKDB = "clickhouse", "duckdb"
# By engine: makes a function that asks for a tile.
Engines = dict[str, Callable[[], Callable[[str], object]]]

# Three meters at each address, in four time zones. The engines round halves differently, so no coordinate is a half of
# the third digit.
DEVICES = """
INSERT INTO device_metadata (device_id, customer_id, building_type, latitude, longitude, time_zone)
SELECT
    number + 1,
    concat('C-', toString(intDiv(number, 3))),
    ['office', 'home', 'shop', 'school', 'hospital', 'factory', 'farm', 'hotel'][1 + intDiv(number, 3) % 8],
    48.000001 + cityHash64(intDiv(number, 3), 1) % 100000 / 250000,
    11.000001 + cityHash64(intDiv(number, 3), 2) % 100000 / 250000,
    ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kolkata'][1 + intDiv(number, 3) % 4]
FROM numbers({devices:UInt32})
"""
ONE_DAY = """
INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh)
SELECT
    toDateTime({start:DateTime('UTC')}) + intDiv(number, {devices:UInt32}) * 3600,
    number % {devices:UInt32} + 1,
    cityHash64(number, {start:DateTime('UTC')}) % 20000 / 1000
FROM numbers(24 * {devices:UInt32})
"""


def measure_dashboard(
    endpoint: Endpoint, settings: Settings, directory: Path, sizes: Sizes, say: Say
) -> dict[str, Any]:
    """Milliseconds of each tile by period, engine and number of viewers. Raises RuntimeError if answers differ."""
    own = settings.model_copy(update={"clickhouse_database": DATABASE})
    with ExitStack() as stack:
        create_database(endpoint, own)
        client = stack.enter_context(closing(connect(endpoint, own)))
        stack.callback(client.command, f"DROP DATABASE {quoted(DATABASE)} SYNC")
        migrate(client, own)
        seconds = _fill(client, sizes, say)
        duck = stack.enter_context(closing(duckdb.connect(str(directory / "hourly.duckdb"))))
        say("dashboard: the hourly table of DuckDB")
        export(client, duck, FIRST, sizes.dashboard_days)
        project = load_project()
        now = FIRST + dt.timedelta(days=sizes.dashboard_days) - dt.timedelta(minutes=10)
        periods: dict[str, dict[str, Any]] = {}
        for period, days in PERIODS.items():
            tiles = _tiles(project, period, now)
            asked = _moments(now, days)
            _compare(client, duck, tiles, asked)
            engines: Engines = {
                CLICKHOUSE: lambda tiles=tiles: _asking_clickhouse(endpoint, own, tiles),  # type: ignore[misc]
                DUCKDB: lambda asked=asked: asking_duckdb(duck, asked),  # type: ignore[misc]
            }
            periods[period] = _measure_period(period, engines, sizes, say, is_default=not periods)
        [[readings]] = client.query("SELECT sum(readings) FROM l4_power_by_building_type_hourly").result_rows
    return {
        "readings": int(readings),
        "devices": sizes.dashboard_devices,
        "days": sizes.dashboard_days,
        "fill_seconds": seconds,
        "milliseconds": periods,
    }


def _measure_period(period: str, engines: Engines, sizes: Sizes, say: Say, *, is_default: bool) -> dict[str, Any]:
    """By number of viewers; several viewers only for the dashboard's default period."""
    say(f"dashboard: {period}, one viewer")
    rounds = sizes.dashboard_rounds if is_default else sizes.dashboard_rounds // RARE
    by_viewers: dict[str, Any] = {"1": _one_viewer(engines, rounds)}
    if is_default:
        by_viewers[str(VIEWERS)] = many = {}
        for name, make in engines.items():
            say(f"dashboard: {period}, {VIEWERS} viewers of {name}")
            many[name] = _many_viewers(make, sizes.dashboard_viewer_rounds)
    return by_viewers


def summary(part: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows: period, viewers, tile, p50 and p95 of ClickHouse in ms, the same of DuckDB, ratio of the medians."""
    rows = []
    for period, by_viewers in part["milliseconds"].items():
        for viewers, engines in by_viewers.items():
            for tile in QUESTIONS:
                ours, theirs = engines[CLICKHOUSE][tile], engines[DUCKDB][tile]
                ratio = ours["p50"] / theirs["p50"]
                figures = (ours["p50"], ours["p95"], theirs["p50"], theirs["p95"])
                rows.append((period, viewers, tile, *(f"{value:,.1f}" for value in figures), f"{ratio:.2f}"))
    return rows


def _fill(client: Client, sizes: Sizes, say: Say) -> float:
    """One reading of each device an hour, through the chain."""
    started = time.monotonic()
    client.command(DEVICES, parameters={"devices": sizes.dashboard_devices})
    reload_dictionaries(client)
    for day in range(sizes.dashboard_days):
        if day % 50 == 0:
            say(f"dashboard: day {day} of {sizes.dashboard_days} through the chain")
        start = FIRST + dt.timedelta(days=day)
        client.command(
            ONE_DAY, parameters={"start": start, "devices": sizes.dashboard_devices}, settings=dict(ONE_BLOCK)
        )
    return time.monotonic() - started


def _tiles(project: Project, period: str, now: dt.datetime) -> dict[str, Compiled]:
    dashboard = project.dashboards["power_overview"]
    values = {**dashboard.defaults(), "period": period}
    tiles = {tile.name: tile for tile in dashboard.tiles}
    return {name: compile_query(project, tiles[name].query_with(values), DATABASE, now) for name in QUESTIONS}


def _moments(now: dt.datetime, days: int) -> dict[str, dt.datetime]:
    """What the tiles' relative times mean at ``now``, in naive UTC."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    hour = now.replace(minute=0, second=0, microsecond=0, tzinfo=None)
    return {
        "start": today - dt.timedelta(days=days - 1),
        "stop": today + dt.timedelta(days=1),
        "last_day": hour - dt.timedelta(hours=23),
        "next_hour": hour + dt.timedelta(hours=1),
    }


def _asking_clickhouse(
    endpoint: Endpoint, settings: Settings, tiles: Mapping[str, Compiled]
) -> Callable[[str], object]:
    client = connect(endpoint, settings)
    return lambda tile: client.query(tiles[tile].sql, parameters=dict(tiles[tile].parameters)).result_rows


def _one_viewer(engines: Engines, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """The engines take turns, so that what disturbs one disturbs the other."""
    asking = {name: make() for name, make in engines.items()}
    times: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in engines}
    for number in range(rounds + 2):
        for tile in QUESTIONS:
            for name, ask in asking.items():
                took = _timed(ask, tile)
                if number >= 2:  # the first two warm up
                    times[name][tile].append(took)
    return {name: _percentiles(found) for name, found in times.items()}


def _many_viewers(make: Callable[[], Callable[[str], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Viewers at the same time, each asking for tile after tile."""

    def view(number: int) -> list[tuple[str, float]]:
        ask = make()
        names = list(QUESTIONS)
        order = names[number % len(names) :] + names[: number % len(names)]
        return [(tile, _timed(ask, tile)) for _ in range(rounds) for tile in order]

    times: dict[str, list[float]] = defaultdict(list)
    with ThreadPoolExecutor(VIEWERS) as pool:
        for found in pool.map(view, range(VIEWERS)):
            for tile, took in found:
                times[tile].append(took)
    return _percentiles(times)


def _timed(ask: Callable[[str], object], tile: str) -> float:
    started = time.perf_counter()
    ask(tile)
    return (time.perf_counter() - started) * 1000


def _percentiles(times: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    return {
        tile: {"p50": float(np.percentile(found, 50)), "p95": float(np.percentile(found, 95))}
        for tile, found in times.items()
    }


def _compare(
    client: Client,
    duck: duckdb.DuckDBPyConnection,
    tiles: Mapping[str, Compiled],
    asked: Mapping[str, dt.datetime],
) -> None:
    """Both engines must say the same: numbers of each row, in any order, to the last digits of a sum of floats."""
    ask = asking_duckdb(duck, asked)
    for name, compiled in tiles.items():
        # Whole, not cut by the tile's limit: which rows it would show is not decided.
        sql = compiled.sql if name == "top_devices" else compiled.unlimited
        ours = _numbers(client.query(sql, parameters=dict(compiled.parameters)).result_rows)
        theirs = _numbers(ask(name))
        if len(ours) != len(theirs):
            raise RuntimeError(f"{name}: ClickHouse has {len(ours)} rows, DuckDB {len(theirs)}")
        for mine, other in zip(ours, theirs, strict=True):
            if not all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6) for a, b in zip(mine, other, strict=True)):
                raise RuntimeError(f"{name}: ClickHouse and DuckDB differ: {mine} and {other}")


def _numbers(rows: Any) -> list[list[float]]:
    """The measured numbers of each row: what both dialects write alike."""
    return sorted([float(value) for value in row if isinstance(value, float)] for row in rows)
