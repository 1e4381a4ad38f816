"""Verify that a partition of a layer equals its definition, and rebuild it if it does not. This is a *proof*."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.lock import drop_abandoned_locks
from iot_platform.clickhouse.rows import insert_rows
from iot_platform.errors import ProofError
from iot_platform.layers.catalog import DERIVED_LAYERS, IMPOSSIBLE_TIMES, RAW_TABLE, Layer
from iot_platform.layers.comparison import Proof, compare
from iot_platform.layers.definition import Definition, with_definition
from iot_platform.layers.dictionaries import take_up_manual_changes
from iot_platform.layers.partitions import all_partitions, grouped, table_states
from iot_platform.layers.rebuild import rebuild_partitions
from iot_platform.layers.staging import drop_abandoned_tables
from iot_platform.layers.status import unverified_by_layer
from iot_platform.layers.swap import Rebuilt

# A rebuilt partition is compared again. It still differs only if something else writes into the layer meanwhile.
MAX_ROUNDS = 5


def prove_all(
    client: Client,
    wanted: Sequence[str] | None = None,
    layers: Sequence[Layer] = DERIVED_LAYERS,
    *,
    repair: bool = True,
    only_unverified: bool = False,
) -> Iterator[Proof]:
    """Prove partitions (default: all) of the layers, group by group, each layer after its source.

    ``only_unverified``: skip partitions with a valid proof, which status.py finds out at little cost. First it drops
    locks and staging tables that killed processes left behind.
    """
    drop_abandoned_locks(client)
    drop_abandoned_tables(client)
    _, tables = table_states(client, [RAW_TABLE, *(layer.table for layer in layers)])
    names = all_partitions(tables.values()) if wanted is None else wanted
    for group in grouped(names, tables[RAW_TABLE].rows):
        unverified = unverified_by_layer(client, layers) if only_unverified else {}
        for layer in layers:
            own = [name for name in group if name != IMPOSSIBLE_TIMES or layer.has_impossible_times]
            if only_unverified:
                wanted_now = set(unverified[layer])
                own = [name for name in own if name in wanted_now]
            proofs = prove_partitions(client, layer, own, repair=repair)
            yield from proofs
            if only_unverified and proofs:
                # The next layers are unverified if this one was rebuilt, or if readings have arrived meanwhile.
                unverified = unverified_by_layer(client, layers)


def prove_partitions(
    client: Client, layer: Layer, wanted: Sequence[str], *, repair: bool = True, run_id: str = ""
) -> list[Proof]:
    """Compare partitions of ``layer`` with its definition; with ``repair``, rebuild those that differ.

    Prove the source layer first. Readings may arrive meanwhile: each comparison and each rebuild covers the state of
    one moment, and the views process later readings as usual. The outcomes are stored in partition_proofs and returned
    in the order of ``wanted``. Raises ProofError if a partition still differs after several rebuilds; L1 and the source
    are never changed.
    """
    if not wanted:
        return []
    taken_up_at = take_up_manual_changes(client)
    proofs = {
        name: replace(proof, compared_at=min(proof.compared_at, taken_up_at))
        for name, proof in with_definition(
            client, layer, lambda definition: _prove(client, definition, wanted, repair=repair)
        ).items()
    }
    _record(client, list(proofs.values()), run_id)
    if broken := next((proof for proof in proofs.values() if repair and not proof.is_equal), None):
        raise ProofError(
            f"{layer.name}, partition {broken.partition}: {broken.difference()} at first, and still "
            f"{broken.proved.rows:,} rows, {broken.proved.kWh:,.3f} kWh after {MAX_ROUNDS} rebuilds: something else "
            f"writes into {layer.table}. L1 is unchanged. Find the writer in system.query_log and prove the day again."
        )
    return list(proofs.values())


def _prove(client: Client, definition: Definition, wanted: Sequence[str], *, repair: bool) -> dict[str, Proof]:
    proofs = compare(client, definition, wanted)
    for _ in range(MAX_ROUNDS if repair else 0):
        different = [name for name, proof in proofs.items() if not proof.is_equal]
        if not different:
            break
        started = time.monotonic()
        rebuilt = rebuild_partitions(client, definition, different)
        again = compare(client, definition, [name for name in different if not rebuilt[name].arrived_rows])
        share_s = (time.monotonic() - started) / len(different)
        for name in different:
            proofs[name] = _after_rebuild(proofs[name], rebuilt[name], again.get(name), share_s)
    return proofs


def _after_rebuild(before: Proof, rebuilt: Rebuilt, again: Proof | None, seconds: float) -> Proof:
    """The proof after a rebuild. ``found`` and ``expected`` stay those of the first comparison.

    ``again``: the comparison after the rebuild. Without one, or if more readings arrived before it, the proof covers
    the state that was rebuilt, because the swap of partitions has been verified already.
    """
    after = replace(before, was_rebuilt=True, arrived_rows=rebuilt.arrived_rows, duration_s=before.duration_s + seconds)
    if again is None or (not again.is_equal and again.source_version != rebuilt.source_version):
        return replace(
            after,
            is_equal=True,
            source_version=rebuilt.source_version,
            own_version=rebuilt.own_version,
            proved=rebuilt.content,
            compared_at=rebuilt.at,
            duplicates=rebuilt.duplicates,
        )
    return replace(
        after,
        is_equal=again.is_equal,
        source_version=again.source_version,
        own_version=again.own_version,
        l1_rows=again.l1_rows,
        proved=again.proved,
        compared_at=again.compared_at,
        duplicates=again.duplicates,
    )


def _record(client: Client, proofs: Sequence[Proof], run_id: str) -> None:
    rows = [
        {
            "layer": proof.layer,
            "partition_id": proof.partition,
            "proved_at": proof.compared_at,
            "is_equal": proof.is_equal,
            "was_rebuilt": proof.was_rebuilt,
            "l1_rows": proof.l1_rows,
            "source_version": proof.source_version,
            "own_version": proof.own_version,
            "rows": proof.proved.rows,
            "total_kWh": float(proof.proved.kWh),
            "checksum": proof.proved.checksum,
            "rows_found": proof.found.rows,
            "total_kWh_found": float(proof.found.kWh),
            "rows_expected": proof.expected.rows,
            "total_kWh_expected": float(proof.expected.kWh),
            "difference": proof.difference(),
            "arrived_rows": proof.arrived_rows,
            "duplicates": proof.duplicates,
            "duration_s": proof.duration_s,
            "run_id": run_id,
        }
        for proof in proofs
    ]
    if rows:
        insert_rows(client, "partition_proofs", [list(row.values()) for row in rows], list(rows[0]))
