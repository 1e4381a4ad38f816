"""The asset checks: green on good days, red on bad ones, with the offenders in their metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform_tests.engine.dagster_runs import run_checks, run_job

DAY, NEXT_DAY = "2026-01-02", "2026-01-03"
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
CHECKS_OF_L2 = {"every_reading_is_within_limits", "no_reading_is_null_or_nan", "reject_rate_is_normal"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def facts(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in evaluation.metadata.items()}


def insert(client: Client, table: str, *rows: str) -> None:
    client.command(f"INSERT INTO {table} (timestamp, device_id, power_usage_kWh) VALUES {', '.join(rows)}")


def test_a_simulated_day_is_green(platform: Client, instance: dg.DagsterInstance) -> None:
    run_job("refresh_metadata_job", instance)
    result = run_job("all_layers_job", instance, DAY)
    evaluations = {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}
    assert evaluations.keys() == CHECKS_OF_L2 | {"every_reading_has_metadata"}
    for name, evaluation in evaluations.items():
        assert evaluation.passed, name
        assert facts(evaluation)["days"] == DAY
        assert facts(evaluation)["readings"] > 900


def test_readings_out_of_limits_fail(platform: Client, instance: dg.DagsterInstance) -> None:
    insert(platform, "l2_power_cleaned", f"('{DAY}', 1, 5)", f"('{DAY}', 2, -1)", f"('{DAY}', 3, 100)")
    insert(platform, "l2_power_cleaned", f"('{NEXT_DAY}', 4, 1e6)")
    evaluation = run_checks(instance, "l2_power_cleaned", day=DAY)["every_reading_is_within_limits"]
    assert not evaluation.passed and evaluation.severity == ERROR
    found = facts(evaluation)
    assert (found["offending_readings"], found["readings"], found["days"]) == (2, 3, DAY)
    assert [line.split(" | ")[0] for line in found["offenders"].splitlines()[2:]] == ["| 2", "| 3"]
    assert f"'{DAY}'" in found["sql"]
    sql = found["sql"].removeprefix("```sql\n").removesuffix("\n```")
    assert len(platform.query(sql).result_rows) == 2


def test_a_limit_of_a_device_counts(platform: Client, instance: dg.DagsterInstance) -> None:
    platform.command("INSERT INTO power_limits (scope, key, max_kWh) VALUES ('device', '3', 1000), ('device', '1', 2)")
    platform.command(f"SYSTEM RELOAD DICTIONARY `{platform.database}`.device_limits")
    insert(platform, "l2_power_cleaned", f"('{DAY}', 1, 5)", f"('{DAY}', 3, 500)")
    evaluation = run_checks(instance, "l2_power_cleaned", day=DAY)["every_reading_is_within_limits"]
    assert facts(evaluation)["offending_readings"] == 1
    assert facts(evaluation)["offenders"].splitlines()[2].startswith("| 1 | 1 | 5 | 5 | 2 |")


def test_readings_that_say_nothing_fail(platform: Client, instance: dg.DagsterInstance) -> None:
    rows = (f"('{DAY}', 1, nan)", f"('{DAY}', 1, inf)", f"('{DAY}', NULL, 3)", f"('{DAY}', 2, 3)")
    # An INSERT of these would be refused by the views behind L2; a swapped partition does not pass them.
    platform.command("CREATE TABLE swapped AS l2_power_cleaned")
    insert(platform, "swapped", *rows)
    platform.command("ALTER TABLE l2_power_cleaned REPLACE PARTITION ID '20260102' FROM swapped")
    evaluation = run_checks(instance, "l2_power_cleaned", day=DAY)["no_reading_is_null_or_nan"]
    assert not evaluation.passed and evaluation.severity == ERROR
    assert facts(evaluation)["offending_readings"] == 3
    assert "| 1 | 2 | 1 | 1 | 0 |" in facts(evaluation)["offenders"]
    assert "| 0 | 1 | 0 | 0 | 1 |" in facts(evaluation)["offenders"]


def test_many_rejects_warn_with_their_reasons(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(
        platform, "l1_power_raw", f"('{DAY}', 1, 5)", f"('{DAY}', 2, -1)", f"('{DAY}', 3, 100)", f"('{DAY}', 4, 500)"
    )
    evaluation = run_checks(instance, "l2_power_cleaned", day=DAY)["reject_rate_is_normal"]
    assert not evaluation.passed and evaluation.severity == WARN
    assert facts(evaluation)["offending_share"] == 0.75
    assert facts(evaluation)["allowed_share"] == 0.05
    assert facts(evaluation)["offenders"].splitlines()[2].startswith("| over_limit | 2 |")
    monkeypatch.setenv("IOT_MAX_REJECT_RATE", "0.75")
    assert run_checks(instance, "l2_power_cleaned", day=DAY)["reject_rate_is_normal"].passed


def test_few_readings_without_metadata_warn_many_hold_l4_back(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(platform, "l1_power_raw", f"('{DAY}', 1, 5)", f"('{DAY} 01:00:00', 1, 5)", f"('{NEXT_DAY}', 2, 1)")
    monkeypatch.setenv("IOT_SIMULATOR_ENABLED", "false")
    result = run_job("all_layers_job", instance, DAY, raise_on_error=False)
    evaluation = {e.check_name: e for e in result.get_asset_check_evaluations()}["every_reading_has_metadata"]
    assert not evaluation.passed and evaluation.severity == ERROR
    assert facts(evaluation)["offenders"].splitlines()[2].startswith("| 1 | 2 | 10 |")
    materialized = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert "l3_power_joined" in materialized and "l4_power_agg_hourly" not in materialized
    monkeypatch.setenv("IOT_MIN_METADATA_SHARE", "0")
    evaluation = run_checks(instance, "l3_power_joined", day=DAY)["every_reading_has_metadata"]
    assert not evaluation.passed and evaluation.severity == WARN


def test_without_a_day_all_days_are_checked(platform: Client, instance: dg.DagsterInstance) -> None:
    insert(platform, "l2_power_cleaned", "('2025-07-01', 1, -5)", "('2035-07-01', 2, -5)", f"('{DAY}', 3, 1)")
    found = facts(run_checks(instance, "l2_power_cleaned")["every_reading_is_within_limits"])
    assert (found["days"], found["readings"], found["offending_readings"]) == ("all days", 3, 2)


def test_nothing_to_check_is_green(platform: Client, instance: dg.DagsterInstance) -> None:
    for evaluation in run_checks(instance, "l2_power_cleaned", day=DAY).values():
        assert evaluation.passed
        assert facts(evaluation)["readings"] == 0
