"""Readings in four time zones around every change of their clocks, for the tests of the LookML."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.looker.project import load_project
from iot_platform_tests.databases import Blueprint, client_of, fresh_database

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


def joined_readings() -> pd.DataFrame:
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


@contextmanager
def filled_marts(server: Endpoint, migrated: Blueprint) -> Iterator[Client]:
    """A database with those readings, inserted in pieces, with duplicates and readings that are refused."""
    with fresh_database(server) as name, client_of(server, name) as client:
        migrated.copy_into(client)
        fill(client)
        yield client


def fill(client: Client) -> None:
    devices = [[*row[:-1], dt.datetime.fromisoformat(str(row[-1])).replace(tzinfo=dt.UTC)] for row in DEVICES]
    client.insert("device_metadata", devices, column_names=COLUMNS)
    reload_dictionaries(client)
    frame = raw_readings()
    frame["timestamp"] = frame["timestamp"].dt.tz_localize(None)
    frame["power_usage_kWh"] = frame.pop("Wh") / 1000
    refused = frame.head(50).assign(power_usage_kWh=-1.0)
    # The second piece repeats its own readings, and holds what L2 refuses.
    pieces = [frame.iloc[::2], pd.concat([frame.iloc[1::2], frame.iloc[1::20], refused])]
    for piece in pieces:
        client.insert_df("l1_power_raw", piece)


def energy(frame: pd.DataFrame) -> float:
    return int(frame["Wh"].sum()) / 1000
