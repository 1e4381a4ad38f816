"""Prove that a partition of a layer equals its definition, and rebuild it when it does not."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import server_time
from iot_platform.clickhouse.lock import drop_abandoned_locks
from iot_platform.clickhouse.write_pause import pause_inserts
from iot_platform.errors import ProofError
from iot_platform.layers.catalog import CHAIN_TABLES, DERIVED_LAYERS, IMPOSSIBLE_TIMES, RAW_TABLE, Layer
from iot_platform.layers.definition import Definition, Fingerprint, with_definition
from iot_platform.layers.partitions import Version, grouped, partition_rows, partition_versions, partitions
from iot_platform.layers.rebuild import Rebuilt, rebuild_partitions
from iot_platform.layers.staging import drop_abandoned_copies, working_copies
from iot_platform.layers.status import open_partitions

# A rebuild is compared again; more than one is needed only when something else writes into the layer meanwhile.
MAX_ROUNDS = 5


@dataclass(frozen=True)
class Proof:
    """The outcome for one partition of one layer: ``found`` before, ``proved`` after, ``expected`` by definition.

    It speaks of ``source_version`` and ``own_version`` (layers/partitions.py): while both stand, it holds.
    ``arrived_rows`` came into the source during the rebuild; the next proof speaks of them. ``duplicates``: for L2,
    valid readings of L1 beyond one per device and timestamp.
    """

    layer: str
    partition: str
    is_equal: bool
    was_rebuilt: bool
    source_version: str
    own_version: str
    l1_rows: int
    found: Fingerprint
    proved: Fingerprint
    expected: Fingerprint
    compared_at: dt.datetime
    duration_s: float
    arrived_rows: int = 0
    duplicates: int = 0

    def difference(self) -> str:
        """In words, what was found to differ from the definition; empty when nothing did."""
        if not self.was_rebuilt and self.is_equal:
            return ""
        rows = self.found.rows - self.expected.rows
        kWh = self.found.kWh - self.expected.kWh
        return f"{rows:+,} rows, {kWh:+,.3f} kWh against the definition" + ("" if rows or kWh else " (other content)")


def prove_all(
    client: Client,
    wanted: Sequence[str] | None = None,
    layers: Sequence[Layer] = DERIVED_LAYERS,
    *,
    repair: bool = True,
    only_open: bool = False,
    run_id: str = "",
) -> Iterator[Proof]:
    """Prove partitions (default: all there are) of the layers in the order of the chain, group by group.

    ``only_open``: leave out those whose last proof still holds, which is known without reading any data. What proofs
    that were killed left behind is dropped first.
    """
    drop_abandoned_locks(client)
    drop_abandoned_copies(client)
    names = partitions(client, layers) if wanted is None else wanted
    for group in grouped(names, partition_rows(client, RAW_TABLE)):
        for layer in layers:
            own = [name for name in group if name != IMPOSSIBLE_TIMES or layer.has_impossible_times]
            if only_open:
                still_open = set(open_partitions(client, layer))
                own = [name for name in own if name in still_open]
            yield from prove_partitions(client, layer, own, repair=repair, run_id=run_id)


def prove_partitions(
    client: Client, layer: Layer, wanted: Sequence[str], *, repair: bool = True, run_id: str = ""
) -> list[Proof]:
    """Compare partitions of ``layer`` with its definition; rebuild those that differ when ``repair`` is set.

    The source layer must be proved first. Readings may arrive all the while: what is compared or rebuilt is the state
    of one moment, and readings after it are carried by the views as ever. The outcomes are recorded in
    partition_proofs and returned in the order asked for. Raises ProofError when a partition still differs after several
    rebuilds; L1 and the source are untouched then.
    """
    if not wanted:
        return []
    proofs = with_definition(client, layer, lambda definition: _prove(client, definition, wanted, repair=repair))
    _record(client, list(proofs.values()), run_id)
    if broken := next((proof for proof in proofs.values() if repair and not proof.is_equal), None):
        raise ProofError(
            f"{layer.name}, partition {broken.partition}: {broken.difference()} at first, and still "
            f"{broken.proved.rows:,} rows, {broken.proved.kWh:,.3f} kWh after {MAX_ROUNDS} rebuilds: something else "
            f"writes into {layer.table}. L1 is untouched; find the writer in system.query_log, prove the day again."
        )
    return list(proofs.values())


def _prove(client: Client, definition: Definition, wanted: Sequence[str], *, repair: bool) -> dict[str, Proof]:
    proofs = _compare(client, definition, wanted)
    for _ in range(MAX_ROUNDS if repair else 0):
        different = [name for name, proof in proofs.items() if not proof.is_equal]
        if not different:
            break
        started = time.monotonic()
        rebuilt = rebuild_partitions(client, definition, different)
        again = _compare(client, definition, [name for name in different if not rebuilt[name].arrived_rows])
        share_s = (time.monotonic() - started) / len(different)
        for name in different:
            proofs[name] = _after_rebuild(proofs[name], rebuilt[name], again.get(name), share_s)
    return proofs


def _after_rebuild(before: Proof, rebuilt: Rebuilt, again: Proof | None, seconds: float) -> Proof:
    """What a rebuild has proved. What was found stays what the first look saw, with the definition of that moment.

    Where readings arrived since the moment that was rebuilt, the proof speaks of that moment: the swap was checked.
    Elsewhere the layer has been compared ``again``.
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


def _compare(client: Client, definition: Definition, wanted: Sequence[str]) -> dict[str, Proof]:
    """Compare as things are, and those partitions that were written to meanwhile once more, as copies of one moment."""
    if not wanted:
        return {}
    layer = definition.layer
    look = _Look(client, definition, wanted)
    proofs = look.compare()
    source, own = look.versions()
    moving = [
        name
        for name, proof in proofs.items()
        if (proof.source_version, proof.own_version) != (str(source.get(name, "")), str(own.get(name, "")))
    ]
    if moving:
        with working_copies(client) as copies:
            with pause_inserts(client, CHAIN_TABLES):
                look = _Look(client, definition, moving)
                source_copy = copies.of(layer.source, [name for name in moving if name in look.source])
                own_copy = copies.of(layer.table, [name for name in moving if name in look.own])
            proofs |= look.compare(source_copy, own_copy)
    return proofs


class _Look:
    """One comparison: the versions are taken first, so that what changes during it leaves the proof open."""

    def __init__(self, client: Client, definition: Definition, wanted: Sequence[str]) -> None:
        self._client = client
        self._definition = definition
        self._wanted = wanted
        self._started = time.monotonic()
        self._at = server_time(client)
        self._l1_rows = partition_rows(client, RAW_TABLE)
        self.source, self.own = self.versions()

    def versions(self) -> tuple[dict[str, Version], dict[str, Version]]:
        """Versions of the source's and the layer's partitions now."""
        layer = self._definition.layer
        return partition_versions(self._client, layer.source), partition_versions(
            self._client, layer.table, merges_rows=layer.final
        )

    def compare(self, source: str | None = None, table: str | None = None) -> dict[str, Proof]:
        """Compare the layer's table with what its definition makes of its source, or copies of both."""
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
        client.insert("partition_proofs", [list(row.values()) for row in rows], column_names=list(rows[0]))
