"""Compare partitions of a layer with the layer's definition."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.write_pause import pause_inserts
from iot_platform.layers.catalog import CHAIN_TABLES, RAW_TABLE, Layer
from iot_platform.layers.definition import Definition, PartitionFingerprint
from iot_platform.layers.partitions import TableState, table_states
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
    """Compare the live tables, then compare again, on snapshots, the partitions written to meanwhile.

    The versions are read before any data and once more after it. If they are equal, nothing was written while the
    queries ran, so all of them read the same rows. What is written later changes the versions: then the proof, which
    is for the earlier ones, no longer holds.
    """
    if not wanted:
        return {}
    layer = definition.layer
    before = _Tables.read(client, layer, wanted)
    proofs = _compare(definition, wanted, before, before.source, before.own)
    after = _Tables.read(client, layer, wanted)
    moving = [
        name
        for name, proof in proofs.items()
        if (proof.source_version, proof.own_version) != (after.source.version(name), after.own.version(name))
    ]
    if moving:
        with staging_tables(client) as staging:
            with pause_inserts(client, CHAIN_TABLES):
                before = _Tables.read(client, layer, moving)
                source, own = (
                    replace(table, name=staging.copy_of(table.name, table.partition_ids(moving)))
                    for table in (before.source, before.own)
                )
            proofs |= _compare(definition, moving, before, source, own)
    return proofs


@dataclass(frozen=True)
class _Tables:
    """The tables of a comparison at one moment: L1, the layer's source, and its own table."""

    at: dt.datetime
    l1: TableState
    source: TableState
    own: TableState

    @classmethod
    def read(cls, client: Client, layer: Layer, days: Sequence[str]) -> _Tables:
        at, states = table_states(client, [RAW_TABLE, layer.source, layer.table], days)
        return cls(at, states[RAW_TABLE], states[layer.source], states[layer.table])


def _compare(
    definition: Definition, wanted: Sequence[str], before: _Tables, source: TableState, own: TableState
) -> dict[str, Proof]:
    """Compare ``own`` with what the definition makes of ``source``: the tables of ``before``, or copies of them."""
    started = time.monotonic()
    actual = definition.actual(wanted, table=own)
    expected, duplicates = definition.expected_beside(actual, source, own)
    share_s = (time.monotonic() - started) / len(wanted)
    return {
        name: Proof(
            layer=definition.layer.name,
            partition=name,
            is_equal=actual[name].same_content(expected[name]),
            was_rebuilt=False,
            source_version=before.source.version(name),
            own_version=before.own.version(name),
            l1_rows=before.l1.rows.get(name, 0),
            found=actual[name],
            proved=actual[name],
            expected=expected[name],
            compared_at=before.at,
            duration_s=share_s,
            duplicates=duplicates[name],
        )
        for name in wanted
    }
