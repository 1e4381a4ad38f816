"""Prove that a partition of a layer equals its definition, and rebuild it when it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.clickhouse.lock import server_lock
from iot_platform.errors import ProofError
from iot_platform.layers.definition import Definition, Fingerprint, partition_rows
from iot_platform.layers.model import DERIVED_LAYERS, IMPOSSIBLE_TIMES, RAW_TABLE, Layer

# Readings that arrive during a proof can make it miss; each round sees what came before it.
MAX_ROUNDS = 5


@dataclass(frozen=True)
class Proof:
    """The outcome for one partition of one layer: ``found`` before, ``proved`` after, ``expected`` by definition."""

    layer: str
    partition: str
    is_equal: bool
    was_rebuilt: bool
    l1_rows: int
    found: Fingerprint
    proved: Fingerprint
    expected: Fingerprint
    duration_s: float

    def difference(self) -> str:
        """In words, what was found to differ from the definition; empty when nothing did."""
        if not self.was_rebuilt and self.is_equal:
            return ""
        rows = self.found.rows - self.expected.rows
        kWh = self.found.kWh - self.expected.kWh
        return f"{rows:+,} rows, {kWh:+,.3f} kWh against the definition" + ("" if rows or kWh else " (other content)")


def prove(client: Client, layer: Layer, partition: str, *, repair: bool = True, run_id: str = "") -> Proof:
    """Compare one partition of ``layer`` with its definition; rebuild it when it differs and ``repair`` is set.

    The source layer must be proved first. The outcome is recorded in partition_proofs. Raises ProofError when the
    partition still differs after several rebuilds; its readings in L1 are untouched then, and so is the source.
    """
    started = time.monotonic()
    definition = Definition(client, layer)
    with server_lock(client, f"proof_{layer.name}_{partition}", wait_s=600):
        l1_rows = partition_rows(client, RAW_TABLE, partition)
        found = proved = definition.actual(partition)
        expected = definition.expected(partition)
        rounds = 0
        while repair and not proved.same_content(expected) and rounds < MAX_ROUNDS:
            _rebuild(client, definition, partition)
            l1_rows = partition_rows(client, RAW_TABLE, partition)
            expected = definition.expected(partition)
            proved = definition.actual(partition)
            rounds += 1
    equal = proved.same_content(expected)
    proof = Proof(
        layer.name, partition, equal, rounds > 0, l1_rows, found, proved, expected, time.monotonic() - started
    )
    _record(client, proof, run_id)
    if repair and not equal:
        raise ProofError(
            f"{layer.name}, partition {partition}: still {proof.difference()} after {rounds} rebuilds. "
            f"L1 is untouched; prove {layer.source} of that day first, then try again when fewer readings arrive."
        )
    return proof


def _rebuild(client: Client, definition: Definition, partition: str) -> None:
    """Make the partition anew beside the table, then swap it in by one atomic statement."""
    table = definition.layer.table
    staging = f"staging_{table}_{partition}_{uuid4().hex[:8]}"
    client.command(f"CREATE TABLE {quoted(staging)} AS {quoted(table)}")
    try:
        definition.fill(staging, partition)
        if partition_rows(client, staging, partition):
            client.command(
                f"ALTER TABLE {quoted(table)} REPLACE PARTITION ID '{int(partition)}' FROM {quoted(staging)}"
            )
        else:
            client.command(f"ALTER TABLE {quoted(table)} DROP PARTITION ID '{int(partition)}'")
    finally:
        client.command(f"DROP TABLE IF EXISTS {quoted(staging)} SYNC")


def _record(client: Client, proof: Proof, run_id: str) -> None:
    values = {
        "layer": proof.layer,
        "partition_id": proof.partition,
        "is_equal": proof.is_equal,
        "was_rebuilt": proof.was_rebuilt,
        "l1_rows": proof.l1_rows,
        "rows": proof.proved.rows,
        "total_kWh": float(proof.proved.kWh),
        "checksum": proof.proved.checksum,
        "rows_found": proof.found.rows,
        "total_kWh_found": float(proof.found.kWh),
        "duration_s": proof.duration_s,
        "run_id": run_id,
    }
    client.insert("partition_proofs", [list(values.values())], column_names=list(values))


def partitions(client: Client, layers: Sequence[Layer] = DERIVED_LAYERS) -> list[str]:
    """Every partition that L1 or one of the layers has, oldest first."""
    tables = [RAW_TABLE, *(layer.table for layer in layers)]
    rows = client.query(
        "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = currentDatabase() "
        "AND table IN {tables:Array(String)} ORDER BY toUInt32(partition_id)",
        parameters={"tables": tables},
    ).result_rows
    return [str(row[0]) for row in rows]


def prove_all(
    client: Client,
    wanted: Sequence[str] | None = None,
    layers: Sequence[Layer] = DERIVED_LAYERS,
    *,
    repair: bool = True,
    run_id: str = "",
) -> Iterator[Proof]:
    """Prove partitions (default: all there are) of the layers in the order of the chain, one by one."""
    for partition in partitions(client, layers) if wanted is None else wanted:
        for layer in layers:
            if partition != IMPOSSIBLE_TIMES or layer.has_impossible_times:
                yield prove(client, layer, partition, repair=repair, run_id=run_id)
