"""Days to prove again because metadata or limits have changed, which no version of a partition tells."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted, server_time
from iot_platform.layers.catalog import IMPOSSIBLE_TIMES, L2, L3, QUARANTINE, Layer

TABLE = "proof_requests"
# Layers whose definitions look up metadata or limits.
LOOKING_UP = (L2, QUARANTINE, L3)
_COLUMNS = ["layer", "partition_id", "changed_at", "requested_at", "reason"]


@contextmanager
def input_change(client: Client, touched: Mapping[Layer, Collection[str]], reason: str) -> Iterator[dt.datetime]:
    """Request proofs of the partitions that a change of metadata or limits touches, around that change.

    The block stores the change, with the yielded time as its ``recorded_at``, and reloads the dictionaries. Requested
    before it, so that a crash leaves the days open; and once more after it, because a proof that ran meanwhile may
    still have seen the old dictionaries. ``touched`` names the layers whose definition looks the change up; those
    below follow when these are rebuilt. The block may add partitions to it that readings came to meanwhile. When the
    block raises, the first requests stay: a proof too many does no harm.
    """
    changed_at = server_time(client)
    first = _names(touched)
    _insert(client, first, changed_at, changed_at, reason)
    yield changed_at
    found = _names(touched)
    # Those that the block has added get both requests, or they would look unfinished.
    _insert(client, [name for name in found if name not in first], changed_at, changed_at, reason)
    _insert(client, found, changed_at, server_time(client), reason)


def repeat_unfinished(client: Client) -> int:
    """Request the proofs of changes again that were killed before their dictionaries were reloaded.

    Call it after a reload, under the lock of the changed table. Returns the number of requests. Readings that arrived
    since such a change still met the old dictionaries: the days that were written to are requested, too.
    """
    unfinished = client.query(
        f"SELECT changed_at, any(reason), groupArrayIf((layer, partition_id), count = 1) FROM (SELECT layer, "
        f"partition_id, changed_at, any(reason) AS reason, count() AS count FROM {TABLE} "
        "GROUP BY layer, partition_id, changed_at) GROUP BY changed_at HAVING countIf(count = 1) > 0"
    ).result_rows
    requests = 0
    for naive, reason, names in unfinished:
        changed_at = naive.replace(tzinfo=dt.UTC)
        written = _names({layer: _written_since(client, layer, changed_at) for layer in LOOKING_UP})
        late = [name for name in written if name not in names]
        _insert(client, late, changed_at, changed_at, reason)
        _insert(client, [*names, *late], changed_at, server_time(client), reason)
        requests += len(names) + len(late)
    return requests


def unanswered(client: Client, layer: Layer, changed_table: str) -> set[str]:
    """Partitions of a layer that no proof has found equal since a change of a table requested it."""
    rows = client.query(
        f"""
        SELECT requests.partition_id
        FROM
        (
            SELECT partition_id, max(requested_at) AS at FROM {TABLE}
            WHERE layer = {{layer:String}} AND changed_at IN (SELECT recorded_at FROM {quoted(changed_table)})
            GROUP BY partition_id
        ) AS requests
        LEFT JOIN
        (
            SELECT partition_id, max(proved_at) AS at FROM partition_proofs
            WHERE layer = {{layer:String}} AND is_equal
            GROUP BY partition_id
        ) AS proofs ON proofs.partition_id = requests.partition_id
        WHERE requests.at >= proofs.at
        """,
        parameters={"layer": layer.name},
    ).result_rows
    return {str(row[0]) for row in rows}


def _names(touched: Mapping[Layer, Collection[str]]) -> list[tuple[str, str]]:
    # A change without days leaves a trace, too: rows in the input tables without one were written past the platform.
    return [(layer.name, partition) for layer, found in touched.items() for partition in sorted(found)] + [("", "")]


def _written_since(client: Client, layer: Layer, time: dt.datetime) -> set[str]:
    """Days of a layer's source that were written to since. (Merges count, too: they can only make it more.)"""
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
        client.insert(TABLE, rows, column_names=_COLUMNS)
