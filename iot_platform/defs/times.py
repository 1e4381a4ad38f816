"""Times, all of them with the zone UTC."""

from __future__ import annotations

import datetime as dt


def utc_now() -> dt.datetime:
    """The current time."""
    return dt.datetime.now(dt.UTC)


def from_dagster(timestamp: float) -> dt.datetime:
    """A timestamp of Dagster's storage."""
    return dt.datetime.fromtimestamp(timestamp, dt.UTC)


def from_clickhouse(time: dt.datetime) -> dt.datetime:
    """A time from ClickHouse: the driver returns the values of some columns without their zone."""
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)
