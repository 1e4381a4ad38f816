"""The dictionaries through which the layers' definitions look up metadata and limits."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
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


def reload_dictionaries(client: Client, *names: str) -> None:
    """Make the views use what the tables contain now: reload the dictionaries ``names`` (default: all, and that of
    the names of meters).

    New versions of metadata get their numbers first. Every change of metadata or limits reloads all. So it also
    completes a change that was killed before its reload.
    """
    number_versions(client)
    for name in names or (*DICTIONARIES, METER_IDS):
        client.command(f"SYSTEM RELOAD DICTIONARY {quoted(str(client.database), name)}")


def reload_meter_ids(client: Client) -> None:
    """Make the views show the names of meters that were added to ``meter_ids``."""
    client.command(f"SYSTEM RELOAD DICTIONARY {quoted(str(client.database), METER_IDS)}")
