"""Time limits: how old a reading may be, and how far in the future.

Unlike limits of energy they hold for all readings, whenever they were taken: they are about time itself. The table
time_limit_log keeps what they were.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.limits.limit_changes import limits_locked, store_limit

TimeLimitName = Literal["oldest_timestamp", "max_future"]

# L1 stores readings beyond these bounds in its partition of impossible times, which never reaches L2; see sql/053.
FIRST_OLDEST = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
LONGEST_FUTURE = dt.timedelta(days=1)

# Readings between the old limit and the new one, without those that another rule refuses first.
_READINGS_BETWEEN = {
    "oldest_timestamp": "timestamp >= toDateTime({low:UInt32}, 'UTC') AND timestamp < toDateTime({high:UInt32}, 'UTC') "
    "AND reject_reason IN ('', 'over_limit', 'in_the_future', 'too_old')",
    "max_future": "timestamp > ingested_at + toIntervalSecond({low:UInt32}) "
    "AND timestamp <= ingested_at + toIntervalSecond({high:UInt32}) "
    "AND reject_reason IN ('', 'over_limit', 'in_the_future')",
}


@dataclass(frozen=True)
class TimeLimit:
    """``value_s``: Unix time of the oldest timestamp, or seconds into the future. ``is_set`` False: built in."""

    name: TimeLimitName
    value_s: int
    is_set: bool

    def describe(self) -> str:
        """The limit in words."""
        if self.name == "oldest_timestamp":
            return f"Oldest timestamp: {dt.datetime.fromtimestamp(self.value_s, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"Latest timestamp: {self.value_s / 60:g} minutes after arrival"


def set_oldest_timestamp(client: Client, oldest: dt.datetime, *, dry_run: bool = False) -> dict[str, int]:
    """Refuse readings from before ``oldest`` (timezone-aware). Returns the readings judged otherwise, by partition.

    The days of these partitions are unverified now. ``dry_run`` changes nothing.

    Raises PlatformError, without changing anything, if it is before 2000 or in the future.
    """
    if not FIRST_OLDEST <= oldest <= dt.datetime.now(dt.UTC):
        raise PlatformError(
            f"Oldest timestamp {oldest:%Y-%m-%d %H:%M:%S}: give a time from {FIRST_OLDEST:%Y-%m-%d} to now. Older "
            "readings always stay in quarantine: L1 has no partitions for their days."
        )
    with limits_locked(client):
        return _store(client, "oldest_timestamp", int(oldest.timestamp()), is_removed=False, dry_run=dry_run)


def set_max_future(client: Client, future: dt.timedelta, *, dry_run: bool = False) -> dict[str, int]:
    """Refuse readings whose time is more than ``future`` after their arrival. Returns and ``dry_run``: as above.

    Raises PlatformError, without changing anything, if it is negative or more than a day.
    """
    if not dt.timedelta(0) <= future <= LONGEST_FUTURE:
        raise PlatformError(
            f"Limit of {future / dt.timedelta(minutes=1):g} minutes into the future: give 0 to "
            f"{LONGEST_FUTURE / dt.timedelta(minutes=1):g} minutes. Readings from further in the future always stay in "
            "quarantine: L1 has no partitions for their days."
        )
    with limits_locked(client):
        return _store(client, "max_future", int(future.total_seconds()), is_removed=False, dry_run=dry_run)


def remove_time_limit(client: Client, name: TimeLimitName, *, dry_run: bool = False) -> dict[str, int]:
    """Return to the built-in value. Returns and ``dry_run``: as above.

    Raises PlatformError if the limit was not set.
    """
    with limits_locked(client):
        known = {limit.name: limit for limit in time_limits(client)}
        if not known[name].is_set:
            raise PlatformError(f"The time limit {name} was not set; its built-in value applies.")
        return _store(client, name, known[name].value_s, is_removed=True, dry_run=dry_run)


def time_limits(client: Client) -> list[TimeLimit]:
    """The time limits in use."""
    rows = client.query("SELECT name, value_s, is_set FROM time_limit_values ORDER BY name DESC").result_rows
    return [TimeLimit(name, int(value_s), bool(is_set)) for name, value_s, is_set in rows]


def _store(client: Client, name: TimeLimitName, value_s: int, *, is_removed: bool, dry_run: bool) -> dict[str, int]:
    row = client.query(
        "SELECT value_s, built_in_s FROM time_limit_values WHERE name = {name:String}", parameters={"name": name}
    ).result_rows[0]
    before, after = int(row[0]), int(row[1]) if is_removed else value_s

    def find() -> dict[str, int]:
        rows = client.query(
            f"SELECT _partition_id, count() FROM {quoted(RAW_TABLE)} WHERE {_READINGS_BETWEEN[name]} "
            "GROUP BY _partition_id",
            parameters={"low": min(before, after), "high": max(before, after)},
        ).result_rows
        return {str(partition): int(count) for partition, count in rows}

    if dry_run:
        return find()
    stored = {"name": name, "value_s": value_s, "is_removed": int(is_removed)}
    return store_limit(client, "time_limits", stored, find, f"Time limit {name}: {before} -> {after} s")
