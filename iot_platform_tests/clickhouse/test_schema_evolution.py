"""A migration adds a column to every layer while readings flow: docs/examples/900_voltage.sql."""

from __future__ import annotations

import datetime as dt
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.migrations import migrate
from iot_platform.defs import table_entries
from iot_platform.layers.catalog import BY_DEVICE_HOURLY, DERIVED_LAYERS, L2, L3, QUARANTINE
from iot_platform.layers.definition import Definition
from iot_platform.layers.proof import prove_all, prove_partitions
from iot_platform.layers.status import unverified_partitions
from iot_platform.layers.summary import summarize
from iot_platform.readings.batch_writer import BatchWriter
from iot_platform.readings.prepared_batch import Batch
from iot_platform.readings.stream_writer import StreamWriter
from iot_platform.settings import Settings
from iot_platform_tests.clickhouse.evolution import (
    ADDED,
    DAYS,
    EXAMPLE,
    FIRST_DAY,
    L1_HAS_IT,
    ROWS,
    START,
    STATEMENTS,
    TABLES,
    Evolving,
    Traffic,
    assert_every_layer_has_what_l1_has,
    columns,
    prove_everything,
    readings,
    views,
    voltages,
)


@pytest.fixture
def evolving(platform: Client, tmp_path: Path) -> Evolving:
    """The settings of a platform whose next migration can be added; its database has the product's own schema."""
    shutil.copytree(Settings().sql_dir, tmp_path / "sql")
    return Evolving(directory=tmp_path / "sql")


def test_a_column_is_added_while_readings_flow(server: Endpoint, platform: Client, evolving: Evolving) -> None:
    before = columns(platform)
    with Traffic(server, evolving) as traffic:
        traffic.wait_for_batches(2 * DAYS)
        evolving.add_example()
        assert migrate(platform, evolving) == [EXAMPLE.name]
        migrated = time.monotonic()
        traffic.wait_for_batches(2 * DAYS)
    assert traffic.errors == []

    for table, found in columns(platform).items():
        assert [column for column in found if column[0] not in ADDED] == before[table]
        assert {column[0] for column in found[-2:]} & ADDED
    prove_everything(platform)
    accepted = {(writer, number): began for began, writer, number in traffic.batches}
    assert platform.query("SELECT count() FROM l1_power_raw").first_row == (len(accepted) * ROWS,)
    assert_every_layer_has_what_l1_has(platform)
    without = platform.query(
        "SELECT DISTINCT intDiv(device_id - 1, {rows:UInt32}), toDayOfMonth(timestamp) - 1 "
        "+ {days:UInt32} * (toHour(timestamp) * 60 + toMinute(timestamp)) FROM l1_power_raw WHERE voltage IS NULL",
        parameters={"rows": ROWS, "days": DAYS},
    ).result_rows
    assert without and all(accepted[writer, number] < migrated for writer, number in without)
    [[kWh, count]] = platform.query("SELECT sum(total_kWh), sum(readings) FROM l4_power_agg_hourly").result_rows
    values = [readings(writer, number)["power_usage_kWh"].to_numpy() for writer, number in accepted]
    good = np.concatenate(values)
    assert (kWh, count) == (good[good >= 0].sum(), (good >= 0).sum())


def test_the_next_proof_repairs_what_was_running(platform: Client, evolving: Evolving) -> None:
    writer = BatchWriter(platform, "s")
    writer.write(Batch(0, 1, readings(0, 0)))
    prove_everything(platform)
    for statement in STATEMENTS[:L1_HAS_IT]:
        platform.command(statement)
    writer.write(Batch(1, 2, readings(1, 0)))  # as an insert between the new column of L1 and the new views
    evolving.add_example()
    migrate(platform, evolving)
    assert voltages(platform) == dict.fromkeys(TABLES, 0) | {"l1_power_raw": ROWS}
    assert [unverified_partitions(platform, layer) for layer in DERIVED_LAYERS] == [[FIRST_DAY]] * len(DERIVED_LAYERS)
    # The marts without the voltage needed no rebuild.
    rebuilt = {proof.layer for proof in prove_all(platform) if proof.was_rebuilt}
    assert rebuilt == {layer.name for layer in (L2, QUARANTINE, L3, BY_DEVICE_HOURLY)}
    assert_every_layer_has_what_l1_has(platform)
    prove_everything(platform)


def test_days_from_before_stay_proved_and_can_be_rebuilt(platform: Client, evolving: Evolving) -> None:
    writer = BatchWriter(platform, "s")
    for number in range(DAYS):
        writer.write(Batch(number, number + 1, readings(0, number)))
    prove_everything(platform)
    energy = platform.query("SELECT * FROM l4_power_agg_hourly ORDER BY ALL").result_rows
    evolving.add_example()
    migrate(platform, evolving)
    assert [unverified_partitions(platform, layer) for layer in DERIVED_LAYERS] == [[]] * len(DERIVED_LAYERS)
    found = platform.query("SELECT * FROM l4_power_agg_hourly ORDER BY ALL").result_rows
    assert found == [(*row, None, None) for row in energy]

    # Old and new parts side by side, and every layer of the day damaged.
    writer.write(Batch(DAYS, DAYS + 1, readings(1, 0)))
    for layer in DERIVED_LAYERS:
        sync = {"mutations_sync": 1}
        some = "device_id % 3 = 0" if "device_id" in layer.source_piece_key else "1"
        platform.command(f"ALTER TABLE {layer.table} DELETE WHERE {some} AND 1", settings=sync)
    assert all(proof.was_rebuilt for proof in prove_all(platform, [FIRST_DAY]))
    prove_everything(platform)
    assert_every_layer_has_what_l1_has(platform)
    [[with_voltage, all_rows]] = platform.query("SELECT count(voltage), count() FROM l1_power_raw").result_rows
    assert (with_voltage, all_rows) == (ROWS, (DAYS + 1) * ROWS)


