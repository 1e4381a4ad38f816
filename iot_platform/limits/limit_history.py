"""What limits there ever were, and what a device's limit depended on: so that any past judgement can be explained."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from iot_platform.limits.changed_limits import TIMELINES


@dataclass(frozen=True)
class LoggedLimit:
    """A row of the log. ``scope``: as in Limit, or the name of a time limit; ``value``: in kWh, or in seconds.

    ``valid_from`` (UTC): None for a time limit, which holds for all readings. ``recorded_at``: when it was set.
    """

    recorded_at: dt.datetime
    scope: str
    key: str
    value: float
    valid_from: dt.datetime | None
    is_removed: bool


@dataclass(frozen=True)
class LoggedType:
    """A version of a device's metadata: its building type from ``valid_from`` on. ``recorded_at``: when it was stored.

    Of several with the same ``valid_from`` the newest holds.
    """

    recorded_at: dt.datetime
    valid_from: dt.datetime
    building_type: str


@dataclass(frozen=True)
class DeviceLimit:
    """The limit, in kWh, of a device's readings from ``valid_from`` on."""

    valid_from: dt.datetime
    max_kWh: float


def logged_limits(client: Client) -> list[LoggedLimit]:
    """All limits that were ever set or removed, the oldest first."""
    power = client.query(
        "SELECT DISTINCT recorded_at, toString(logged.scope), key, max_kWh, toUnixTimestamp(valid_from), is_removed "
        "FROM power_limit_log AS logged"
    ).result_rows
    time = client.query(
        "SELECT DISTINCT recorded_at, toString(logged.name), value_s, is_removed FROM time_limit_log AS logged"
    ).result_rows
    found = [
        LoggedLimit(_utc(at), scope, key, float(kWh), _unix(start), bool(removed))
        for at, scope, key, kWh, start, removed in power
    ]
    found += [LoggedLimit(_utc(at), name, "", float(value), None, bool(removed)) for at, name, value, removed in time]
    return sorted(found, key=lambda row: (row.recorded_at, row.scope, row.key))


def logged_types(client: Client, device_id: int) -> list[LoggedType]:
    """All building types that a device was ever said to have, in the order in which they were stored."""
    rows = client.query(
        "SELECT recorded_at, toUnixTimestamp(valid_from), if(is_removed, 'unknown', toString(building_type)) "
        "FROM device_metadata_versions WHERE device_id = {device:UInt32} ORDER BY version",
        parameters={"device": device_id},
    ).result_rows
    return [LoggedType(_utc(at), _unix(start), kind) for at, start, kind in rows]


def limits_of_device(client: Client, device_id: int) -> list[DeviceLimit]:
    """The limits of a device as they hold now, by the time of the reading."""
    rows = client.query(
        f"SELECT toUnixTimestamp(period.1), period.2 FROM (SELECT periods FROM {TIMELINES} "
        "WHERE device_id IN (0, {device:UInt32}) ORDER BY device_id DESC LIMIT 1) ARRAY JOIN periods AS period",
        parameters={"device": device_id},
    ).result_rows
    return [DeviceLimit(_unix(start), float(kWh)) for start, kWh in rows]


def types_in_use(client: Client) -> dict[str, int]:
    """How many devices have or had each building type, the most frequent first."""
    rows = client.query(
        "SELECT building_type, uniqExact(device_id) AS devices FROM device_versions "
        "GROUP BY building_type ORDER BY devices DESC, building_type"
    ).result_rows
    return {str(name): int(devices) for name, devices in rows}


def _utc(naive: dt.datetime) -> dt.datetime:
    return naive.replace(tzinfo=dt.UTC)


def _unix(seconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
