"""The dictionaries through which the layers' definitions look up metadata and limits."""

from __future__ import annotations

import datetime as dt

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted, server_time
from iot_platform.layers.catalog import DEVICES, LIMIT_TABLES
from iot_platform.layers.invalidations import NEVER, last_manual_changes
from iot_platform.layers.version_numbers import number_versions

# In this order: the attributes of a version before the dictionaries that lead to it, for inserts in between.
DICTIONARIES = (
    "building_type_name",
    "time_zone_name",
    "time_zone_offsets",
    "device_version_attributes",
    "device_past_version",
    "device_newest_version_of_small_ids",
    "device_newest_version_of_large_ids",
    "device_limits",
    "reading_time_limits",
)
# No definition looks this one up; it gives meters their names when they are shown.
METER_IDS = "device_meter_ids"


def reload_dictionaries(client: Client) -> None:
    """Make the views use what the tables contain now.

    New versions of metadata get their numbers first. Every change of metadata or limits reloads all. So it also
    completes a change that was killed before its reload.
    """
    number_versions(client)
    for name in DICTIONARIES:
        _reload(client, name)
    # While an upgrade fills the tables of sql/092, the later migration that makes it has not run yet.
    if int(str(client.command(f"EXISTS DICTIONARY {METER_IDS}"))):
        reload_meter_ids(client)


def reload_meter_ids(client: Client) -> None:
    """Make the views show the names of meters that were added to ``meter_ids``."""
    _reload(client, METER_IDS)


def take_up_manual_changes(client: Client) -> dt.datetime:
    """Make the views use rows that were written by hand to metadata or limits; returns the server's time before.

    Without that, a proof would compare with what held before, and be valid for what holds now. A proof is no newer than
    this time, so that a change that is made by hand during the proof invalidates it.
    """
    at = server_time(client)
    changes = last_manual_changes(client, LIMIT_TABLES)
    if max(changes.values()) > NEVER:
        loaded_at, numbered_at = _last_reload(client)
        # A dictionary's time has whole seconds, and one that nobody has read yet has none. Versions without a number
        # are unknown to a dictionary, whenever it was loaded.
        is_new = changes[DEVICES] >= numbered_at and number_versions(client)
        if is_new or max(*changes.values(), numbered_at).replace(microsecond=0) >= loaded_at:
            reload_dictionaries(client)
    return at


def _reload(client: Client, name: str) -> None:
    client.command(f"SYSTEM RELOAD DICTIONARY {quoted(str(client.database), name)}")


def _last_reload(client: Client) -> tuple[dt.datetime, dt.datetime]:
    """When the oldest of the dictionaries was loaded, and when a version of metadata was last numbered."""
    rows = client.query(
        "SELECT (SELECT toTimeZone(min(loading_start_time), 'UTC') FROM system.dictionaries "
        "WHERE database = currentDatabase() AND name IN {names:Array(String)}), "
        "(SELECT max(numbered_at) FROM device_metadata_versions)",
        parameters={"names": list(DICTIONARIES)},
    ).result_rows
    loaded_at, numbered_at = rows[0]
    return loaded_at.replace(tzinfo=dt.UTC), numbered_at.replace(tzinfo=dt.UTC)
