"""Staging tables: temporary tables beside the layers, e.g. copies of partitions, or rows that will replace them.

Each has the process that made it in its comment, so that the tables of killed processes can be found and dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import escaped, quoted
from iot_platform.clickhouse.lock import is_alive, this_process

PREFIX = "staging_"
# A process on another machine cannot be looked up. Its tables count as abandoned at this age.
ABANDONED_S = 86_400


class StagingTables:
    """Creates staging tables and drops all of them in the end; see ``staging_tables``."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names: list[str] = []

    def like(self, table: str) -> str:
        """Create an empty table with the columns, keys and settings of ``table``; returns its name."""
        return self._create(table, f"AS {quoted(table)}")

    def copy_of(self, table: str, partitions: Sequence[str]) -> str:
        """Copy partitions of ``table`` as they are now; returns the name of the copy.

        ClickHouse makes hard links, so the copy takes milliseconds and no disk space.
        """
        name = self.like(table)
        for partition in partitions:
            self._client.command(
                f"ALTER TABLE {quoted(name)} ATTACH PARTITION ID '{int(partition)}' FROM {quoted(table)}"
            )
        return name

    def in_memory(self, kind: str, columns: Mapping[str, str]) -> str:
        """Create an empty table in memory; ``columns``: type by name. Returns its name, which contains ``kind``."""
        described = ", ".join(f"{quoted(name)} {type_name}" for name, type_name in columns.items())
        return self._create(kind, f"({described}) ENGINE = Memory")

    def drop(self) -> None:
        """Drop all tables that were created."""
        while self._names:
            self._client.command(f"DROP TABLE IF EXISTS {quoted(self._names.pop())} SYNC")

    def _create(self, kind: str, definition: str) -> str:
        name = f"{PREFIX}{kind}_{uuid4().hex[:12]}"
        self._names.append(name)
        self._client.command(f"CREATE TABLE {quoted(name)} {definition} COMMENT '{escaped(this_process())}'")
        return name


@contextmanager
def staging_tables(client: Client) -> Iterator[StagingTables]:
    """Staging tables for the length of a ``with`` block. First it drops those that killed processes left behind."""
    drop_abandoned_tables(client)
    tables = StagingTables(client)
    try:
        yield tables
    finally:
        tables.drop()


def drop_abandoned_tables(client: Client) -> None:
    """Drop the staging tables of killed processes: they keep data on disk that the layers no longer use."""
    rows = client.query(
        "SELECT name, comment, now() - metadata_modification_time FROM system.tables "
        "WHERE database = currentDatabase() AND startsWith(name, {prefix:String})",
        parameters={"prefix": PREFIX},
    ).result_rows
    for name, comment, age_s in rows:
        alive = is_alive(str(comment))
        if alive is False or (alive is None and float(age_s) > ABANDONED_S):
            client.command(f"DROP TABLE IF EXISTS {quoted(str(name))} SYNC")
