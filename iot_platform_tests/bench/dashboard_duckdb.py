"""The dashboard's tiles in DuckDB.

It has one prepared table by hour and device, sorted by time, as a separate pipeline would make it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping

import duckdb
from clickhouse_connect.driver.client import Client

# local_hour_part is described in sql/093_views_over_versions.sql; it is the same for all devices of a zone.
_EXPORT = """
SELECT ts_hour, local_hour, device_id, customer_id, toString(building_type) AS building_type, latitude, longitude,
    has_metadata, toString(time_zone) AS time_zone, any(local_hour_part) AS local_hour_part,
    toFloat64(sum(total_kWh)) AS total_kWh, sum(readings) AS readings, max(max_kWh) AS max_kWh
FROM l4_power_agg_hourly_store
WHERE ts_hour >= {start:DateTime('UTC')} AND ts_hour < {stop:DateTime('UTC')}
GROUP BY ALL
ORDER BY ts_hour, device_id
"""
_EXPORT_DAYS = 20

_IN_PERIOD = "FROM hourly WHERE ts_hour >= $start AND ts_hour < $stop"


def _average_per_local_hour(part: str, time: str) -> str:
    """For each zone the energy of its complete local hours divided by their number, then the sum over the zones.

    Halves of hours are complete if the zone has readings in one half of its hours only: hourly ones.
    """
    return f"""
WITH
    parts AS
    (
        SELECT {part} AS part, local_hour_part, local_hour_part >> 48 AS zone, local_hour_part >> 8 AS hour,
            (local_hour_part >> 8) & 255 AS minutes_of_hour, (local_hour_part >> 2) & 63 AS minutes,
            CASE WHEN minutes_of_hour = 60 THEN local_hour_part & 3 ELSE 3 END AS half, sum(total_kWh) AS kWh
        FROM hourly WHERE {time} >= $start AND {time} < $stop GROUP BY ALL
    ),
    marked AS
    (
        SELECT *, sum(minutes) OVER (PARTITION BY part, hour) >= minutes_of_hour AS is_complete FROM parts
    ),
    zones AS
    (
        SELECT part, zone, bool_or(is_complete) AS has_complete,
            NOT (bool_or(half = 1) AND bool_or(half = 2))
                AND (count(*) FILTER (half < 3) > 1 OR bool_or(half = 1) AND NOT has_complete) AS is_hourly
        FROM marked GROUP BY part, zone
    ),
    averages AS
    (
        SELECT part, sum(kWh) * 60
            / sum(CASE WHEN is_hourly AND minutes_of_hour = 60 THEN 60 ELSE minutes END) AS kWh
        FROM marked JOIN zones USING (part, zone)
        WHERE is_complete OR is_hourly OR NOT has_complete
        GROUP BY part, zone
    )
SELECT part, sum(kWh) FROM averages GROUP BY part
"""


# By name of the tile.
QUESTIONS = {
    "total": f"SELECT sum(total_kWh) {_IN_PERIOD}",
    "meters": f"SELECT count(DISTINCT device_id) {_IN_PERIOD}",
    "peak": f"SELECT max(max_kWh) {_IN_PERIOD}",
    "with_metadata": f"SELECT sum(readings * has_metadata) / sum(readings) {_IN_PERIOD}",
    "usage_over_time": f"SELECT ts_hour, building_type, sum(total_kWh) {_IN_PERIOD} GROUP BY ALL",
    "usage_by_hour_of_day": _average_per_local_hour("hour(local_hour)", "ts_hour"),
    # The period of this tile is in local time.
    "usage_by_day_of_week": _average_per_local_hour("isodow(local_hour) - 1", "local_hour"),
    "building_types": f"SELECT building_type, sum(total_kWh) / sum(readings) {_IN_PERIOD} GROUP BY ALL",
    "top_devices": "SELECT device_id, sum(total_kWh) AS kWh FROM hourly WHERE ts_hour >= $last_day "
    "AND ts_hour < $next_hour GROUP BY ALL ORDER BY kWh DESC, device_id LIMIT 10",
    "map": "SELECT round(latitude, 3) AS lat, round(longitude, 3) AS lon, building_type, sum(total_kWh), "
    f"count(DISTINCT device_id) {_IN_PERIOD} AND has_metadata = 1 GROUP BY lat, lon, building_type",
}


def export(client: Client, duck: duckdb.DuckDBPyConnection, first: dt.datetime, days: int) -> None:
    """Copy the hours of ``days`` days from ``first`` on into the table ``hourly`` of DuckDB."""
    for day in range(0, days, _EXPORT_DAYS):
        start = first + dt.timedelta(days=day)
        stop = first + dt.timedelta(days=min(day + _EXPORT_DAYS, days))
        rows = client.query_arrow(_EXPORT, parameters={"start": start, "stop": stop}, use_strings=True)
        duck.register("exported", rows)
        # Seconds since 1970 come as numbers.
        hours = (f"make_timestamp({name}::BIGINT * 1000000) AS {name}" for name in ("ts_hour", "local_hour"))
        columns = f"* REPLACE ({', '.join(hours)})"
        verb = "INSERT INTO hourly" if day else "CREATE TABLE hourly AS"
        duck.execute(f"{verb} SELECT {columns} FROM exported")
        duck.unregister("exported")
    duck.execute("CHECKPOINT")


def asking_duckdb(duck: duckdb.DuckDBPyConnection, asked: Mapping[str, dt.datetime]) -> Callable[[str], object]:
    """A function that asks for a tile; ``asked``: the values of the questions' parameters."""
    cursor = duck.cursor()

    def ask(tile: str) -> object:
        used = {name: value for name, value in asked.items() if f"${name}" in QUESTIONS[tile]}
        return cursor.execute(QUESTIONS[tile], used).fetchall()

    return ask
