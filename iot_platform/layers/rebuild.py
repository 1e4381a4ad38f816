"""Rebuild partitions of a layer from its source while readings keep arriving, without losing or doubling any of them.

The new content is made beside the table, for as long as it takes. What arrived in the source meanwhile is recognised by
its arrival time and added; then, in a moment without inserts, the last of it, and the partitions are swapped. Whether
there was such a moment is not believed but checked, by the versions of the source before and after.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted, server_time
from iot_platform.clickhouse.lock import server_lock
from iot_platform.clickhouse.write_pause import inserts_running, pause_inserts
from iot_platform.errors import ProofError
from iot_platform.layers.catalog import CHAIN_TABLES
from iot_platform.layers.definition import NO_DEDUPLICATION, Definition, Fingerprint, in_partitions
from iot_platform.layers.partitions import Version, part_names, partition_rows, partition_versions
from iot_platform.layers.staging import Copies, working_copies

# A swap takes some ten milliseconds; writers wait for as many as are swapped together.
PARTITIONS_PER_HOLD = 20
# Rows that may be left for the moment without inserts: a tenth of a second of work.
FEW_ROWS = 100_000
CATCH_UP_ROUNDS = 5
SWAP_ATTEMPTS = 10
PATIENCE_S = 600.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0


@dataclass(frozen=True)
class Rebuilt:
    """One rebuilt partition: what its definition made of ``source_version``, and ``arrived_rows`` of the source on top.

    ``own_version`` is the version of the layer's partition right after the swap; ``duplicates`` as in a proof.
    """

    at: dt.datetime
    content: Fingerprint
    duplicates: int
    source_version: str
    own_version: str
    arrived_rows: int


def rebuild_partitions(client: Client, definition: Definition, partitions: Sequence[str]) -> dict[str, Rebuilt]:
    """Rebuild partitions of a layer from its source, a few at a time; one rebuild at a time in a database.

    Raises ProofError when no moment without inserts was found for ten minutes; the partition is as it was then, or
    lacks readings that arrived meanwhile, which the next proof finds. L1 and the source are never touched.
    """
    done: dict[str, Rebuilt] = {}
    with server_lock(client, "rebuild", wait_s=PATIENCE_S):
        for start in range(0, len(partitions), PARTITIONS_PER_HOLD):
            done |= _rebuild_together(client, definition, partitions[start : start + PARTITIONS_PER_HOLD])
    return done


def _rebuild_together(client: Client, definition: Definition, partitions: Sequence[str]) -> dict[str, Rebuilt]:
    deadline = time.monotonic() + PATIENCE_S
    pause_s = FIRST_PAUSE_S
    while True:
        with working_copies(client) as copies:
            done = _Rebuild(client, definition, partitions, copies).run()
        if done is not None:
            return done
        if time.monotonic() > deadline:
            raise ProofError(
                f"{definition.layer.name}, partitions {partitions[0]} to {partitions[-1]}: no moment without inserts "
                f"was found for {PATIENCE_S:.0f} s. L1 is untouched. Look for long INSERTs in system.processes, then "
                "prove these days again."
            )
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


class _Rebuild:
    """One attempt to rebuild some partitions together."""

    def __init__(self, client: Client, definition: Definition, partitions: Sequence[str], copies: Copies) -> None:
        self._client = client
        self._definition = definition
        self._partitions = partitions
        self._copies = copies
        self._layer = definition.layer
        # What has been staged so far: the parts that it came from, rows of the source by partition, arrival times.
        self._parts: set[str] = set()
        self._rows: dict[str, int] = {}
        self._arrivals: str | None = None

    def run(self) -> dict[str, Rebuilt] | None:
        """Stage and swap; None when there was no moment without inserts: then it must be tried again."""
        at = server_time(self._client)
        self._parts = part_names(self._client, self._layer.source, self._partitions)
        versions = partition_versions(self._client, self._layer.source)
        self._copy = self._copies.of(self._layer.source, [name for name in self._partitions if name in versions])
        self._rows = partition_rows(self._client, self._copy)
        self._copied_rows = dict(self._rows)
        self._staging = self._copies.empty(self._layer.table)
        self._definition.fill(self._staging, self._partitions, source=self._copy)
        content = self._definition.actual(self._partitions, table=self._staging)
        duplicates = self._definition.duplicates(content, source=self._copy)
        for _ in range(SWAP_ATTEMPTS):
            for _ in range(CATCH_UP_ROUNDS):
                if self._catch_up() <= FEW_ROWS:
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

    def _swap(self) -> dict[str, Version] | None:
        """Put the staged partitions into the layer; None when inserts came in between."""
        source = self._layer.source
        with pause_inserts(self._client, CHAIN_TABLES) as is_quiet:
            versions = partition_versions(self._client, source)
            # An insert that the first look missed has not written to the source before the versions, or still runs.
            if not is_quiet or inserts_running(self._client, CHAIN_TABLES):
                return None
            self._catch_up()
            for name in self._partitions:
                found = versions[name].rows if name in versions else 0
                if found != self._rows.get(name, 0):
                    return None
            filled = partition_rows(self._client, self._staging)
            for name in self._partitions:
                swap = f"REPLACE PARTITION ID '{int(name)}' FROM {quoted(self._staging)}"
                drop = f"DROP PARTITION ID '{int(name)}'"
                self._client.command(f"ALTER TABLE {quoted(self._layer.table)} {swap if filled.get(name) else drop}")
            own = partition_versions(self._client, self._layer.table, merges_rows=self._layer.final)
            after = partition_versions(self._client, source)
            return own if all(versions.get(name) == after.get(name) for name in self._partitions) else None

    def _catch_up(self) -> int:
        """Stage what has arrived in the source since the last time, as the views do for a batch; returns its rows."""
        parts = part_names(self._client, self._layer.source, self._partitions)
        if not parts - self._parts:
            return 0
        if self._arrivals is None:
            self._arrivals = self._copies.arrivals()
            self._remember(self._copy)
        arrived = self._copies.empty(self._layer.source)
        # Parts that are known hold nothing new. A merged part does, or not: then the arrival times tell.
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
