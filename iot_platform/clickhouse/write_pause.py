"""A moment without inserts: the platform's writers wait for a fraction of a second, so that a partition can be swapped.

A hold makes such a moment likely; it is no lock. Whoever needs certainty compares partition versions before and after.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.lock import server_lock

LOCK = "insert_hold"
# Longest that a writer waits for a hold; then it goes on, and the hold has failed.
LONGEST_WAIT_S = 0.6
# A hold that is older was left behind by a process that died.
ABANDONED_S = 3
_POLL_S = 0.01


@contextmanager
def insert_hold(client: Client, tables: Sequence[str]) -> Iterator[bool]:
    """Ask the writers to wait, and wait for the running inserts into ``tables``.

    Yields whether there is a moment without inserts now; False: an insert is taking too long, try again later.
    """
    with server_lock(client, LOCK):
        deadline = time.monotonic() + LONGEST_WAIT_S / 2
        while running := inserts_running(client, tables):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
        yield not running


def inserts_running(client: Client, tables: Sequence[str]) -> bool:
    """Whether any INSERT into one of the tables is running now, whoever sent it.

    It looks at the server of the connection: on a cluster inserts through other replicas are not seen.
    """
    target = rf"(?is)^\s*INSERT\s+INTO\s+(?:TABLE\s+)?(?:[^\s.(]+\.)?[`\"]?(?:{'|'.join(tables)})[`\"]?(?:\s|\(|$)"
    rows = client.query(
        "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND match(query, {target:String})",
        parameters={"target": target},
    ).result_rows
    return bool(rows[0][0])


def wait_while_held(client: Client) -> float:
    """Wait until nobody asks for a moment without inserts, LONGEST_WAIT_S at most; returns the seconds waited."""
    started = time.monotonic()
    while _is_held(client) and time.monotonic() - started < LONGEST_WAIT_S:
        time.sleep(_POLL_S)
    return time.monotonic() - started


def _is_held(client: Client) -> bool:
    rows = client.query(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {name:String} "
        "AND now() - metadata_modification_time <= {abandoned:UInt32}",
        parameters={"name": f"lock_{LOCK}", "abandoned": ABANDONED_S},
    ).result_rows
    return bool(rows[0][0])
