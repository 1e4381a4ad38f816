"""A failed blocking check blocks the day for the next layer, in this run and in later ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.definitions import defs
from iot_platform.layers.blocked_days import record_outcome
from iot_platform.layers.catalog import DERIVED_LAYERS, blocking_layers
from iot_platform_tests.defs.check_data import DAY, NEXT_DAY, entries, insert
from iot_platform_tests.defs.dagster_runs import run_checks, run_job


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.mark.slow
def test_a_failed_day_is_blocked_until_its_check_passes(platform: Client, instance: dg.DagsterInstance) -> None:
    run_job("refresh_metadata_job", instance)
    run_job("all_layers_job", instance, DAY, last_day=NEXT_DAY)
    insert(platform, "l2_power_cleaned", f"('{DAY}', 1, -5)")
    # A check of all days, as "Execute all" in the UI starts it, lists the failed ones.
    found = run_checks(instance, "l2_power_cleaned")["every_reading_is_within_limits"]
    assert not found.passed and entries(found)["failed_days"] == DAY
    held = prove_l3(instance, DAY, last_day=NEXT_DAY, raise_on_error=False)
    assert not held.success
    failure = next(event for event in held.all_node_events if event.is_step_failure)
    text = str(failure.event_specific_data.user_failure_data.description)
    assert "1 days of l3_power_joined are blocked by failed checks of l2_power_cleaned; 1 other days" in text
    assert f"{DAY}: every_reading_is_within_limits of l2_power_cleaned found 1" in text
    # The other day is materialized, so L4 can follow it.
    records = instance.fetch_materializations(dg.AssetKey("l3_power_joined"), limit=10).records
    assert {record.partition_key for record in records if record.run_id == held.run_id} == {NEXT_DAY}
    # The repair: L2 is rebuilt, its check is green, and L3 of that day goes on.
    run_job("prove_job", instance, DAY)
    assert prove_l3(instance, DAY, last_day=NEXT_DAY).success


def test_blocking_can_be_switched_off(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(platform, "l2_power_cleaned", f"('{DAY}', 1, -5)")
    run_checks(instance, "l2_power_cleaned", day=DAY)
    assert not prove_l3(instance, DAY, raise_on_error=False).success
    monkeypatch.setenv("IOT_HOLD_DOWNSTREAM", "false")
    result = prove_l3(instance, DAY, raise_on_error=False)
    assert result.get_asset_materialization_events()  # its own check fails then: no device is known


def test_a_removed_check_blocks_nothing(platform: Client, instance: dg.DagsterInstance) -> None:
    day = dt.date.fromisoformat(DAY)
    record_outcome(platform, "l2_power_cleaned", "a_fact_of_an_older_version", {day: 1.0}, [day], "run")
    assert prove_l3(instance, DAY).success


def prove_l3(instance: dg.DagsterInstance, day: str, last_day: str = "", *, raise_on_error: bool = True) -> Any:
    """A run of only L3, as started by hand."""
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection={dg.AssetKey("l3_power_joined")})
    tags = {"dagster/asset_partition_range_start": day, "dagster/asset_partition_range_end": last_day or day}
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=raise_on_error)


def test_failed_checks_of_l3_hold_back_all_marts() -> None:
    assert {layer.name: blocking_layers(layer) for layer in DERIVED_LAYERS} == {
        "l2_power_cleaned": ("l1_power_raw",),
        "power_quarantine": ("l1_power_raw",),
        "l3_power_joined": ("l2_power_cleaned",),
        "l4_power_agg_hourly": ("l3_power_joined",),
        "l4_power_by_building_type_hourly": ("l4_power_agg_hourly", "l3_power_joined"),
        "l4_power_by_device_daily": ("l4_power_agg_hourly", "l3_power_joined"),
    }
