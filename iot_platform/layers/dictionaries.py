"""The dictionaries through which the layers' definitions look up metadata and limits."""

from __future__ import annotations

import datetime as dt

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.layers.catalog import LIMIT_TABLES
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


def take_up_manual_changes(client: Client) -> None:
    """Reload the dictionaries if rows were written by hand to metadata or limits since they were loaded.

    Without that, a proof would compare with what held before, and be valid for what holds now.
    """
    changed_at = max(last_manual_changes(client, LIMIT_TABLES).values())
    # A dictionary's time has whole seconds, and one that nobody has read yet has none.
    if changed_at > NEVER and changed_at.replace(microsecond=0) >= _loaded_at(client):
        reload_dictionaries(client)


def _reload(client: Client, name: str) -> None:
    client.command(f"SYSTEM RELOAD DICTIONARY {quoted(str(client.database), name)}")


def _loaded_at(client: Client) -> dt.datetime:
    rows = client.query(
        "SELECT toTimeZone(min(loading_start_time), 'UTC') FROM system.dictionaries "
        "WHERE database = currentDatabase() AND name IN {names:Array(String)}",
        parameters={"names": list(DICTIONARIES)},
    ).result_rows
    loaded_at: dt.datetime = rows[0][0]
    return loaded_at.replace(tzinfo=dt.UTC)
