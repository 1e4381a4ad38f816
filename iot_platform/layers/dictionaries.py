"""The dictionaries through which the layers' definitions look up metadata and limits."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted

DICTIONARIES = ("device_current", "device_history", "device_limits", "reading_time_limits")


def reload_dictionaries(client: Client, *names: str) -> None:
    """Make the views use what the tables contain now: reload the dictionaries ``names`` (default: all of them).

    Every change of metadata or limits reloads all. So it also completes a change that was killed before its reload.
    """
    for name in names or DICTIONARIES:
        client.command(f"SYSTEM RELOAD DICTIONARY {quoted(str(client.database), name)}")
