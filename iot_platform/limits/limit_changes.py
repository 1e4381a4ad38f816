"""Change a limit: store it, let the views see it, and request proofs of the days whose readings it judges otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.clickhouse.lock import server_lock
from iot_platform.clickhouse.rows import insert_rows
from iot_platform.layers.catalog import IMPOSSIBLE_TIMES, L2, QUARANTINE, RAW_TABLE, Layer
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.invalidations import invalidation, repeat_unfinished_invalidations

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
    touched: dict[Layer, set[str]] = {L2: set(), QUARANTINE: set()}
    _look(client, judged_otherwise, touched)
    with invalidation(client, touched, reason) as changed_at:
        insert_rows(client, table, [[*row.values(), changed_at]], [*row, "recorded_at"])
        reload_dictionaries(client)
        # What arrived since the first look may have been judged, and even proved, by the old limit.
        _look(client, judged_otherwise, touched)
    repeat_unfinished_invalidations(client)
    return touched[QUARANTINE]


def _look(client: Client, readings: Readings, touched: dict[Layer, set[str]]) -> None:
    rows = client.query(
        f"SELECT DISTINCT _partition_id FROM {quoted(RAW_TABLE)} WHERE {readings.condition}",
        parameters=dict(readings.values),
    ).result_rows
    found = {str(row[0]) for row in rows}
    touched[QUARANTINE] |= found
    # Impossible times are refused by any limit; only the reason may be another one.
    touched[L2] |= found - {IMPOSSIBLE_TIMES}
