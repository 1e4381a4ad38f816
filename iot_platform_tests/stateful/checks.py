"""The layers compared with the truth, without the platform's own proofs, and the proofs compared with both."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.client import Client

from iot_platform.layers.catalog import (
    BY_BUILDING_TYPE,
    BY_DEVICE_DAILY,
    BY_DEVICE_HOURLY,
    DERIVED_LAYERS,
    HOURLY_ROWS,
    IMPOSSIBLE_TIMES,
    L2,
    L3,
    MARTS,
    QUARANTINE,
    RAW_TABLE,
    Layer,
)
from iot_platform.layers.definition import Definition
from iot_platform.layers.partitions import partitions
from iot_platform.layers.proof import prove_all
from iot_platform.layers.status import unverified_partitions
from iot_platform.layers.summary import summarize
from iot_platform_tests.stateful.model import Expected, Rows
from iot_platform_tests.stateful.world import World

_READING = (
    "toUnixTimestamp(timestamp), device_id, reinterpretAsUInt64(power_usage_kWh), toUnixTimestamp64Micro(ingested_at)"
)
_HOURS = "toUnixTimestamp(ts_hour), toUnixTimestamp(local_hour)"
_JOINED = "customer_id, toString(building_type), latitude, longitude, has_metadata"
# The rows that a mart has not merged yet count as one.
_SUMS = "toString(sum(total_kWh)), sum(readings), max(max_kWh)"
_COLUMNS = {
    L2.name: _READING,
    QUARANTINE.name: f"{_READING}, toString(reject_reason)",
    L3.name: f"{_READING}, {_JOINED}, toString(time_zone), toUnixTimestamp(local_time)",
    BY_DEVICE_HOURLY.name: f"{_HOURS}, device_id, {_JOINED}, toString(time_zone), {_SUMS}",
    BY_BUILDING_TYPE.name: f"{_HOURS}, toString(building_type), has_metadata, {_SUMS}",
    BY_DEVICE_DAILY.name: f"toUnixTimestamp(ts_hour), device_id, {_JOINED}, {_SUMS}",
}
# A layer's rows equal the model while its day is verified in all of these.
_HOURLY = [L2, L3, BY_DEVICE_HOURLY]
_CHAINS = {L2: [L2], QUARANTINE: [QUARANTINE], L3: [L2, L3]} | {mart: [*_HOURLY, mart] for mart in MARTS}
MOST_SHOWN = 4
# How often in a row merges may make a verified day unverified.
MOST_MERGES = 4


class MismatchError(AssertionError):
    """The platform is not what the model says."""


def check_raw(world: World) -> None:
    """L1 holds exactly what was accepted, in any order."""
    rows = world.client.query(f"SELECT {_READING} FROM {RAW_TABLE}").result_rows
    _require_same("L1", Counter(map(tuple, rows)), world.truth.raw())


def check_closed_days(world: World) -> int:
    """Each verified day equals its definition and, with the layers above it, the model. Returns their number.

    This is what `prove --open` relies on: it leaves these days out.
    """
    client, expected = world.client, _expected_rows(world.truth.expected())
    names = partitions(client)
    closed = {layer: set(names) - set(unverified_partitions(client, layer)) for layer in DERIVED_LAYERS}
    for layer in DERIVED_LAYERS:
        if not layer.has_impossible_times:
            closed[layer].discard(IMPOSSIBLE_TIMES)
        own = sorted(closed[layer], key=int)
        definition = Definition(client, layer)
        made, found = definition.expected(own), definition.actual(own)
        if broken := [name for name in own if not made[name].same_content(found[name])]:
            raise MismatchError(f"{layer.name}: verified, but different from its definition: {broken}")
        rows = _rows(client, layer)
        for name in set.intersection(*(closed[above] for above in _CHAINS[layer])):
            _require_same(f"{layer.name}, verified day {name}", rows[name], expected[layer.name][name])
    return sum(map(len, closed.values()))


def settle(world: World) -> Counter[str]:
    """Prove all unverified days; then everything must equal the model. Returns the days rebuilt by layer."""
    check_closed_days(world)
    client = world.client
    _drop_hidden_rows(client)
    rebuilt = Counter(proof.layer for proof in prove_all(client, only_unverified=True) if proof.was_rebuilt)
    _require_closed(client)
    truth = world.truth.expected()
    expected = _expected_rows(truth)
    for layer in DERIVED_LAYERS:
        rows = _rows(client, layer)
        for name in rows.keys() | expected[layer.name].keys():
            _require_same(f"{layer.name}, day {name} after its proof", rows[name], expected[layer.name][name])
    _check_summary(client, truth, len(world.truth.readings))
    if differing := [proof for proof in prove_all(client, repair=False) if proof.difference()]:
        raise MismatchError(f"A full proof finds {differing}")
    return rebuilt


def _require_closed(client: Client) -> None:
    """What was proved stays verified, except for days that a merge with an emptied part changes: those prove equal."""
    for _ in range(MOST_MERGES):
        again = list(prove_all(client, only_unverified=True))
        if not again:
            return
        if any(proof.was_rebuilt or not proof.is_equal for proof in again):
            break
        _drop_hidden_rows(client)
    raise MismatchError(
        f"Unverified after a proof of all unverified days: {[(proof.layer, proof.partition) for proof in again]}. "
        f"{_versions(client, again[0].layer, again[0].partition)}"
    )


def _drop_hidden_rows(client: Client) -> None:
    """Merge what deletes have hidden or emptied: otherwise a merge could make these days unverified at any moment."""
    rows = client.query(
        "SELECT DISTINCT table FROM system.parts "
        "WHERE active AND (has_lightweight_delete OR rows = 0) AND database = currentDatabase()"
    ).result_rows
    for (table,) in rows:
        client.command(f"OPTIMIZE TABLE {table} FINAL")


def _check_summary(client: Client, truth: Expected, readings: int) -> None:
    summary = summarize(client)
    energy = {layer.name: summary.layers[layer.name].kWh for layer in (L2, L3, *MARTS)}
    counts = {layer.name: summary.layers[layer.name].readings for layer in DERIVED_LAYERS}
    winners = len(truth.winners)
    said = {
        "proved": (summary.proved, True),
        "conserved": (summary.conserved, True),
        "kWh": (energy, dict.fromkeys(energy, float(truth.total_kWh))),
        "raw": (summary.layers[RAW_TABLE].readings, readings),
        "readings": (counts, {**dict.fromkeys(counts, winners), QUARANTINE.name: len(truth.refused)}),
        "duplicates": (summary.duplicates, truth.duplicates),
        "rejected": (summary.rejected, truth.rejected),
        "unenriched": (summary.unenriched, truth.without_metadata),
    }
    if wrong := {name: pair for name, pair in said.items() if pair[0] != pair[1]}:
        unproved = [(layer, day) for layer, held in summary.layers.items() for day in held.unproved]
        raise MismatchError(
            f"The summary says (and should say): {wrong}. Not proved: {unproved}. "
            f"{_versions(client, *unproved[0]) if unproved else ''}"
        )


def _expected_rows(expected: Expected) -> dict[str, Rows]:
    return {
        L2.name: expected.cleaned,
        QUARANTINE.name: expected.quarantine,
        L3.name: expected.joined_rows,
        BY_DEVICE_HOURLY.name: expected.hourly,
        BY_BUILDING_TYPE.name: expected.hourly_by_building_type,
        BY_DEVICE_DAILY.name: expected.daily_by_device,
    }


def _rows(client: Client, layer: Layer) -> Rows:
    found: Rows = defaultdict(Counter)
    # L3 and L4 are views, which do not show the partitions of their tables.
    day = "_partition_id" if layer.name == layer.table else f"toString(toYYYYMMDD({layer.time_column}))"
    groups = " GROUP BY ALL" if layer in MARTS else ""
    # The view l4_power_agg_hourly shows energy as a float, this one as the exact decimal.
    view = HOURLY_ROWS if layer is BY_DEVICE_HOURLY else layer.name
    rows = client.query(f"SELECT {day}, {_COLUMNS[layer.name]} FROM {view}{groups}").result_rows
    for partition, *row in rows:
        if layer in MARTS:
            row[-3] = Decimal(row[-3])
        found[str(partition)][tuple(row)] += 1
    return found


def _require_same(what: str, found: Counter[tuple[Any, ...]], expected: Counter[tuple[Any, ...]]) -> None:
    if found == expected:
        return
    missing, more = expected - found, found - expected
    raise MismatchError(
        f"{what}: {missing.total()} rows are missing, {more.total()} too many. "
        f"Missing: {list(missing.items())[:MOST_SHOWN]}; too many: {list(more.items())[:MOST_SHOWN]}"
    )


def _versions(client: Client, layer: str, partition: str) -> str:
    """The newest proofs of a partition, and its parts: they show what has changed in between."""
    proofs = client.query(
        "SELECT toString(proved_at), source_version, own_version, rows_expected, difference FROM partition_proofs "
        "WHERE layer = {layer:String} AND partition_id = {partition:String} ORDER BY proved_at DESC LIMIT 3",
        parameters={"layer": layer, "partition": partition},
    ).result_rows
    parts = client.query(
        "SELECT table, name, rows, toString(modification_time) FROM system.parts WHERE active "
        "AND database = currentDatabase() AND partition_id = {partition:String} ORDER BY table, name",
        parameters={"partition": partition},
    ).result_rows
    return f"Proofs, newest first: {proofs}. Parts: {parts}"
