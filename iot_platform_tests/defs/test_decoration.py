"""A picture, preview or table that cannot be made: the run goes on, the proof is recorded, and the log says why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.defs import bar_chart as bars
from iot_platform.defs import table_entries
from iot_platform.defs.devices import refresh as devices_refresh
from iot_platform.defs.layers import chart, proofs
from iot_platform.defs.readings import assets as readings_assets
from iot_platform.layers.summary import summarize
from iot_platform_tests.defs.dagster_runs import metadata_of, run_checks, run_job
from iot_platform_tests.devices.metadata import SIX, frame
from iot_platform_tests.security.hostile import HOSTILE

DAY = "2026-01-02"
LAYERS = ("l2_power_cleaned", "power_quarantine", "l3_power_joined", "l4_power_agg_hourly", "l4_power_by_device_daily")
# Where each illustration is made.
MADE_BY = [
    (bars, "_bars"),
    (chart, "_figure"),
    (table_entries, "preview"),
    (table_entries, "total_rows"),
    (table_entries, "column_schema"),
    (table_entries, "markdown_table"),
    (proofs, "queries_of_run"),
    (readings_assets, "queries_of_run"),
    (proofs, "_time_spans"),
    (devices_refresh, "refresh_tables"),
    (devices_refresh, "restatement_tables"),
]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def logged(instance: dg.DagsterInstance, run_id: str) -> str:
    return "\n".join(entry.user_message for entry in instance.all_logs(run_id))


@pytest.mark.slow
def test_all_illustrations_may_fail(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("broken on purpose")

    for module, name in MADE_BY:
        monkeypatch.setattr(module, name, fail)
    metadata = run_job("refresh_metadata_job", instance)
    layers = run_job("all_layers_job", instance, DAY)
    assert metadata.success and layers.success
    for name in LAYERS:
        entries = metadata_of(instance, name, DAY)
        assert entries["proof"] and entries["readings"] >= 0 and "preview" not in entries
    counts = metadata_of(instance, "device_metadata")
    assert counts["rows_read"] == counts["new"] == 10 and counts["days_restated"] == 0
    assert "changes" not in counts and "kWh_per_customer" not in counts
    assert summarize(platform).conserved
    for run, what in (
        (metadata, "The list of what has changed"),
        (layers, "usage_of_the_day of l4_power_agg_hourly on"),
    ):
        text = logged(instance, run.run_id)
        assert what in text and "could not be made" in text
        assert "Traceback" in text and "RuntimeError: broken on purpose" in text


def test_a_check_whose_table_fails_says_what_it_found(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.command(
        "INSERT INTO l2_power_cleaned (timestamp, device_id, power_usage_kWh) VALUES ('2026-01-02', 7, -5)"
    )

    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(table_entries, "markdown_table", fail)
    found = run_checks(instance, "l2_power_cleaned", day=DAY)["every_reading_is_within_limits"]
    assert not found.passed and (found.description or "").startswith("1 of 1 readings")
    assert found.metadata["offending_readings"].value == 1 and "offenders" not in found.metadata


def test_a_building_type_with_mathematical_notation_is_drawn(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    devices = frame(*SIX)
    devices["building_type"] = [r"a $\foo$ b", *HOSTILE[:5]]
    devices.to_csv(tmp_path / "devices.csv", index=False)
    monkeypatch.setenv("IOT_DEVICES_CSV", str(tmp_path / "devices.csv"))
    run_job("refresh_metadata_job", instance)
    run_job("all_layers_job", instance, DAY, raise_on_error=False)
    assert "data:image/png" in metadata_of(instance, "l3_power_joined", DAY)["enrichment_by_building_type"]
