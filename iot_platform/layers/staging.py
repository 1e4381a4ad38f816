"""Tables beside the layers, for the time of a proof: copies of partitions, and what is made to take their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import escaped, quoted
from iot_platform.clickhouse.lock import is_alive, this_process

PREFIX = "staging_"
# When the maker of a table ran on another machine, only age tells that it is gone.
ABANDONED_S = 86_400


class Copies:
    """Makes tables like others; all of them are dropped at the end of ``working_copies``."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names: list[str] = []

    def empty(self, like: str) -> str:
        """The name of a new table with the columns, keys and settings of ``like``."""
        name = f"{PREFIX}{like}_{uuid4().hex[:12]}"
        self._names.append(name)
        self._client.command(
            f"CREATE TABLE {quoted(name)} AS {quoted(like)} COMMENT '{escaped(this_process())}'",
        )
        return name

    def of(self, table: str, partitions: Sequence[str]) -> str:
        """The name of a copy of partitions as they are now: hard links, so it takes milliseconds and no room."""
        name = self.empty(table)
        for partition in partitions:
            self._client.command(
                f"ALTER TABLE {quoted(name)} ATTACH PARTITION ID '{int(partition)}' FROM {quoted(table)}"
            )
        return name

    def arrivals(self) -> str:
        """The name of a new table for arrival times by partition."""
        name = f"{PREFIX}arrivals_{uuid4().hex[:12]}"
        self._names.append(name)
        self._client.command(
            f"CREATE TABLE {quoted(name)} (partition_id String, ingested_at DateTime64(6, 'UTC')) ENGINE = Memory "
            f"COMMENT '{escaped(this_process())}'"
        )
        return name

    def drop(self) -> None:
        """Drop all of them."""
        while self._names:
            self._client.command(f"DROP TABLE IF EXISTS {quoted(self._names.pop())} SYNC")


@contextmanager
def working_copies(client: Client) -> Iterator[Copies]:
    """Copies for the length of a block. What processes that were killed left behind is dropped first."""
    drop_abandoned_copies(client)
    copies = Copies(client)
    try:
        yield copies
    finally:
        copies.drop()


def drop_abandoned_copies(client: Client) -> None:
    """Drop the tables of processes that were killed: their copies keep the room of data that is long replaced."""
    rows = client.query(
        "SELECT name, comment, now() - metadata_modification_time FROM system.tables "
        "WHERE database = currentDatabase() AND startsWith(name, {prefix:String})",
        parameters={"prefix": PREFIX},
    ).result_rows
    for name, comment, age_s in rows:
        alive = is_alive(str(comment))
        if alive is False or (alive is None and float(age_s) > ABANDONED_S):
            client.command(f"DROP TABLE IF EXISTS {quoted(str(name))} SYNC")
