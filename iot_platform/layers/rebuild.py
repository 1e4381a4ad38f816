"""Rebuild partitions of a layer from its source while readings arrive, without losing or duplicating any of them.

The new content is built in a staging table. Rows that arrive in the source meanwhile are found by their arrival time
and added. Then the writers pause, the last rows are added, and the partitions are swapped. The pause is advisory, so
the swap is verified: the versions of the source's partitions must be the same before and after it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted, server_time
from iot_platform.clickhouse.lock import server_lock
from iot_platform.clickhouse.write_pause import inserts_running, pause_inserts
from iot_platform.errors import ProofError
from iot_platform.layers.catalog import CHAIN_TABLES
from iot_platform.layers.day_versions import DayVersion
from iot_platform.layers.definition import NO_DEDUPLICATION, Definition
from iot_platform.layers.partitions import (
    Version,
    in_partitions,
    part_names,
    partition_rows,
    partition_versions,
    table_states,
)
from iot_platform.layers.recomputation import Recomputation
from iot_platform.layers.staging import StagingTables, staging_tables
from iot_platform.layers.swap import Rebuilt, swap_partitions

# Partitions swapped in one pause of the writers. Each swap takes about ten milliseconds.
PARTITIONS_PER_SWAP = 20
# The pause starts when at most this many rows remain to be added, which takes about a tenth of a second.
MAX_ROWS_IN_PAUSE = 100_000
CATCH_UP_ROUNDS = 5
SWAP_ATTEMPTS = 10
PATIENCE_S = 600.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0

_ARRIVAL_COLUMNS = {"partition_id": "String", "ingested_at": "DateTime64(6, 'UTC')"}


def rebuild_partitions(client: Client, definition: Definition, partitions: Sequence[str]) -> dict[str, Rebuilt]:
    """Rebuild partitions of a layer from its source, a few at a time. A database runs one rebuild at a time.

    Raises ProofError if inserts did not pause within ten minutes. The partition then has its old content, or lacks
    readings that arrived meanwhile; the next proof finds that. L1 and the source are never changed.
    """
    done: dict[str, Rebuilt] = {}
    with server_lock(client, "rebuild", wait_s=PATIENCE_S):
        for start in range(0, len(partitions), PARTITIONS_PER_SWAP):
            done |= _rebuild_together(client, definition, partitions[start : start + PARTITIONS_PER_SWAP])
    return done


def _rebuild_together(client: Client, definition: Definition, partitions: Sequence[str]) -> dict[str, Rebuilt]:
    deadline = time.monotonic() + PATIENCE_S
    pause_s = FIRST_PAUSE_S
    in_flux: set[str] = set()
    while True:
        with staging_tables(client) as staging:
            if definition.layer.is_monthly:
                done = Recomputation(client, definition, partitions, staging, in_flux).run()
            else:
                done = _Rebuild(client, definition, partitions, staging).run()
        if done is not None:
            return done
        if time.monotonic() > deadline:
            raise ProofError(
                f"{definition.layer.name}, partitions {partitions[0]} to {partitions[-1]}: inserts did not pause "
                f"within {PATIENCE_S:.0f} s. L1 is unchanged. Look for long INSERTs in system.processes, then prove "
                "these days again."
            )
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


class _Rebuild:
    """One attempt to rebuild some partitions together."""

    def __init__(
        self, client: Client, definition: Definition, partitions: Sequence[str], tables: StagingTables
    ) -> None:
        self._client = client
        self._definition = definition
        self._partitions = partitions
        self._tables = tables
        self._layer = definition.layer
        # Staged so far: parts of the source, number of its rows by partition, table of their arrival times.
        self._parts: set[str] = set()
        self._rows: dict[str, int] = {}
        self._arrivals: str | None = None

    def run(self) -> dict[str, Rebuilt] | None:
        """Build the new content and swap it in. None if inserts did not pause; the caller then tries again."""
        at = server_time(self._client)
        self._parts = part_names(self._client, self._layer.source, self._partitions)
        versions = partition_versions(self._client, self._layer.source)
        self._copy = self._tables.copy_of(self._layer.source, [name for name in self._partitions if name in versions])
        self._rows = dict(partition_rows(self._client, self._copy))
        self._copied_rows = dict(self._rows)
        self._staging = self._tables.like(self._layer.table)
        self._definition.fill(self._staging, self._partitions, source=self._copy)
        content = self._definition.actual(self._partitions, table=self._staging)
        duplicates = self._definition.duplicates(content, source=self._copy)
        for _ in range(SWAP_ATTEMPTS):
            for _ in range(CATCH_UP_ROUNDS):
                if self._catch_up() <= MAX_ROWS_IN_PAUSE:
                    break
            own_versions = self._swap()
            if own_versions is not None:
                return {
                    name: Rebuilt(
                        at=at,
                        duplicates=duplicates[name],
                        content=content[name],
                        source_version=str(versions.get(name, "")),
                        own_version=str(own_versions.get(name, "")),
                        arrived_rows=self._rows.get(name, 0) - self._copied_rows.get(name, 0),
                    )
                    for name in self._partitions
                }
            time.sleep(FIRST_PAUSE_S)
        return None

    def _swap(self) -> Mapping[str, Version | DayVersion] | None:
        """Replace the layer's partitions by the staged ones. None if an insert interfered."""
        source = self._layer.source
        with pause_inserts(self._client, CHAIN_TABLES) as is_quiet:
            _, states = table_states(self._client, [source])
            versions, rows = states[source].versions, states[source].rows
            # An insert that started before the versions were read either still runs or is included in them.
            if not is_quiet or inserts_running(self._client, CHAIN_TABLES):
                return None
            self._catch_up()
            for name in self._partitions:
                if rows.get(name, 0) != self._rows.get(name, 0):
                    return None
            swap_partitions(self._client, self._layer.table, self._staging, self._partitions)
            own = partition_versions(self._client, self._layer.table)
            after = partition_versions(self._client, source)
            return own if all(versions.get(name) == after.get(name) for name in self._partitions) else None

    def _catch_up(self) -> int:
        """Add the rows that arrived in the source since the last time, as the views do; returns their number."""
        parts = part_names(self._client, self._layer.source, self._partitions)
        if not parts - self._parts:
            return 0
        if self._arrivals is None:
            self._arrivals = self._tables.in_memory("arrivals", _ARRIVAL_COLUMNS)
            self._remember(self._copy)
        arrived = self._tables.like(self._layer.source)
        # Parts that were staged contain nothing new. A merged part may; its arrival times show which rows are new.
        known = ", ".join(f"'{name}'" for name in sorted(parts & self._parts)) or "''"
        self._client.command(
            f"INSERT INTO {quoted(arrived)} SELECT * FROM {quoted(self._layer.source)} "
            f"WHERE {in_partitions(self._partitions)} AND _part NOT IN ({known}) "
            f"AND (toString(_partition_id), ingested_at) NOT IN (SELECT * FROM {quoted(self._arrivals)}) "
            f"SETTINGS {NO_DEDUPLICATION}"
        )
        self._parts = parts
        added = partition_rows(self._client, arrived)
        if added:
            self._remember(arrived)
            self._definition.fill(self._staging, self._partitions, source=arrived)
        for name, count in added.items():
            self._rows[name] = self._rows.get(name, 0) + count
        return sum(added.values())

    def _remember(self, table: str) -> None:
        assert self._arrivals is not None
        self._client.command(
            f"INSERT INTO {quoted(self._arrivals)} SELECT DISTINCT _partition_id, ingested_at FROM {quoted(table)}"
        )
