"""Materialize a layer: verify its days, and report the results to Dagster."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import dagster as dg
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.defs import table_entries
from iot_platform.defs.decoration import decoration
from iot_platform.defs.layers.rules import RULES
from iot_platform.defs.partitions import days_of_run
from iot_platform.defs.query_log import queries_of_run
from iot_platform.defs.resources import ClickHouse
from iot_platform.defs.table_entries import Entries
from iot_platform.defs.times import from_clickhouse
from iot_platform.layers.blocked_days import BlockedDay, blocked_days
from iot_platform.layers.catalog import (
    IMPOSSIBLE_TIMES,
    L2,
    RAW_TABLE,
    Layer,
    blocking_layers,
    partition_day,
    partition_id,
)
from iot_platform.layers.column_sources import COLUMN_SOURCES
from iot_platform.layers.comparison import Proof
from iot_platform.layers.partitions import all_partitions, grouped, table_states
from iot_platform.layers.proof import prove_partitions

# Blocked days that a message names.
BLOCKED_DAYS_SHOWN = 20


def prove_days(context: dg.AssetExecutionContext, clickhouse: ClickHouse, layer: Layer) -> None:
    """Verify the run's days of a layer; each day's result becomes the metadata of its partition.

    Days that a failed check of the layer above blocks are left out: the others are materialized, then the run fails.
    Raises ProofError when a day stays different from its definition. Days that were verified before it stay verified.
    """
    days = days_of_run(context)
    with clickhouse.session(context.run, layer.name) as client:
        blocked = _blocked_days(client, layer, days) if clickhouse.settings().hold_downstream else []
        days = sorted(set(days) - {found.day for found in blocked})
        entries: dict[dt.date, dict[str, Any]] = {day: {} for day in days}
        for proof in _prove(context, client, layer, [partition_id(day) for day in days]):
            if difference := proof.difference():
                context.log.warning(f"{layer.name} {proof.partition} was rebuilt: {difference} were found.")
            if day := partition_day(proof.partition):
                entries[day] |= _entries(proof)
        with decoration(context, f"First and last times of {layer.name}"):
            spans = _time_spans(client, layer, days)
            for day in days:
                entries[day] |= spans.get(partition_id(day), {})
        for day in days[-table_entries.DAYS_WITH_PREVIEW :]:
            with decoration(context, f"preview of {layer.name} on {day}"):
                entries[day]["preview"] = _preview(client, layer, day)
        of_table: dict[str, Any] = {}
        with decoration(context, f"Rows and columns of {layer.name}"):
            of_table |= table_entries.rows_and_columns(client, layer.name, comments_of=layer.table)
            of_table["dagster/column_lineage"] = table_entries.column_lineage(layer.name)
        with decoration(context, "The list of the run's queries"):
            of_table |= queries_of_run(context.run, clickhouse.settings())
    if blocked:
        for day in days:
            # Dagster records no materialization for a step that fails.
            context.log_event(
                dg.AssetMaterialization(layer.name, partition=day.isoformat(), metadata={**of_table, **entries[day]})
            )
        raise _blocked_failure(layer, blocked, verified=len(days))
    for day in days:
        context.add_asset_metadata(entries[day], partition_key=day.isoformat())
    context.add_asset_metadata(of_table)


def _blocked_days(client: Client, layer: Layer, days: Sequence[dt.date]) -> list[BlockedDay]:
    # Failures of checks that no longer exist or no longer block are ignored: nothing would ever clear them.
    blocking = {rule.name for rule in RULES if rule.blocking}
    return [found for found in blocked_days(client, blocking_layers(layer), days) if found.check in blocking]


def _blocked_failure(layer: Layer, blocked: Sequence[BlockedDay], *, verified: int) -> dg.Failure:
    above = " and ".join(sorted({found.asset for found in blocked}))
    shown = "\n".join(f"- {found}" for found in blocked[:BLOCKED_DAYS_SHOWN])
    return dg.Failure(
        description=f"{len({found.day for found in blocked}):,} days of {layer.name} are blocked by failed checks of "
        f"{above}; {verified:,} other days of this run were verified.\n{shown}\nMaterialize {above} of "
        "these days (this rebuilds it and runs its checks again), or run the checks again when the cause is gone.",
        allow_retries=False,
    )


def _prove(context: dg.AssetExecutionContext, client: Client, layer: Layer, wanted: list[str]) -> list[Proof]:
    _, tables = table_states(client, [RAW_TABLE, layer.table], wanted)
    if layer.has_impossible_times and IMPOSSIBLE_TIMES in all_partitions(tables.values()):
        # They belong to no day, and verifying them is cheap: every run of the layer does it.
        wanted = [IMPOSSIBLE_TIMES, *wanted]
    proofs: list[Proof] = []
    for group in grouped(wanted, tables[RAW_TABLE].rows):
        proofs += prove_partitions(client, layer, group, run_id=context.run.run_id)
        context.log.info(f"{layer.name}: {len(proofs)} of {len(wanted)} partitions are verified.")
    return proofs


def _entries(proof: Proof) -> Entries:
    difference = proof.difference()
    entries: dict[str, dg.MetadataValue | int | float | str | bool] = {
        "proof": f"rebuilt; found {difference}" if difference else "equal to its definition",
        "rebuilt": proof.was_rebuilt,
        "dagster/partition_row_count": proof.proved.rows,
        "readings": proof.proved.readings,
        "kWh": round(float(proof.proved.kWh), 3),
        "checksum": f"{proof.proved.checksum:016x}",
        "duration_s": round(proof.duration_s, 3),
    }
    if proof.layer == L2.name:
        entries["duplicates"] = proof.duplicates
    if proof.arrived_rows:
        entries["arrived_during_rebuild"] = proof.arrived_rows
    if proof.was_rebuilt:
        entries |= {"rows_found": proof.found.rows, "kWh_found": round(float(proof.found.kWh), 3)}
    return entries


def _time_spans(client: Client, layer: Layer, days: Sequence[dt.date]) -> dict[str, Entries]:
    # Some marts have no devices.
    devices = "uniqExact(device_id)" if "device_id" in COLUMN_SOURCES[layer.name] else "0"
    rows = client.query(
        f"SELECT toString(toYYYYMMDD({layer.time_column})) AS day, min({layer.time_column}), max({layer.time_column}), "
        f"{devices} FROM {quoted(layer.table)} "
        "WHERE day IN {partitions:Array(String)} GROUP BY day",
        parameters={"partitions": [partition_id(day) for day in days]},
    ).result_rows
    return {
        partition: {
            "first": dg.MetadataValue.timestamp(from_clickhouse(first)),
            "last": dg.MetadataValue.timestamp(from_clickhouse(last)),
            **({"devices": devices} if devices else {}),
        }
        for partition, first, last, devices in rows
    }


def _preview(client: Client, layer: Layer, day: dt.date) -> dg.MarkdownMetadataValue:
    return table_entries.preview(client, layer.name, f"toDate({layer.time_column}) = '{day.isoformat()}'")
