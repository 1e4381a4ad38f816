"""Materializing the assets on a real engine."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.defs.resources import ClickHouse
from iot_platform.defs.table_entries import column_lineage
from iot_platform.layers.catalog import DERIVED_LAYERS
from iot_platform.layers.column_sources import COLUMN_SOURCES
from iot_platform.layers.summary import summarize
from iot_platform_tests.defs.dagster_runs import metadata_of, run_job

DAY, NEXT_DAY, LAST_DAY = "2026-01-02", "2026-01-03", "2026-01-04"
LAYERS = tuple(layer.name for layer in DERIVED_LAYERS)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_days_are_materialized_from_nothing_to_verified_marts(platform: Client, instance: dg.DagsterInstance) -> None:
    run_job("refresh_metadata_job", instance)
    run_job("all_layers_job", instance, DAY, last_day=LAST_DAY)
    summary = summarize(platform)
    assert summary.conserved
    # 01-01 got its late readings and the last of the evening; nobody materialized it.
    assert all(set(summary.layers[name].unproved) <= {"20260101"} for name in LAYERS)
    for day in (DAY, NEXT_DAY, LAST_DAY):
        raw = metadata_of(instance, "l1_power_raw", day)
        assert raw["dagster/partition_row_count"] == pytest.approx(10 * 96, abs=20)
        assert raw["kWh"] > 0 and raw["devices"] == 10 and raw["lag_s"] > 0
        for name in LAYERS:
            entries = metadata_of(instance, name, day)
            assert len(entries["checksum"]) == 16 and entries["duration_s"] > 0
        marts = metadata_of(instance, "l4_power_agg_hourly", day)
        assert marts["readings"] == metadata_of(instance, "l2_power_cleaned", day)["readings"]
        assert marts["dagster/partition_row_count"] == pytest.approx(240, abs=3)
        assert "data:image/png;base64," in marts["usage_of_the_day"]
        assert marts["preview"].startswith("| ts_hour | device_id |")


def test_materializing_again_adds_nothing_and_finds_nothing(platform: Client, instance: dg.DagsterInstance) -> None:
    run_job("refresh_metadata_job", instance)
    run_job("all_layers_job", instance, DAY)
    first = metadata_of(instance, "l4_power_agg_hourly", DAY)
    run_job("all_layers_job", instance, DAY)
    assert metadata_of(instance, "l1_power_raw", DAY)["added_readings"] == 0
    second = metadata_of(instance, "l4_power_agg_hourly", DAY)
    assert second["proof"] == "equal to its definition"
    assert second["checksum"] == first["checksum"]


def test_damage_is_repaired_and_reported(platform: Client, instance: dg.DagsterInstance) -> None:
    run_job("refresh_metadata_job", instance)
    run_job("all_layers_job", instance, DAY)
    good = metadata_of(instance, "l3_power_joined", DAY)
    platform.command(
        "INSERT INTO l3_power_by_version (timestamp, device_id, power_usage_kWh) VALUES ('2026-01-02', 7, 5)"
    )
    run_job("prove_job", instance, DAY, raise_on_error=False)
    mended = metadata_of(instance, "l3_power_joined", DAY)
    assert mended["rebuilt"] is True
    assert mended["proof"] == "rebuilt; found +1 rows, +5.000 kWh against the definition"
    assert mended["rows_found"] == good["dagster/partition_row_count"] + 1
    assert mended["checksum"] == good["checksum"]


def test_without_the_simulator_l1_records_what_arrived(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IOT_SIMULATOR_ENABLED", "false")
    platform.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES "
        "('2026-01-02 10:00:00', 1, 1.5), ('2026-01-02 11:00:00', 2, 2)"
    )
    run_job("ingestion_job", instance, DAY, last_day=NEXT_DAY)
    entries = metadata_of(instance, "l1_power_raw", DAY)
    assert entries["dagster/partition_row_count"] == 2 and entries["kWh"] == 3.5
    assert entries["last_reading"] == dt.datetime(2026, 1, 2, 11, tzinfo=dt.UTC).timestamp()
    assert entries["first_arrival"] <= entries["last_arrival"]
    assert "added_readings" not in entries
    assert metadata_of(instance, "l1_power_raw", NEXT_DAY)["dagster/partition_row_count"] == 0


def test_a_window_ingests_only_its_arrivals(platform: Client, instance: dg.DagsterInstance) -> None:
    window = {"start": "2026-01-02T10:00:01+00:00", "end": "2026-01-02T11:00:01+00:00"}
    run_job("ingestion_job", instance, DAY, run_config={"ops": {"l1_power_raw": {"config": window}}})
    first, last = platform.query("SELECT max(timestamp), count() FROM l1_power_raw").result_rows[0]
    assert (first.hour, first.minute) == (10, 45)
    assert last == pytest.approx(40, abs=5)


def test_impossible_times_are_verified_with_any_day(platform: Client, instance: dg.DagsterInstance) -> None:
    platform.command("INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES ('1990-01-01', 1, 1)")
    run_job("prove_job", instance, DAY)
    assert "0" not in summarize(platform).layers["power_quarantine"].unproved


def test_metadata_from_the_csv(platform: Client, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run_job("refresh_metadata_job", instance)
    entries = metadata_of(instance, "device_metadata")
    assert (entries["new"], entries["changed"], entries["unchanged"]) == (10, 0, 0)
    assert entries["preview"].startswith("| device_id | customer_id |")
    path = tmp_path / "home" / "devices.csv"
    lines = path.read_text().splitlines()
    changed = lines[1].split(",")
    changed[1] = "C-new"
    path.write_text("\n".join([lines[0], ",".join(changed), *lines[2:]]))
    run_job("refresh_metadata_job", instance)
    entries = metadata_of(instance, "device_metadata")
    assert (entries["new"], entries["changed"], entries["unchanged"]) == (0, 1, 9)


def test_a_broken_csv_fails_the_run_and_changes_nothing(
    platform: Client, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    path = tmp_path / "home" / "devices.csv"
    path.parent.mkdir()
    path.write_text(
        "device_id,customer_id,building_type,latitude,longitude\n1,C1,office,48.1,11.5\n2,C2,office,948,11\n"
    )
    result = run_job("refresh_metadata_job", instance, raise_on_error=False)
    assert not result.success
    failure = result.failure_data_for_node("device_metadata")
    assert failure and failure.error and "line 3" in failure.error.to_string()
    assert platform.query("SELECT count() FROM device_metadata").result_rows == [(0,)]


def test_columns_are_shown_with_their_meaning(platform: Client, instance: dg.DagsterInstance) -> None:
    run_job("prove_job", instance, DAY)
    schema = metadata_of(instance, "l4_power_agg_hourly")["dagster/column_schema"]
    columns = {column.name: column for column in schema.columns}
    assert columns["total_kWh"].type == "Float64"
    assert columns["total_kWh"].description == "Energy of the hour"
    assert columns["latitude"].constraints.nullable


def test_queries_lead_back_to_their_run(platform: Client) -> None:
    comments = []

    @dg.asset
    def asking(context, clickhouse: ClickHouse) -> None:  # type: ignore[no-untyped-def]
        with clickhouse.session(context.run, "asking") as session:
            comments.append(session.query("SELECT getSetting('log_comment')").result_rows[0][0])

    result = dg.materialize([asking], resources={"clickhouse": ClickHouse()})
    assert json.loads(comments[0]) == {
        "asset": "asking",
        "dagster_job": "__ephemeral_asset_job__",
        "dagster_run_id": result.run_id,
    }


def test_column_lineage_covers_every_column_and_names_only_what_exists(schema: Client) -> None:
    columns: dict[str, set[str]] = {}
    for table, name in schema.query(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase()"
    ).result_rows:
        columns.setdefault(table, set()).add(name)
    assert COLUMN_SOURCES.keys() == set(LAYERS), "Each layer needs its columns in layers/column_sources.py."
    for asset, sources in COLUMN_SOURCES.items():
        assert sources.keys() == columns[asset], f"{asset}: list each column in layers/column_sources.py."
        assert all(column in columns[owner] for found in sources.values() for owner, column in found)
    lineage = column_lineage("l4_power_agg_hourly").deps_by_column["building_type"]
    assert [(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage] == [
        ("l3_power_joined", "building_type")
    ]


def test_each_layer_has_its_picture_and_leads_to_its_queries(platform: Client, instance: dg.DagsterInstance) -> None:
    run_job("refresh_metadata_job", instance)
    run = run_job("all_layers_job", instance, DAY)
    for asset, name in (
        ("power_quarantine", "rejects_by_reason"),
        ("l3_power_joined", "enrichment_by_building_type"),
        ("l4_power_agg_hourly", "usage_of_the_day"),
    ):
        entries = metadata_of(instance, asset, DAY)
        assert "data:image/png;base64," in entries[name]
        assert run.run_id in entries["clickhouse_queries"] and "/play#" in entries["clickhouse_query_log"]


def test_only_transient_errors_are_retried(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iot_platform.defs.resources.STEP_RETRY_PAUSE_S", 0)
    monkeypatch.setenv("IOT_CLICKHOUSE_URL", "http://nobody:x@127.0.0.1:9")
    away = run_job("ingestion_job", instance, DAY, raise_on_error=False)
    assert len([event for event in away.all_events if event.is_step_restarted]) >= 3
    monkeypatch.setenv("IOT_CLICKHOUSE_URL", "no url at all")
    wrong = run_job("ingestion_job", instance, DAY, raise_on_error=False)
    assert not any(event.is_step_restarted for event in wrong.all_events)
