"""Store a change of a limit, make the views use it, and invalidate the days that have readings it affects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.clickhouse.lock import server_lock
from iot_platform.clickhouse.rows import insert_rows
from iot_platform.layers.catalog import IMPOSSIBLE_TIMES, L2, LIMIT_TABLES, QUARANTINE, RAW_TABLE, Layer
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.invalidations import invalidation, repeat_unfinished_invalidations


@dataclass(frozen=True)
class AffectedReadings:
    """The readings of L1 that are valid under one of the limits, old or new, and refused under the other.

    ``condition``: a condition in SQL, ``values``: its parameters.
    """

    condition: str
    values: Mapping[str, Any]


@contextmanager
def limits_locked(client: Client) -> Iterator[None]:
    """Keep other processes from changing limits or metadata. Raises PlatformError if one of them takes too long."""
    with ExitStack() as locks:
        for table in LIMIT_TABLES:
            locks.enter_context(server_lock(client, table))
        yield


def store_limit(
    client: Client, table: str, row: Mapping[str, Any], affected: AffectedReadings, reason: str
) -> set[str]:
    """Store a row of a limits table and reload the dictionaries. Call it within ``limits_locked``.

    Returns the partitions of L1 with ``affected`` readings; these days are unverified from now on.
    """
    touched: dict[Layer, set[str]] = {L2: set(), QUARANTINE: set()}
    _add_affected(client, affected, touched)
    with invalidation(client, touched, reason) as changed_at:
        insert_rows(client, table, [[*row.values(), changed_at]], [*row, "recorded_at"])
        reload_dictionaries(client)
        # Readings that arrived since the first look may have been checked, and even proved, with the old limit.
        _add_affected(client, affected, touched)
    repeat_unfinished_invalidations(client)
    return touched[QUARANTINE]


def _add_affected(client: Client, affected: AffectedReadings, touched: dict[Layer, set[str]]) -> None:
    rows = client.query(
        f"SELECT DISTINCT _partition_id FROM {quoted(RAW_TABLE)} WHERE {affected.condition}",
        parameters=dict(affected.values),
    ).result_rows
    found = {str(row[0]) for row in rows}
    touched[QUARANTINE] |= found
    # Readings with impossible times are refused under every limit; only their reject_reason may change.
    touched[L2] |= found - {IMPOSSIBLE_TIMES}
