"""Proofs find all damage, rebuild what differs, and never change L1."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.query import QueryResult

from iot_platform.layers import partitions as sizes
from iot_platform.layers.catalog import (
    BY_BUILDING_TYPE,
    BY_DEVICE_DAILY,
    BY_DEVICE_HOURLY,
    DERIVED_LAYERS,
    L2,
    L3,
    MARTS,
    QUARANTINE,
    Layer,
)
from iot_platform.layers.comparison import Proof
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.layers.partitions import partitions
from iot_platform.layers.proof import prove_all, prove_partitions
from iot_platform.layers.status import unverified_partitions
from iot_platform.layers.summary import summarize

DAY = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
PARTITION = "20260105"


@pytest.fixture
def filled(schema: Client) -> Client:
    """Two days of 20 devices with rejects, duplicates and corrections; every second device has metadata."""
    chance = random.Random(7)
    devices = [(device, f"C-{device // 4}", "office", 51.5, -0.1) for device in range(2, 21, 2)]
    schema.insert(
        "device_metadata",
        devices,
        column_names=["device_id", "customer_id", "building_type", "latitude", "longitude"],
    )
    reload_dictionaries(schema)
    for _ in range(3):
        rows = [
            (
                DAY + dt.timedelta(minutes=chance.randrange(2880)),
                chance.randrange(21),
                chance.choice([-1.0, 0.1, 2.5, 500]),
            )
            for _ in range(2000)
        ]
        schema.insert("l1_power_raw", rows, column_names=["timestamp", "device_id", "power_usage_kWh"])
    return schema


MART_NAMES = {layer.name for layer in MARTS}


def state(client: Client) -> list[object]:
    return [
        client.query(
            f"SELECT count(), sum(cityHash64(tuple(*))) FROM {layer.table}{' FINAL' if layer.needs_final else ''}"
        ).first_row
        for layer in DERIVED_LAYERS
    ]


def proofs_by_layer(client: Client, repair: bool = True) -> dict[str, Proof]:
    return {proof.layer: proof for proof in prove_all(client, [PARTITION], repair=repair)}


def test_a_second_proof_finds_everything_equal(filled: Client) -> None:
    first = list(prove_all(filled))
    assert all(proof.is_equal for proof in first)
    before = state(filled)
    second = list(prove_all(filled))
    assert all(proof.is_equal and not proof.was_rebuilt and not proof.difference() for proof in second)
    assert state(filled) == before
    summary = summarize(filled)
    assert summary.proved and summary.conserved
    assert summary.duplicates > 0 and summary.unenriched > 0 and summary.rejected.keys() >= {"negative", "over_limit"}


def test_the_views_alone_are_right_without_readings_sent_twice(schema: Client) -> None:
    rows = [(DAY + dt.timedelta(minutes=n), 1 + n % 5, n / 100) for n in range(1440)]
    for part in (rows[:700], rows[700:]):
        schema.insert("l1_power_raw", part, column_names=["timestamp", "device_id", "power_usage_kWh"])
    assert all(not proof.was_rebuilt and proof.is_equal for proof in prove_all(schema))


def test_zero_and_minus_zero_in_one_hour_settle(schema: Client) -> None:
    columns = ["timestamp", "device_id", "power_usage_kWh"]
    for device, values in ((1, (0.0, -0.0)), (2, (-0.0, 0.0)), (3, (-0.0, -0.0))):
        for minute, value in enumerate(values):
            schema.insert("l1_power_raw", [[DAY + dt.timedelta(minutes=minute), device, value]], column_names=columns)
    for _ in range(2):
        assert [proof.difference() for proof in prove_all(schema) if proof.difference()] == []
        schema.command("OPTIMIZE TABLE l3_power_by_version FINAL")
    # Also in the opposite order.
    schema.command("ALTER TABLE l4_power_hourly_by_version DELETE WHERE device_id = 1 SETTINGS mutations_sync = 1")
    assert proofs_by_layer(schema)[BY_DEVICE_HOURLY.name].is_equal
    assert schema.query("SELECT DISTINCT toString(max_kWh) FROM l4_power_agg_hourly").result_rows == [("0",)]


@pytest.mark.slow
def test_zero_and_minus_zero_of_one_arrival_settle(schema: Client) -> None:
    columns = ["timestamp", "device_id", "power_usage_kWh", "ingested_at"]
    for device, values in ((1, (0.0, -0.0)), (2, (-0.0, 0.0)), (3, (-0.0, -0.0))):
        for value in values:
            schema.insert("l1_power_raw", [[DAY, device, value, DAY]], column_names=columns)
    list(prove_all(schema))
    # Whichever comes first in L1.
    schema.command("OPTIMIZE TABLE l1_power_raw FINAL")
    assert [proof.difference() for proof in prove_all(schema) if proof.difference()] == []
    for layer in ("l2_power_cleaned", "l3_power_joined"):
        found = schema.query(f"SELECT device_id, toString(power_usage_kWh) FROM {layer} ORDER BY device_id").result_rows
        assert found == [(1, "0"), (2, "0"), (3, "0")]


def test_the_newest_arrival_wins_after_a_proof(schema: Client) -> None:
    for kWh in (1.0, 7.0, 3.0):
        schema.insert("l1_power_raw", [(DAY, 1, kWh)], column_names=["timestamp", "device_id", "power_usage_kWh"])
    list(prove_all(schema))
    assert schema.query("SELECT total_kWh, readings FROM l4_power_agg_hourly").result_rows == [(3.0, 1)]
    assert summarize(schema).duplicates == 2
    assert schema.query("SELECT count() FROM l1_power_raw").first_row == (3,)


DAMAGES = {
    "L2 rows deleted": (L2, "DELETE FROM l2_power_cleaned WHERE device_id % 3 = 0"),
    "L2 row changed": (L2, "ALTER TABLE l2_power_cleaned UPDATE power_usage_kWh = 9 WHERE device_id = 5"),
    "quarantine emptied": (QUARANTINE, "TRUNCATE TABLE power_quarantine"),
    "L3 rows doubled": (L3, "INSERT INTO l3_power_by_version SELECT * FROM l3_power_by_version WHERE device_id = 4"),
    "L3 metadata lost": (L3, "ALTER TABLE l3_power_by_version UPDATE version = 0 WHERE device_id = 4"),
    "L4 partition dropped": (BY_DEVICE_HOURLY, f"ALTER TABLE l4_power_hourly_by_version DROP PARTITION {PARTITION}"),
    "mart of building types lost a type": (
        BY_BUILDING_TYPE,
        "DELETE FROM l4_power_hourly_by_type WHERE type_id = 1",
    ),
    "mart of devices doubled": (
        BY_DEVICE_DAILY,
        "INSERT INTO l4_power_daily_by_version SELECT * FROM l4_power_daily_by_version WHERE device_id = 4",
    ),
    "L4 energy doubled": (
        BY_DEVICE_HOURLY,
        "INSERT INTO l4_power_hourly_by_version SELECT * FROM l4_power_hourly_by_version LIMIT 9",
    ),
}


FIRST, *OTHERS = DAMAGES


@pytest.mark.parametrize("damage", [FIRST, *(pytest.param(damage, marks=pytest.mark.slow) for damage in OTHERS)])
def test_damage_is_found_and_repaired(filled: Client, damage: str) -> None:
    layer, statement = DAMAGES[damage]
    list(prove_all(filled))
    right = state(filled)
    filled.command(statement, settings={"mutations_sync": 1, "max_partitions_per_insert_block": 0})

    looked = {proof.layer: proof for proof in prove_all(filled, repair=False) if proof.difference()}
    assert layer.name in looked and not looked[layer.name].is_equal
    assert state(filled) != right  # a dry run changes nothing

    proofs = list(prove_all(filled))
    assert all(proof.is_equal for proof in proofs)
    assert {proof.layer for proof in proofs if proof.was_rebuilt} >= {layer.name}
    assert state(filled) == right


@pytest.mark.slow
@pytest.mark.parametrize("layer", [L2, L3], ids=lambda layer: layer.name)
@pytest.mark.parametrize("value", ["nan", "inf", "1e12", "-5"])
def test_a_value_that_no_sum_can_represent_is_repaired(filled: Client, layer: Layer, value: str) -> None:
    list(prove_all(filled))
    right = state(filled)
    # The views refuse an INSERT of such a value; a swapped partition does not go through them.
    filled.command(f"CREATE TABLE damaged AS {layer.table}")
    filled.command(f"INSERT INTO damaged SELECT * REPLACE ({value} AS power_usage_kWh) FROM {layer.table}")
    filled.command(f"ALTER TABLE {layer.table} REPLACE PARTITION ID '{PARTITION}' FROM damaged")
    summarize(filled)
    assert {proof.layer for proof in prove_all(filled) if proof.was_rebuilt} >= {layer.name}
    assert state(filled) == right


@pytest.mark.slow
def test_days_are_unverified_again_when_an_input_changes(filled: Client) -> None:
    def unverified_layers() -> set[str]:
        return {layer.name for layer in DERIVED_LAYERS if unverified_partitions(filled, layer)}

    list(prove_all(filled))
    assert unverified_layers() == set()
    filled.insert("power_limits", [("device", "99", 5.0)], column_names=["scope", "key", "max_kWh"])
    assert unverified_layers() == {L2.name, QUARANTINE.name}
    list(prove_all(filled))
    names = ["device_id", "customer_id", "building_type", "latitude", "longitude"]
    filled.insert("device_metadata", [(3, "new", "shop", 1.0, 2.0)], column_names=names)
    assert unverified_layers() == {L2.name, QUARANTINE.name, L3.name}
    reload_dictionaries(filled)
    list(prove_all(filled, layers=[L2, QUARANTINE, L3]))
    assert unverified_layers() == {BY_DEVICE_HOURLY.name}  # its source was rebuilt
    list(prove_all(filled))
    filled.command(f"ALTER TABLE l3_power_by_version DROP PARTITION {PARTITION}")
    assert unverified_layers() == {L3.name, BY_DEVICE_HOURLY.name}


@pytest.mark.slow
def test_a_changed_limit_restates_the_days_it_affects(filled: Client) -> None:
    list(prove_all(filled))
    filled.insert("power_limits", [("default", "", 1000.0)], column_names=["scope", "key", "max_kWh"])
    filled.command("SYSTEM RELOAD DICTIONARY device_limits")
    proofs = proofs_by_layer(filled)
    assert all(proof.was_rebuilt for proof in proofs.values())
    list(prove_all(filled))
    summary = summarize(filled)
    assert "over_limit" not in summary.rejected and summary.conserved


def test_changed_metadata_restates_l3_and_l4(filled: Client) -> None:
    list(prove_all(filled))
    names = ["device_id", "customer_id", "building_type", "latitude", "longitude"]
    filled.insert("device_metadata", [(3, "new", "shop", 1.0, 2.0)], column_names=names)
    reload_dictionaries(filled)
    rebuilt = {name for name, proof in proofs_by_layer(filled).items() if proof.was_rebuilt}
    assert rebuilt == {L3.name} | MART_NAMES


def test_a_day_is_unverified_again_when_a_reading_arrives(filled: Client) -> None:
    list(prove_all(filled))
    assert unverified_partitions(filled, L2) == []
    filled.insert("l1_power_raw", [(DAY, 1, 1.0)], column_names=["timestamp", "device_id", "power_usage_kWh"])
    assert [unverified_partitions(filled, layer) for layer in DERIVED_LAYERS] == [[PARTITION]] * len(DERIVED_LAYERS)
    assert not summarize(filled).proved


def test_a_proof_needs_few_queries(schema: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(DAY + dt.timedelta(days=day, minutes=n), 1 + n % 5, n / 100) for day in range(5) for n in range(50)]
    schema.insert("l1_power_raw", rows, column_names=["timestamp", "device_id", "power_usage_kWh"])
    list(prove_all(schema))
    queries: list[str] = []
    query = schema.query

    def counted(sql: str, *args: Any, **kwargs: Any) -> QueryResult:
        queries.append(sql)
        return query(sql, *args, **kwargs)

    monkeypatch.setattr(schema, "query", counted)
    # Once: locks, abandoned tables, the states. For each layer: the time, changes made by hand; its definition and the
    # states of its tables, twice each, and two reads of the data, for L2 three. The days of the marts by month are
    # known, because the parts of their months have not changed.
    list(prove_all(schema))
    assert len(queries) == 3 + 6 * 8 + 1
    assert sum("system.parts" in sql for sql in queries) == 1 + 6 * 2
    queries.clear()
    assert list(prove_all(schema, only_unverified=True)) == []
    assert len(queries) == 3 + 3


def test_large_days_are_proved_in_slices(filled: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {proof.layer: proof.proved.checksum for proof in prove_all(filled, [PARTITION])}
    monkeypatch.setattr(sizes, "ROWS_PER_QUERY", 300)
    filled.command("TRUNCATE TABLE l3_power_by_version")
    sliced = proofs_by_layer(filled)
    assert sliced[L3.name].was_rebuilt
    assert {layer: proof.proved.checksum for layer, proof in sliced.items()} == whole


@pytest.mark.parametrize(("rows", "pieces"), [(0, 1), (1, 1), (300, 1), (301, 2), (600, 2), (601, 3)])
def test_a_day_that_fits_is_read_once(rows: int, pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "ROWS_PER_QUERY", 300)
    table = sizes.TableState("readings", {}, {PARTITION: rows}, {PARTITION: 1})
    assert len(list(sizes.row_filters(table, [PARTITION], "device_id"))) == pieces


def test_a_day_without_valid_readings_is_proved_empty(schema: Client) -> None:
    schema.insert("l1_power_raw", [(DAY, 1, -1.0)], column_names=["timestamp", "device_id", "power_usage_kWh"])
    schema.insert("l2_power_cleaned", [(DAY, 1, 1.0, DAY)])
    [proof] = prove_partitions(schema, L2, [PARTITION])
    assert proof.was_rebuilt and proof.is_equal and proof.proved.rows == 0


@pytest.mark.parametrize("layer", DERIVED_LAYERS, ids=lambda layer: layer.name)
def test_impossible_times_are_only_in_quarantine(schema: Client, layer: Layer) -> None:
    early = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)
    schema.insert("l1_power_raw", [(early, 1, 1.0)], column_names=["timestamp", "device_id", "power_usage_kWh"])
    assert partitions(schema) == ["0"]
    assert [proof.layer for proof in prove_all(schema)] == [QUARANTINE.name]
    assert unverified_partitions(schema, layer) == []
