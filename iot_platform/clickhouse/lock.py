"""A lock for all processes that use the same ClickHouse, also on different machines."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psutil
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from iot_platform.clickhouse.client import UNKNOWN_TABLE, escaped, quoted
from iot_platform.errors import PlatformError

TABLE_ALREADY_EXISTS = 57
_POLL_S = 0.05
# A process on another machine cannot be looked up. Its lock counts as abandoned at this age.
STALE_S = 900
# A stale lock is renamed before it is dropped: to the lock's name, this mark and a random number.
_STALE_MARK = "_stale_"

# Locks that this process holds or waits for. Locks that it could not drop (server unreachable) are not among them.
_wanted: set[str] = set()


class LockHeldError(PlatformError):
    """Another process holds a lock, or this one does already."""


class HeldLock:
    """A lock that this process holds, as ``server_lock`` yields it."""

    def __init__(self, client: Client, table: str, holder: str) -> None:
        self._client = client
        self._table = table
        self._holder = holder
        self._renewed_at = time.monotonic()

    @property
    def is_renewable(self) -> bool:
        """Whether the lock is young enough to be surely ours: no process may break it before the age of STALE_S."""
        return time.monotonic() - self._renewed_at < STALE_S / 2

    def is_held(self) -> bool:
        """Whether no other process has taken the lock over."""
        return _comment(self._client, self._table) == self._holder

    def renew(self) -> None:
        """Make the lock as young as a new one. Who holds a lock for minutes calls this each few minutes.

        Raises PlatformError when the lock is too old, or another process has taken it over.
        """
        started = time.monotonic()
        found = _comment(self._client, self._table)
        if found != self._holder:
            raise PlatformError(
                f"{self._table}, held by this process until now, was taken over by "
                f"{found or 'a process that has released it since'}. Nothing was written since; try again."
            )
        if not self.is_renewable:
            raise PlatformError(
                f"{self._table}, held by this process, was not renewed for {started - self._renewed_at:.0f} s, so "
                "another process may take it over. Nothing was written since; try again."
            )
        # Writes the table's metadata anew, with the present time.
        self._client.command(f"ALTER TABLE {quoted(self._table)} MODIFY COMMENT '{escaped(self._holder)}'")
        self._renewed_at = started


@contextmanager
def server_lock(client: Client, name: str, *, wait_s: float = 60) -> Iterator[HeldLock]:
    """Hold the lock ``name`` of the client's database for the length of a ``with`` block.

    ClickHouse has no locks, but only one of several ``CREATE TABLE`` of the same name succeeds; that table is the
    lock, and its comment says who holds it. A lock whose holder died on this machine is taken over at once; a lock of
    another machine when it is older than STALE_S seconds. Raises LockHeldError after ``wait_s`` seconds.
    """
    table = f"lock_{name}"
    holder = this_process()
    deadline = time.monotonic() + wait_s
    _wanted.add(holder)
    try:
        while not _create(client, table, holder):
            _break_if_stale(client, table)
            if time.monotonic() > deadline:
                found = _comment(client, table) or "an unknown process"
                raise LockHeldError(
                    f"Lock {name!r} is still held after {wait_s:.0f} s by {found}. "
                    f"If that process is gone: DROP TABLE {quoted(table)}."
                )
            time.sleep(_POLL_S)
        try:
            yield HeldLock(client, table, holder)
        finally:
            # Only our own lock: after a takeover the table belongs to another process.
            if _comment(client, table) == holder:
                client.command(f"DROP TABLE IF EXISTS {quoted(table)} SYNC")
    finally:
        _wanted.discard(holder)


def drop_abandoned_locks(client: Client) -> None:
    """Drop locks of killed processes that no other process has asked for since."""
    rows = client.query(
        "SELECT name, comment FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'lock_')"
    ).result_rows
    for name, comment in rows:
        if _STALE_MARK not in str(name):
            _break_if_stale(client, str(name))
        elif is_alive(str(comment)) is False:
            client.command(f"DROP TABLE IF EXISTS {quoted(str(name))} SYNC")


def this_process() -> str:
    """This process as the comment of a table, in a form that ``is_alive`` reads; different at each call."""
    process = psutil.Process()
    identity = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": process.create_time(),
        "lock": uuid4().hex,
    }
    return json.dumps(identity, sort_keys=True)


def _create(client: Client, table: str, holder: str) -> bool:
    try:
        client.command(
            f"CREATE TABLE {quoted(table)} (nothing UInt8) ENGINE = Null COMMENT '{escaped(holder)}'",
        )
    except Error as error:
        if error.code == TABLE_ALREADY_EXISTS:
            return False
        raise
    return True


def _comment(client: Client, table: str) -> str | None:
    rows = client.query(
        "SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        parameters={"table": table},
    ).result_rows
    return str(rows[0][0]) if rows else None


def _break_if_stale(client: Client, table: str) -> None:
    rows = client.query(
        "SELECT comment, now() - metadata_modification_time FROM system.tables "
        "WHERE database = currentDatabase() AND name = {table:String}",
        parameters={"table": table},
    ).result_rows
    if not rows:
        return
    alive = is_alive(str(rows[0][0])) and not _was_left_behind(str(rows[0][0]))
    if alive or (alive is None and float(rows[0][1]) <= STALE_S):
        return
    # A rename succeeds for one process only, so two waiting processes cannot both break the lock. The renamed table may
    # be a new lock that was taken in between; then it is renamed back.
    renamed = f"{table}{_STALE_MARK}{uuid4().hex}"
    if not _rename(client, table, renamed):
        return
    if _comment(client, renamed) == rows[0][0]:
        client.command(f"DROP TABLE {quoted(renamed)} SYNC")
    else:
        _rename(client, renamed, table)


def _was_left_behind(comment: str) -> bool:
    """Whether this process held the lock and could not drop it."""
    return json.loads(comment)["pid"] == os.getpid() and comment not in _wanted


def _rename(client: Client, old: str, new: str) -> bool:
    try:
        client.command(f"RENAME TABLE {quoted(old)} TO {quoted(new)}")
    except Error as error:
        if error.code in (UNKNOWN_TABLE, TABLE_ALREADY_EXISTS):
            return False
        raise
    return True


def is_alive(comment: str) -> bool | None:
    """Whether the process in a comment of ``this_process`` is alive; None: unknown, as it ran on another machine."""
    try:
        holder = json.loads(comment)
        if holder["host"] != socket.gethostname():
            return None
        return bool(psutil.Process(holder["pid"]).create_time() == holder["process_started"])
    except psutil.NoSuchProcess:
        return False
    except (ValueError, KeyError):
        return None
