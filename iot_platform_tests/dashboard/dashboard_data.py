"""Some days of meters in four time zones, for the tests of the dashboard."""

from __future__ import annotations

import datetime as dt

from clickhouse_connect.driver.client import Client

from iot_platform.layers.dictionaries import reload_dictionaries

METERS = 60
DAYS = 10
TYPES = ("office", "retail", "residential", "residential_solar", "bakery", "industrial")
SITES = (
    ("Europe/London", 51.5, -0.12),
    ("America/New_York", 40.71, -74.0),
    ("Australia/Lord_Howe", -31.55, 159.08),
    ("Asia/Kolkata", 22.57, 88.36),
)
# By site: hours that the sun is ahead of London's, and how large the buildings are.
OFFSETS_H = [0, -5, 11, 5]
SIZES = [2.5, 1, 0.4, 1.2]


def insert_meters(client: Client) -> None:
    """The metadata of METERS meters, of which some share a customer."""
    rows = []
    for device in range(1, METERS + 1):
        zone, latitude, longitude = SITES[device % len(SITES)]
        # Spread over the whole of a city.
        place = (latitude + device * 0.618034 % 1 * 0.08, longitude + device * device * 0.754878 % 1 * 0.12)
        rows.append([device, f"C{device // 3:03d}", TYPES[device // 4 % len(TYPES)], *place, zone])
    columns = ["device_id", "customer_id", "building_type", "latitude", "longitude", "time_zone"]
    client.insert("device_metadata", rows, column_names=columns)
    reload_dictionaries(client)


def insert_days(client: Client, now: dt.datetime) -> None:
    """A reading of each half hour and meter of the DAYS days before ``now``, high by day and low at the weekend."""
    start = now.replace(minute=0, second=0, microsecond=0) - dt.timedelta(days=DAYS)
    client.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) "
        f"WITH toDateTime('{start:%Y-%m-%d %H:%M:%S}', 'UTC') + 1800 * intDiv(number, {METERS}) AS at, "
        f"toUInt32(number % {METERS} + 1) AS device, toHour(at + 3600 * {OFFSETS_H}[device % 4 + 1]) AS hour, "
        "intDiv(device, 4) % 6 AS kind, cityHash64(at, device) % 1000 / 1000 AS chance "
        "SELECT at, device, round((0.3 + kind) * (0.4 + exp(-pow((hour - 13) / 4, 2))) * (0.8 + 0.4 * chance) "
        f"* {SIZES}[device % 4 + 1] * if(toDayOfWeek(at) > 5, 0.6, 1), 4) FROM numbers({METERS} * {DAYS} * 48)"
    )


def insert_reading(client: Client, kWh: float, device: int = 1) -> None:
    """One reading of the minute before now."""
    client.command(
        f"INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) SELECT now('UTC') - 60, {device}, {kWh}"
    )
