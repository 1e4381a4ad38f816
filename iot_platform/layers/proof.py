"""Prove that a partition of a layer equals its definition, and rebuild it when it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.clickhouse.lock import server_lock
from iot_platform.errors import ProofError
from iot_platform.layers.definition import Definition, Fingerprint, grouped, partition_rows
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


def prove_partitions(
    client: Client, layer: Layer, wanted: Sequence[str], *, repair: bool = True, run_id: str = ""
) -> list[Proof]:
    """Compare partitions of ``layer`` with its definition; rebuild those that differ when ``repair`` is set.

    The source layer must be proved first. The outcomes are recorded in partition_proofs and returned in the order
    asked for. Raises ProofError when a partition still differs after several rebuilds; L1 and the source are untouched
    then, and the partitions before it are proved.
    """
    started = time.monotonic()
    definition = Definition(client, layer)
    l1_rows = partition_rows(client, RAW_TABLE)
    actual, expected = definition.actual(wanted), definition.expected(wanted)
    share_s = (time.monotonic() - started) / max(1, len(wanted))
    proofs = []
    for partition in wanted:
        found = actual[partition]
        equal = found.same_content(expected[partition])
        compared = Proof(
            layer.name, partition, equal, False, l1_rows.get(partition, 0), found, found, expected[partition], share_s
        )
        proofs.append(compared if equal or not repair else _repair(client, definition, compared))
    _record(client, proofs, run_id)
    if broken := next((proof for proof in proofs if repair and not proof.is_equal), None):
        raise ProofError(
            f"{layer.name}, partition {broken.partition}: still {broken.difference()} after {MAX_ROUNDS} rebuilds. "
            f"L1 is untouched; prove {layer.source} of that day first, then try again when fewer readings arrive."
        )
    return proofs


def _repair(client: Client, definition: Definition, compared: Proof) -> Proof:
    """Rebuild a partition that differs until it is equal, and say what it was before."""
    started = time.monotonic()
    name = compared.partition
    with server_lock(client, f"rebuild_{definition.layer.name}_{name}", wait_s=600):
        for _ in range(MAX_ROUNDS):
            _rebuild(client, definition, name)
            l1_rows = partition_rows(client, RAW_TABLE).get(name, 0)
            expected, proved = definition.expected([name])[name], definition.actual([name])[name]
            if equal := proved.same_content(expected):
                break
    return replace(
        compared,
        is_equal=equal,
        was_rebuilt=True,
        l1_rows=l1_rows,
        proved=proved,
        duration_s=compared.duration_s + time.monotonic() - started,
    )


def _rebuild(client: Client, definition: Definition, partition: str) -> None:
    """Make the partition anew beside the table, then swap it in by one atomic statement."""
    table = definition.layer.table
    staging = f"staging_{table}_{partition}_{uuid4().hex[:8]}"
    client.command(f"CREATE TABLE {quoted(staging)} AS {quoted(table)}")
    try:
        definition.fill(staging, partition)
        if partition_rows(client, staging):
            client.command(
                f"ALTER TABLE {quoted(table)} REPLACE PARTITION ID '{int(partition)}' FROM {quoted(staging)}"
            )
        else:
            client.command(f"ALTER TABLE {quoted(table)} DROP PARTITION ID '{int(partition)}'")
    finally:
        client.command(f"DROP TABLE IF EXISTS {quoted(staging)} SYNC")


def _record(client: Client, proofs: Sequence[Proof], run_id: str) -> None:
    rows = [
        {
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
        for proof in proofs
    ]
    if rows:
        client.insert("partition_proofs", [list(row.values()) for row in rows], column_names=list(rows[0]))


def partitions(client: Client, layers: Sequence[Layer] = DERIVED_LAYERS) -> list[str]:
    """Every partition that L1 or one of the layers has, oldest first."""
    tables = [RAW_TABLE, *(layer.table for layer in layers)]
    return sorted({name for table in tables for name in partition_rows(client, table)}, key=int)


def prove_all(
    client: Client,
    wanted: Sequence[str] | None = None,
    layers: Sequence[Layer] = DERIVED_LAYERS,
    *,
    repair: bool = True,
    run_id: str = "",
) -> Iterator[Proof]:
    """Prove partitions (default: all there are) of the layers in the order of the chain, group by group."""
    names = partitions(client, layers) if wanted is None else wanted
    for group in grouped(names, partition_rows(client, RAW_TABLE)):
        for layer in layers:
            own = [name for name in group if name != IMPOSSIBLE_TIMES or layer.has_impossible_times]
            yield from prove_partitions(client, layer, own, repair=repair, run_id=run_id)
