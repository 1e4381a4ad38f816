"""local_hour_part: the parts of the hours of a clock, as zoneinfo has them, around the changes of the clock."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import TypeAlias
from zoneinfo import ZoneInfo

from clickhouse_connect.driver.client import Client

from iot_platform.layers.dictionaries import reload_dictionaries

# Changes by half an hour, an hour, two hours and a whole day, and clocks that are off by quarters of an hour.
ZONES = {
    "Europe/London": [2000, 2025, 2040],
    "America/New_York": [2006, 2025],
    "Australia/Lord_Howe": [2001, 2025, 2050],
    "Asia/Kolkata": [2025],
    "Asia/Kathmandu": [2025],
    "Pacific/Chatham": [2025],
    "Antarctica/Troll": [2025],
    "Pacific/Apia": [2011],
    "America/Caracas": [2007, 2016],
    "Asia/Pyongyang": [2015, 2018],
    "Africa/Casablanca": [2025],
    "Europe/Volgograd": [2018],
    "UTC": [2025],
}
MINUTE = dt.timedelta(minutes=1)
# UTC hour and local hour; minutes of the part and of the hour, and whether the part has its begin (2) and its end (1).
Key: TypeAlias = tuple[dt.datetime, dt.datetime]
Part: TypeAlias = tuple[int, int, int]


def parts_of_year(zone: str, year: int) -> dict[Key, Part]:
    """The parts of the hours around each change of the clock and at the new year."""
    clock = ZoneInfo(zone)
    noons = [dt.datetime(year, 1, 1, 12, tzinfo=dt.UTC) + dt.timedelta(days=day) for day in range(-1, 366)]
    offsets = [noon.astimezone(clock).utcoffset() for noon in noons]
    starts = [noons[0]] + [noons[n] for n in range(len(noons) - 1) if offsets[n] != offsets[n + 1]]
    found: dict[Key, Part] = {}
    for start in starts:
        minutes = [start + number * MINUTE for number in range(-6 * 60, 30 * 60)]
        hours: dict[dt.datetime, list[dt.datetime]] = defaultdict(list)
        for at in minutes:
            hours[at.astimezone(clock).replace(minute=0, tzinfo=None, fold=0)].append(at)
        for local_hour, times in hours.items():
            if minutes[0] in times or minutes[-1] in times:
                continue  # it may have begun before, or go on
            for hour in sorted({at.replace(minute=0) for at in times}):
                number = sum(at.replace(minute=0) == hour for at in times)
                ends = 2 * (times[0] >= hour) + (times[-1] < hour + 60 * MINUTE)
                found[hour.replace(tzinfo=None), local_hour] = (number, len(times), ends)
    return found


def test_parts_are_those_of_zoneinfo(schema: Client) -> None:
    columns = ["device_id", "customer_id", "building_type", "latitude", "longitude", "time_zone"]
    devices = [[number, "C", "office", 1.0, 2.0, zone] for number, zone in enumerate(ZONES, 1)]
    schema.insert("device_metadata", devices, column_names=columns)
    reload_dictionaries(schema)
    found = schema.query("SELECT name, id FROM metadata_names WHERE kind = 'time_zone'").result_rows
    names = {str(name): int(number) for name, number in found}
    expected = {
        (zone, *key): part
        for zone, years in ZONES.items()
        for year in years
        for key, part in parts_of_year(zone, year).items()
    }
    rows = [[ts_hour, local_hour, names.get(zone, 0)] for zone, ts_hour, local_hour in expected]
    schema.insert(
        "l4_power_hourly_by_type",
        rows,
        column_names=["ts_hour", "local_hour", "zone_id"],
        settings={"max_partitions_per_insert_block": 1000},
    )
    result = schema.query(
        "SELECT time_zone, ts_hour, local_hour, bitAnd(bitShiftRight(local_hour_part, 2), 63), "
        "bitAnd(bitShiftRight(local_hour_part, 8), 255), bitAnd(local_hour_part, 3) "
        "FROM l4_power_by_building_type_hourly"
    ).result_rows
    assert {tuple(row[:3]): tuple(row[3:]) for row in result} == expected
