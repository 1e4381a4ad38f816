"""Compare partitions of a layer with the layer's definition."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import server_time
from iot_platform.clickhouse.write_pause import pause_inserts
from iot_platform.layers.catalog import CHAIN_TABLES, RAW_TABLE
from iot_platform.layers.definition import Definition, PartitionFingerprint
from iot_platform.layers.partitions import Version, partition_rows, partition_versions
from iot_platform.layers.staging import staging_tables


@dataclass(frozen=True)
class Proof:
    """The outcome for one partition of one layer.

    ``found``: what it contained; ``expected``: what its definition makes of the source; ``proved``: what it contains
    now. The proof is valid for ``source_version`` and ``own_version`` of the partition (see layers/partitions.py).
    ``arrived_rows``: rows that arrived in the source during the rebuild, and that the next proof covers.
    ``duplicates``: for L2, valid readings of L1 beyond the first per device and timestamp.
    """

    layer: str
    partition: str
    is_equal: bool
    was_rebuilt: bool
    source_version: str
    own_version: str
    l1_rows: int
    found: PartitionFingerprint
    proved: PartitionFingerprint
    expected: PartitionFingerprint
    compared_at: dt.datetime
    duration_s: float
    arrived_rows: int = 0
    duplicates: int = 0

    def difference(self) -> str:
        """The difference that was found, in words; empty if there was none."""
        if not self.was_rebuilt and self.is_equal:
            return ""
        rows = self.found.rows - self.expected.rows
        kWh = self.found.kWh - self.expected.kWh
        return f"{rows:+,} rows, {kWh:+,.3f} kWh against the definition" + ("" if rows or kWh else " (other content)")


def compare(client: Client, definition: Definition, wanted: Sequence[str]) -> dict[str, Proof]:
    """Compare the live tables, then compare again, on snapshots, the partitions written to meanwhile."""
    if not wanted:
        return {}
    layer = definition.layer
    comparison = _Comparison(client, definition, wanted)
    proofs = comparison.run()
    source, own = comparison.current_versions()
    moving = [
        name
        for name, proof in proofs.items()
        if (proof.source_version, proof.own_version) != (str(source.get(name, "")), str(own.get(name, "")))
    ]
    if moving:
        with staging_tables(client) as staging:
            with pause_inserts(client, CHAIN_TABLES):
                comparison = _Comparison(client, definition, moving)
                source_copy = staging.copy_of(layer.source, [name for name in moving if name in comparison.source])
                own_copy = staging.copy_of(layer.table, [name for name in moving if name in comparison.own])
            proofs |= comparison.run(source_copy, own_copy)
    return proofs


class _Comparison:
    """One comparison. It reads the versions first, so that a later change makes the partition unverified."""

    def __init__(self, client: Client, definition: Definition, wanted: Sequence[str]) -> None:
        self._client = client
        self._definition = definition
        self._wanted = wanted
        self._started = time.monotonic()
        self._at = server_time(client)
        self._l1_rows = partition_rows(client, RAW_TABLE)
        self.source, self.own = self.current_versions()

    def current_versions(self) -> tuple[dict[str, Version], dict[str, Version]]:
        """The versions that the partitions of the source and of the layer have now."""
        layer = self._definition.layer
        return partition_versions(self._client, layer.source), partition_versions(self._client, layer.table)

    def run(self, source: str | None = None, table: str | None = None) -> dict[str, Proof]:
        """Compare the layer's table with its definition, or copies of the source and of the table."""
        definition, wanted = self._definition, self._wanted
        actual = definition.actual(wanted, table=table)
        expected = definition.expected(wanted, source=source)
        duplicates = definition.duplicates(expected, source=source)
        share_s = (time.monotonic() - self._started) / len(wanted)
        return {
            name: Proof(
                layer=definition.layer.name,
                partition=name,
                is_equal=actual[name].same_content(expected[name]),
                was_rebuilt=False,
                source_version=str(self.source.get(name, "")),
                own_version=str(self.own.get(name, "")),
                l1_rows=self._l1_rows.get(name, 0),
                found=actual[name],
                proved=actual[name],
                expected=expected[name],
                compared_at=self._at,
                duration_s=share_s,
                duplicates=duplicates[name],
            )
            for name in wanted
        }
