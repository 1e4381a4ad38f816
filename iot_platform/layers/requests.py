"""Days to prove again because metadata or limits have changed: no insert tells, since the raw readings stay the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client

from iot_platform.layers.model import Layer

TABLE = "proof_requests"
_COLUMNS = ["layer", "partition_id", "changed_at", "requested_at", "reason"]


@contextmanager
def input_change(client: Client, touched: Mapping[Layer, Collection[str]], reason: str) -> Iterator[dt.datetime]:
    """Request proofs of the partitions that a change of metadata or limits touches, around that change.

    The block stores the change, with the yielded time as its ``recorded_at``, and reloads the dictionaries. Requested
    before it, so that a crash leaves the days open; and once more after it, because a proof that ran meanwhile may
    still have seen the old dictionaries. ``touched`` names the layers whose definition looks the change up; those
    below follow when these are rebuilt. When the block raises, the first requests stay: a proof too many does no harm.
    """
    changed_at = _now(client)
    names = [(layer.name, partition) for layer, found in touched.items() for partition in sorted(found)]
    # A change without days leaves a trace, too: rows in the input tables without one were written past the platform.
    rows = [(*name, changed_at) for name in [*names, ("", "")]]
    _insert(client, rows, changed_at, reason)
    yield changed_at
    _insert(client, rows, _now(client), reason)


def repeat_unfinished(client: Client) -> int:
    """Request the proofs of changes again that were killed before their dictionaries were reloaded.

    Call it after a reload, under the lock of the changed table. Returns the number of requests.
    """
    unfinished = client.query(
        f"SELECT layer, partition_id, changed_at, any(reason) FROM {TABLE} "
        "GROUP BY layer, partition_id, changed_at HAVING count() = 1"
    ).result_rows
    for layer, partition, changed_at, reason in unfinished:
        _insert(client, [(layer, partition, changed_at.replace(tzinfo=dt.UTC))], _now(client), reason)
    return len(unfinished)


def _now(client: Client) -> dt.datetime:
    now: dt.datetime = client.query("SELECT now64(6, 'UTC')").result_rows[0][0]
    return now.replace(tzinfo=dt.UTC)


def _insert(client: Client, rows: list[tuple[str, str, dt.datetime]], requested_at: dt.datetime, reason: str) -> None:
    client.insert(TABLE, [[*row, requested_at, reason] for row in rows], column_names=_COLUMNS)
