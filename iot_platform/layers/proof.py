"""Prove that a partition of a layer equals its definition, and rebuild it when it does not."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
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
    compared_at: dt.datetime
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
    asked for. A swap is atomic, and compared again afterwards; a reading whose insert is still on its way through
    the views while its day is rebuilt can be counted twice until the next proof. Raises ProofError when a partition
    still differs after several rebuilds; L1 and the source are untouched then.
    """
    definition = Definition(client, layer)
    proofs = _compare(client, definition, wanted)
    for _ in range(MAX_ROUNDS if repair else 0):
        different = [name for name, proof in proofs.items() if not proof.is_equal]
        if not different:
            break
        started = time.monotonic()
        _rebuild(client, definition, different)
        again = _compare(client, definition, different)
        share_s = (time.monotonic() - started) / len(different)
        for name in different:
            before, after = proofs[name], again[name]
            # What was found stays what the first look saw, with the definition of that moment.
            proofs[name] = replace(
                before,
                is_equal=after.is_equal,
                was_rebuilt=True,
                l1_rows=after.l1_rows,
                proved=after.proved,
                compared_at=after.compared_at,
                duration_s=before.duration_s + share_s,
            )
    _record(client, list(proofs.values()), run_id)
    if broken := next((proof for proof in proofs.values() if repair and not proof.is_equal), None):
        raise ProofError(
            f"{layer.name}, partition {broken.partition}: {broken.difference()} at first, and still "
            f"{broken.proved.rows:,} rows, {broken.proved.kWh:,.3f} kWh after {MAX_ROUNDS} rebuilds. "
            f"L1 is untouched; prove {layer.source} of that day first, then try again when fewer readings arrive."
        )
    return list(proofs.values())


def _compare(client: Client, definition: Definition, wanted: Sequence[str]) -> dict[str, Proof]:
    started = time.monotonic()
    # Taken first: what arrives or changes during the comparison leaves the proof open, never wrongly closed.
    compared_at = client.query("SELECT now64(6, 'UTC')").result_rows[0][0].replace(tzinfo=dt.UTC)
    l1_rows = partition_rows(client, RAW_TABLE)
    actual, expected = definition.actual(wanted), definition.expected(wanted)
    share_s = (time.monotonic() - started) / max(1, len(wanted))
    return {
        name: Proof(
            layer=definition.layer.name,
            partition=name,
            is_equal=actual[name].same_content(expected[name]),
            was_rebuilt=False,
            l1_rows=l1_rows.get(name, 0),
            found=actual[name],
            proved=actual[name],
            expected=expected[name],
            compared_at=compared_at,
            duration_s=share_s,
        )
        for name in wanted
    }


def _rebuild(client: Client, definition: Definition, names: Sequence[str]) -> None:
    """Make the partitions anew beside the table, then swap each one in; a swap is atomic."""
    table = definition.layer.table
    staging = f"staging_{table}_{uuid4().hex[:12]}"
    client.command(f"CREATE TABLE {quoted(staging)} AS {quoted(table)}")
    try:
        definition.fill(staging, names)
        filled = partition_rows(client, staging)
        for name in names:
            if filled.get(name):
                swap = f"REPLACE PARTITION ID '{int(name)}' FROM {quoted(staging)}"
            else:
                swap = f"DROP PARTITION ID '{int(name)}'"
            client.command(f"ALTER TABLE {quoted(table)} {swap}")
    finally:
        client.command(f"DROP TABLE IF EXISTS {quoted(staging)} SYNC")


def _record(client: Client, proofs: Sequence[Proof], run_id: str) -> None:
    rows = [
        {
            "layer": proof.layer,
            "partition_id": proof.partition,
            "proved_at": proof.compared_at,
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
