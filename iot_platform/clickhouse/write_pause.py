"""Pause the platform's writers for a fraction of a second, so that a partition can be swapped between two inserts.

The pause is advisory and not a lock. Code that needs certainty compares the partition's version before and after.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.clickhouse.lock import server_lock

# Writers of older versions look for the table lock_insert_hold.
LOCK = "insert_hold"
# The longest time that a writer waits for a pause to end. Then it continues, and the pause has failed.
LONGEST_WAIT_S = 0.6
# An older pause was left behind by a process that died.
ABANDONED_S = 3
_POLL_S = 0.01


@contextmanager
def pause_inserts(client: Client, tables: Sequence[str]) -> Iterator[bool]:
    """Ask the writers to wait, and wait for the running inserts into ``tables`` to end.

    Yields True when no insert is running. False: an insert is taking too long; try again later.
    """
    with server_lock(client, LOCK):
        deadline = time.monotonic() + LONGEST_WAIT_S / 2
        while running := inserts_running(client, tables):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
        yield not running


def inserts_running(client: Client, tables: Sequence[str]) -> bool:
    """Whether any client is running an INSERT into one of the tables.

    It sees only the server of this connection: on a cluster, inserts through other replicas go unnoticed.
    """
    target = rf"(?is)^\s*INSERT\s+INTO\s+(?:TABLE\s+)?(?:[^\s.(]+\.)?[`\"]?(?:{'|'.join(tables)})[`\"]?(?:\s|\(|$)"
    rows = client.query(
        "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND match(query, {target:String})",
        parameters={"target": target},
    ).result_rows
    return bool(rows[0][0])


def wait_while_paused(client: Client) -> float:
    """Wait for the end of a pause, LONGEST_WAIT_S at most; returns the seconds waited."""
    started = time.monotonic()
    while _is_paused(client) and time.monotonic() - started < LONGEST_WAIT_S:
        time.sleep(_POLL_S)
    return time.monotonic() - started


def _is_paused(client: Client) -> bool:
    # Asked before each insert, and hardly ever true: EXISTS looks up one name, where system.tables lists them all.
    if not int(str(client.command(f"EXISTS TABLE {quoted(f'lock_{LOCK}')}"))):
        return False
    rows = client.query(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {name:String} "
        "AND now() - metadata_modification_time <= {abandoned:UInt32}",
        parameters={"name": f"lock_{LOCK}", "abandoned": ABANDONED_S},
    ).result_rows
    return bool(rows[0][0])
