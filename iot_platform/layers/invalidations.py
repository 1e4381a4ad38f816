"""Days that a change of metadata or limits makes unverified.

Such a change writes nothing into the partitions of these days, so their versions do not show it. Therefore each change
stores which days it invalidates, in the table ``proof_requests``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import escaped, quoted, server_time
from iot_platform.clickhouse.rows import insert_rows
from iot_platform.layers.catalog import IMPOSSIBLE_TIMES, L2, L3, LIMIT_TABLES, QUARANTINE, Layer

TABLE = "proof_requests"
NEVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# Layers whose definitions look up metadata or limits.
LAYERS_WITH_LOOKUPS = (L2, QUARANTINE, L3)
_COLUMNS = ["layer", "partition_id", "changed_at", "requested_at", "reason"]


@contextmanager
def invalidation(client: Client, touched: Mapping[Layer, Collection[str]], reason: str) -> Iterator[dt.datetime]:
    """Invalidate the partitions ``touched`` by a change of metadata or limits that the ``with`` block stores.

    The block stores the change with the yielded time as its ``recorded_at`` and reloads the dictionaries. It may add
    partitions to ``touched`` that readings arrived in meanwhile. The layers in ``touched`` are those whose definition
    looks up the change; later layers become unverified when these are rebuilt.

    Each invalidation is stored twice. Before the block, so that the days are unverified after a crash; and after it,
    because a proof that ran meanwhile may still have used the old dictionaries. If the block raises, the first ones
    stay: an unnecessary proof does no harm.
    """
    changed_at = server_time(client)
    first = _rows(touched)
    _insert(client, first, changed_at, changed_at, reason)
    yield changed_at
    found = _rows(touched)
    # Partitions that the block added need both rows, because a partition with one row counts as unfinished.
    _insert(client, [name for name in found if name not in first], changed_at, changed_at, reason)
    _insert(client, found, changed_at, server_time(client), reason)


def repeat_unfinished_invalidations(client: Client) -> int:
    """Store the second invalidation of changes that were killed before they reloaded the dictionaries.

    Call it after a reload, under the lock of the changed table. Readings that arrived since such a change were joined
    with the old dictionaries, so the days that were written to since are invalidated too. Returns the number of
    invalidations.
    """
    unfinished = client.query(
        f"SELECT changed_at, any(reason), groupArrayIf((layer, partition_id), count = 1) FROM (SELECT layer, "
        f"partition_id, changed_at, any(reason) AS reason, count() AS count FROM {TABLE} "
        "GROUP BY layer, partition_id, changed_at) GROUP BY changed_at HAVING countIf(count = 1) > 0"
    ).result_rows
    count = 0
    for naive, reason, names in unfinished:
        changed_at = naive.replace(tzinfo=dt.UTC)
        written = _rows({layer: _written_since(client, layer, changed_at) for layer in LAYERS_WITH_LOOKUPS})
        late = [name for name in written if name not in names]
        _insert(client, late, changed_at, changed_at, reason)
        _insert(client, [*names, *late], changed_at, server_time(client), reason)
        count += len(names) + len(late)
    return count


def pending_invalidations(client: Client, layer: Layer, changed_table: str) -> set[str]:
    """Partitions of a layer that a change of ``changed_table`` invalidated and that were not verified since."""
    rows = client.query(
        f"""
        SELECT invalidations.partition_id
        FROM
        (
            SELECT partition_id, max(requested_at) AS at FROM {TABLE}
            WHERE layer = {{layer:String}} AND changed_at IN (SELECT recorded_at FROM {quoted(changed_table)})
            GROUP BY partition_id
        ) AS invalidations
        LEFT JOIN
        (
            SELECT partition_id, max(proved_at) AS at FROM partition_proofs
            WHERE layer = {{layer:String}} AND is_equal
            GROUP BY partition_id
        ) AS proofs ON proofs.partition_id = invalidations.partition_id
        WHERE invalidations.at >= proofs.at
        """,
        parameters={"layer": layer.name},
    ).result_rows
    return {str(row[0]) for row in rows}


def changed_since(client: Client, time: dt.datetime) -> bool:
    """Whether metadata or limits were changed since ``time`` (UTC), by the platform or by hand."""
    rows = client.query(f"SELECT max(requested_at) FROM {TABLE}").result_rows
    requested_at: dt.datetime = rows[0][0].replace(tzinfo=dt.UTC)
    return max(requested_at, *last_manual_changes(client, LIMIT_TABLES).values()) >= time


def last_manual_changes(client: Client, tables: Collection[str]) -> dict[str, dt.datetime]:
    """When a row was last inserted by hand into each of the tables; 1970: never. It invalidates all older proofs.

    The platform stores its own changes in proof_requests, with the days that they invalidate.
    """
    if not tables:
        return {}
    rows = client.query(
        " UNION ALL ".join(
            f"SELECT '{escaped(table)}', max(recorded_at) FROM {quoted(table)} "
            f"WHERE recorded_at NOT IN (SELECT changed_at FROM {quoted(TABLE)})"
            for table in sorted(tables)
        )
    ).result_rows
    return {str(table): at.replace(tzinfo=dt.UTC) for table, at in rows}


def _rows(touched: Mapping[Layer, Collection[str]]) -> list[tuple[str, str]]:
    # A change that affects no day gets a row too: without one, status.py takes the change for one made by hand.
    return [(layer.name, partition) for layer, found in touched.items() for partition in sorted(found)] + [("", "")]


def _written_since(client: Client, layer: Layer, time: dt.datetime) -> set[str]:
    """Days of a layer's source that were written to since ``time``. (Merged days are included; that does no harm.)"""
    rows = client.query(
        "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = currentDatabase() "
        "AND table = {table:String} AND modification_time >= toStartOfSecond({time:DateTime64(6, 'UTC')})",
        parameters={"table": layer.source, "time": time},
    ).result_rows
    found = {str(row[0]) for row in rows}
    return found if layer.has_impossible_times else found - {IMPOSSIBLE_TIMES}


def _insert(
    client: Client, names: Sequence[tuple[str, str]], changed_at: dt.datetime, requested_at: dt.datetime, reason: str
) -> None:
    if names:
        rows = [[*name, changed_at, requested_at, reason] for name in names]
        insert_rows(client, TABLE, rows, _COLUMNS)
