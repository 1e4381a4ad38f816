"""Store a change of a limit, make the views use it, and invalidate the days that have readings it affects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.lock import server_lock
from iot_platform.clickhouse.rows import insert_rows
from iot_platform.layers.catalog import IMPOSSIBLE_TIMES, L2, LIMIT_TABLES, QUARANTINE, Layer
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.invalidations import invalidation, repeat_unfinished_invalidations

# Finds the readings of L1 that are valid under one of the limits, old or new, and refused under the other: their number
# by partition.
Find = Callable[[], Mapping[str, int]]


@contextmanager
def limits_locked(client: Client) -> Iterator[None]:
    """Keep other processes from changing limits or metadata. Raises PlatformError if one of them takes too long."""
    with ExitStack() as locks:
        for table in LIMIT_TABLES:
            locks.enter_context(server_lock(client, table))
        yield


def store_limit(client: Client, table: str, row: Mapping[str, Any], find: Find, reason: str) -> dict[str, int]:
    """Store a row of a limits table and reload the dictionaries. Call it within ``limits_locked``.

    Returns the number of readings that are judged otherwise, by partition of L1; these days are unverified from now on.
    """
    found: dict[str, int] = {}
    touched: dict[Layer, set[str]] = {L2: set(), QUARANTINE: set()}
    _add(find(), found, touched)
    with invalidation(client, touched, reason) as changed_at:
        insert_rows(client, table, [[*row.values(), changed_at]], [*row, "recorded_at"])
        reload_dictionaries(client)
        # Readings that arrived since the first look may have been checked, and even proved, with the old limit.
        _add(find(), found, touched)
    repeat_unfinished_invalidations(client)
    return found


def _add(readings: Mapping[str, int], found: dict[str, int], touched: dict[Layer, set[str]]) -> None:
    found |= readings
    touched[QUARANTINE] |= readings.keys()
    # Readings with impossible times are refused under every limit; only their reject_reason may change.
    touched[L2] |= readings.keys() - {IMPOSSIBLE_TIMES}
