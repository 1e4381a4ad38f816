"""Rebuild partitions of a mart from the hourly one while readings arrive.

Merges combine the rows of the hourly mart, so rows that arrived meanwhile cannot be told from the others. They need not
be: a day of it is small. The new content is built first. Then the writers pause, the days that were written to since
are built again, and the partitions are swapped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted, server_time
from iot_platform.clickhouse.write_pause import inserts_running, pause_inserts
from iot_platform.layers.catalog import CHAIN_TABLES
from iot_platform.layers.definition import Definition
from iot_platform.layers.partitions import Version, partition_versions
from iot_platform.layers.staging import StagingTables
from iot_platform.layers.swap import Rebuilt, swap_partitions


class Recomputation:
    """One attempt to rebuild some partitions together."""

    def __init__(
        self, client: Client, definition: Definition, partitions: Sequence[str], tables: StagingTables
    ) -> None:
        self._client = client
        self._definition = definition
        self._layer = definition.layer
        self._partitions = partitions
        self._staging = tables.like(self._layer.table)

    def run(self) -> dict[str, Rebuilt] | None:
        """Build the new content and swap it in. None if inserts did not pause; the caller then tries again."""
        built_from = self._versions()
        self._definition.fill(self._staging, self._partitions)
        with pause_inserts(self._client, CHAIN_TABLES) as is_quiet:
            at, versions = server_time(self._client), self._versions()
            # An insert that started before the versions were read either still runs or is included in them.
            if not is_quiet or inserts_running(self._client, CHAIN_TABLES):
                return None
            changed = [name for name in self._partitions if versions.get(name) != built_from.get(name)]
            for name in changed:
                self._client.command(f"ALTER TABLE {quoted(self._staging)} DROP PARTITION ID '{int(name)}'")
            if changed:
                self._definition.fill(self._staging, changed)
            content = self._definition.actual(self._partitions, table=self._staging)
            swap_partitions(self._client, self._layer.table, self._staging, self._partitions)
            own = partition_versions(self._client, self._layer.table)
            if any(self._versions().get(name) != versions.get(name) for name in self._partitions):
                return None
        return {
            name: Rebuilt(
                at=at,
                content=content[name],
                duplicates=0,
                source_version=str(versions.get(name, "")),
                own_version=str(own.get(name, "")),
                arrived_rows=0,
            )
            for name in self._partitions
        }

    def _versions(self) -> Mapping[str, Version]:
        return partition_versions(self._client, self._layer.source)
