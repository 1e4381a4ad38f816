"""Flat use in five time zones through a whole year, as several kinds of meters measure it."""

from __future__ import annotations

import datetime as dt

from clickhouse_connect.driver.client import Client

from iot_platform.layers.dictionaries import reload_dictionaries

FIRST, LAST = dt.datetime(2025, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
# By half hours: Kolkata always, Lord Howe in winter; there the clock changes by half an hour.
ZONES = ("Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Auckland")
# By building type: kWh an hour of each meter, and minutes between its readings. There is one of each in each zone.
METERS = {"office": (2.0, 15), "retail": (3.0, 30)}
# A customer with hourly readings, also where the clock is off by a half hour.
HOURLY_ZONE, HOURLY_DEVICE, HOURLY_KWH = "Asia/Kolkata", 99, 5.0
_COLUMNS = ["device_id", "customer_id", "building_type", "latitude", "longitude", "time_zone"]


def device(zone: str, building_type: str) -> int:
    """The number of a meter."""
    return 1 + ZONES.index(zone) + len(ZONES) * list(METERS).index(building_type)


def insert_meters(client: Client) -> None:
    """The metadata: a customer for each zone, and one with a meter that measures by the hour."""
    rows = [
        [device(zone, building_type), f"C-{zone.split('/')[1]}", building_type, 10.0 * number, 20.0, zone]
        for number, zone in enumerate(ZONES)
        for building_type in METERS
    ]
    rows.append([HOURLY_DEVICE, "hourly", "farm", 22.5, 88.3, HOURLY_ZONE])
    client.insert("device_metadata", rows, column_names=_COLUMNS)
    reload_dictionaries(client)


def insert_use(client: Client, first: dt.datetime = FIRST, last: dt.datetime = LAST) -> None:
    """The readings of all meters from ``first`` to before ``last``."""
    for building_type, (kWh_an_hour, minutes) in METERS.items():
        devices = [device(zone, building_type) for zone in ZONES]
        _insert(client, devices, kWh_an_hour, minutes, first, last)
    _insert(client, [HOURLY_DEVICE], HOURLY_KWH, 60, first, last)


def _insert(
    client: Client, devices: list[int], kWh_an_hour: float, minutes: int, first: dt.datetime, last: dt.datetime
) -> None:
    client.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) "
        "SELECT {first:DateTime('UTC')} + number * 60 * {minutes:UInt32}, arrayJoin({devices:Array(UInt32)}), "
        "{kWh:Float64} FROM numbers({readings:UInt32}) SETTINGS max_partitions_per_insert_block = 1000",
        parameters={
            "first": first,
            "minutes": minutes,
            "devices": devices,
            "kWh": kWh_an_hour * minutes / 60,
            "readings": int((last - first) / dt.timedelta(minutes=minutes)),
        },
    )