@pytest.mark.parametrize("overtaken", ["actual", "expected"])
def test_a_proof_is_repeated_if_a_migration_changes_the_definition(
    platform: Client, evolving: Evolving, monkeypatch: pytest.MonkeyPatch, overtaken: str
) -> None:
    writer = BatchWriter(platform, "s")
    writer.write(Batch(0, 1, readings(0, 0)))
    real, calls = getattr(Definition, overtaken), []

    def migrating(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            for statement in STATEMENTS[:L1_HAS_IT]:
                platform.command(statement)
            writer.write(Batch(1, 2, readings(1, 0)))
            evolving.add_example()
            migrate(platform, evolving)
        return real(*args, **options)

    monkeypatch.setattr(Definition, overtaken, migrating)
    [proof] = prove_partitions(platform, L2, [FIRST_DAY])
    assert proof.is_equal and proof.was_rebuilt
    assert voltages(platform)["l2_power_cleaned"] == len([d for d in range(ROWS + 1, 2 * ROWS + 1) if d % 7])
    assert unverified_partitions(platform, L2) == []


def test_a_stream_delivers_the_column_without_a_restart(platform: Client, evolving: Evolving) -> None:
    with StreamWriter(evolving, "meters") as stream:
        stream.accept(readings(0, 0, 10, volts=False))  # not sent at first, then by a part of one batch
        stream.accept(readings(0, 1, 10))
        assert stream.flush(30), stream.failure
        evolving.add_example()
        migrate(platform, evolving)
        assert voltages(platform)["l1_power_raw"] == 0
        stream.accept(readings(0, 2, 10))
        stream.accept(readings(0, 3, 10, volts=False))
        assert stream.flush(30), stream.failure
    assert platform.query("SELECT count(), count(voltage) FROM l1_power_raw").first_row == (40, 10)
    prove_everything(platform)
    assert_every_layer_has_what_l1_has(platform)


def test_nan_and_infinity_do_not_affect_minimum_and_maximum(platform: Client, evolving: Evolving) -> None:
    evolving.add_example()
    migrate(platform, evolving)
    names = ["timestamp", "device_id", "power_usage_kWh", "voltage"]
    for minute, voltage in enumerate([float("nan"), 229.0, None, float("inf"), 231.0, float("nan")]):
        time_ = dt.datetime.fromtimestamp(START + minute * 60, dt.UTC)
        platform.insert("l1_power_raw", [(time_, 1, 1.0, voltage)], column_names=names)
    prove_everything(platform)
    query = "SELECT min_voltage, max_voltage, readings FROM l4_power_agg_hourly"
    assert platform.query(query).result_rows == [(229.0, 231.0, 6)]


def test_the_migration_can_be_interrupted_anywhere_and_run_again(platform: Client, evolving: Evolving) -> None:
    writer = BatchWriter(platform, "s")
    for done in range(1, len(STATEMENTS) + 1):
        for statement in STATEMENTS[:done]:
            platform.command(statement)
        writer.write(Batch(done, done + 1, readings(0, done, 100)))
    evolving.add_example()
    assert migrate(platform, evolving) == [EXAMPLE.name]
    once = columns(platform), views(platform)
    for statement in STATEMENTS:
        platform.command(statement)
    assert (columns(platform), views(platform)) == once
    prove_everything(platform)
    assert_every_layer_has_what_l1_has(platform)
    assert summarize(platform).layers["l1_power_raw"].readings == len(STATEMENTS) * 100


def test_the_example_changes_the_views_in_nothing_else(platform: Client, evolving: Evolving) -> None:
    before = views(platform)
    evolving.add_example()
    migrate(platform, evolving)
    after = views(platform)
    for added in (
        ", minIf(voltage, isFinite(voltage)) AS min_voltage, maxIf(voltage, isFinite(voltage)) AS max_voltage",
        ", hours.min_voltage AS min_voltage, hours.max_voltage AS max_voltage",
        ", readings.voltage AS voltage",
        ", voltage DESC",
        ", voltage",
    ):
        after = {name: text.replace(added, "") for name, text in after.items()}
    assert after == before


def test_dagster_shows_the_new_columns(platform: Client, evolving: Evolving) -> None:
    BatchWriter(platform, "s").write(Batch(0, 1, readings(0, 0, 10)))
    evolving.add_example()
    migrate(platform, evolving)
    BatchWriter(platform, "s").write(Batch(1, 2, readings(0, 1, 10)))
    schema = table_entries.column_schema(platform, BY_DEVICE_HOURLY.name, comments_of=BY_DEVICE_HOURLY.table)
    shown = {column.name: column for column in schema.columns}["min_voltage"]
    assert (shown.type, shown.constraints.nullable) == ("Nullable(Float32)", True)
    assert shown.description and shown.description.startswith("Lowest voltage")
    assert all("voltage |" in str(table_entries.preview(platform, name).value) for name in TABLES)
