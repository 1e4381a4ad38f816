"""Change a limit: store it, let the views see it, and request proofs of the days whose readings it judges otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.clickhouse.lock import server_lock
from iot_platform.devices.refresh import DICTIONARIES, reload_dictionaries
from iot_platform.layers.model import IMPOSSIBLE_TIMES, L2, QUARANTINE, RAW_TABLE
from iot_platform.layers.requests import input_change, repeat_unfinished

TIME_DICTIONARY = "reading_time_limits"
# All that decides about a reading; a limit of a building type also depends on the metadata.
_INPUTS = ("device_metadata", "power_limits", "time_limits")


@dataclass(frozen=True)
class Readings:
    """Readings of L1: a condition in SQL and the values bound in it."""

    condition: str
    values: Mapping[str, Any]


@contextmanager
def inputs_locked(client: Client) -> Iterator[None]:
    """Keep other processes from changing limits or metadata. Raises PlatformError when one of them takes too long."""
    with ExitStack() as locks:
        for table in _INPUTS:
            locks.enter_context(server_lock(client, table))
        yield


def store_limit(
    client: Client, table: str, row: Mapping[str, Any], judged_otherwise: Readings, reason: str
) -> set[str]:
    """Store a row of a limits table and reload what the views look up; hold ``inputs_locked`` meanwhile.

    Returns the partitions of L1 with readings that are ``judged_otherwise`` from now on; their proofs are requested.
    """
    found = _partitions(client, judged_otherwise)
    with input_change(client, _touched(found), reason) as changed_at:
        client.insert(table, [[*row.values(), changed_at]], column_names=[*row, "recorded_at"])
        reload_dictionaries(client, *DICTIONARIES, TIME_DICTIONARY)
    # What arrived since the first look may have been judged, and even proved, by the old limit.
    late = _partitions(client, judged_otherwise) - found
    if late:
        with input_change(client, _touched(late), reason):
            pass
    repeat_unfinished(client)
    return found | late


def _partitions(client: Client, readings: Readings) -> set[str]:
    rows = client.query(
        f"SELECT DISTINCT _partition_id FROM {quoted(RAW_TABLE)} WHERE {readings.condition}",
        parameters=dict(readings.values),
    ).result_rows
    return {str(row[0]) for row in rows}


def _touched(partitions: set[str]) -> dict[Any, set[str]]:
    return {L2: partitions - {IMPOSSIBLE_TIMES}, QUARANTINE: partitions}
