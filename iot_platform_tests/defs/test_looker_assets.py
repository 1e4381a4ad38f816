"""The checks of the LookML in Dagster: they pass on correct marts, and fail with findings on a damaged one."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform_tests.defs.dagster_runs import run_job

CHECKS = {"every_field_and_tile_runs", "no_tile_is_cut", "totals_agree", "columns_agree"}
DAY = "2026-01-02"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def evaluations(instance: dg.DagsterInstance) -> dict[str, dg.AssetCheckEvaluation]:
    result = run_job("looker_checks_job", instance)
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def test_the_checks_find_a_mart_that_lost_energy_and_a_column_that_no_field_shows(
    platform: Client, instance: dg.DagsterInstance
) -> None:
    run_job("refresh_metadata_job", instance)
    run_job("ingestion_job", instance, DAY)
    found = evaluations(instance)
    assert found.keys() == CHECKS
    assert {name for name, evaluation in found.items() if not evaluation.passed} == set()

    platform.command("ALTER TABLE l4_power_daily_by_version DELETE WHERE device_id = 1", settings={"mutations_sync": 1})
    platform.command("ALTER TABLE l4_power_hourly_by_type ADD COLUMN voltage Float32")
    found = evaluations(instance)
    assert {name for name, evaluation in found.items() if not evaluation.passed} == {"totals_agree", "columns_agree"}
    assert "power_usage.device_id" in str(found["totals_agree"].metadata["offenders"].value)
    assert "l4_power_hourly_by_type.voltage" in str(found["columns_agree"].metadata["offenders"].value)
    assert "iot-platform prove" in str(found["totals_agree"].metadata["what_to_do"].value)
