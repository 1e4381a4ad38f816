"""The checks of values and metadata: passed on good days, failed on bad ones, with the offenders in their metadata."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.defs.layers.rules import RULES, configured
from iot_platform.errors import SettingsError
from iot_platform.layers.dictionaries import reload_dictionaries
from iot_platform.settings import Settings
from iot_platform_tests.defs.check_data import DAY, ERROR, NEXT_DAY, WARN, entries, insert, sent
from iot_platform_tests.defs.dagster_runs import run_checks, run_job


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_a_simulated_day_passes_all_checks(platform: Client, instance: dg.DagsterInstance) -> None:
    run_job("refresh_metadata_job", instance)
    result = run_job("all_layers_job", instance, DAY)
    evaluations = {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}
    assert evaluations.keys() == {rule.name for rule in RULES} | {"schema_is_as_in_sql"}
    for rule in RULES:
        evaluation = evaluations[rule.name]
        assert evaluation.passed, (rule.name, evaluation.description)
        assert entries(evaluation)["days"] == DAY
        assert entries(evaluation)[rule.unit] > 0
    assert evaluations["schema_is_as_in_sql"].passed


def test_readings_out_of_limits_fail(platform: Client, instance: dg.DagsterInstance) -> None:
    insert(platform, "l2_power_cleaned", f"('{DAY}', 1, 5)", f"('{DAY}', 2, -1)", f"('{DAY}', 3, 100)")
    insert(platform, "l2_power_cleaned", f"('{NEXT_DAY}', 4, 1e6)")
    evaluation = run_checks(instance, "l2_power_cleaned", day=DAY)["every_reading_is_within_limits"]
    assert not evaluation.passed and evaluation.severity == ERROR
    found = entries(evaluation)
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
    assert entries(evaluation)["offending_readings"] == 1
    assert entries(evaluation)["offenders"].splitlines()[2].startswith("| 1 | 1 | 5 | 5 | 2 |")


def test_readings_without_a_usable_value_fail(platform: Client, instance: dg.DagsterInstance) -> None:
    rows = (f"('{DAY}', 1, nan)", f"('{DAY}', 1, inf)", f"('{DAY}', NULL, 3)", f"('{DAY}', 2, 3)")
    # An INSERT of these would be refused by the views behind L2; a swapped partition does not pass them.
    platform.command("CREATE TABLE swapped AS l2_power_cleaned")
    insert(platform, "swapped", *rows)
    platform.command("ALTER TABLE l2_power_cleaned REPLACE PARTITION ID '20260102' FROM swapped")
    evaluation = run_checks(instance, "l2_power_cleaned", day=DAY)["no_reading_is_null_or_nan"]
    assert not evaluation.passed and evaluation.severity == ERROR
    assert entries(evaluation)["offending_readings"] == 3
    assert "| 1 | 2 | 1 | 1 | 0 |" in entries(evaluation)["offenders"]
    assert "| 0 | 1 | 0 | 0 | 1 |" in entries(evaluation)["offenders"]


def test_many_rejects_warn_with_their_reasons(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(
        platform, "l1_power_raw", f"('{DAY}', 1, 5)", f"('{DAY}', 2, -1)", f"('{DAY}', 3, 100)", f"('{DAY}', 4, 500)"
    )
    evaluation = run_checks(instance, "l2_power_cleaned", day=DAY)["reject_rate_is_normal"]
    assert not evaluation.passed and evaluation.severity == WARN
    assert entries(evaluation)["offending_share"] == 0.75
    assert entries(evaluation)["warns_above_share"] == 0.05
    assert entries(evaluation)["offenders"].splitlines()[2].startswith("| over_limit | 2 |")
    monkeypatch.setenv("IOT_CHECKS", '{"reject_rate_is_normal": {"warn_share": 0.75}}')
    assert run_checks(instance, "l2_power_cleaned", day=DAY)["reject_rate_is_normal"].passed


def test_few_readings_without_metadata_warn_many_block_l4(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(platform, "l1_power_raw", f"('{DAY}', 1, 5)", f"('{DAY} 01:00:00', 1, 5)", f"('{NEXT_DAY}', 2, 1)")
    monkeypatch.setenv("IOT_SIMULATOR_ENABLED", "false")
    result = run_job("all_layers_job", instance, DAY, raise_on_error=False)
    evaluation = {e.check_name: e for e in result.get_asset_check_evaluations()}["every_reading_has_metadata"]
    assert not evaluation.passed and evaluation.severity == ERROR
    assert entries(evaluation)["offenders"].splitlines()[2].startswith("| 1 | 2 | 10 |")
    materialized = {
        event.asset_key and event.asset_key.to_user_string() for event in result.get_asset_materialization_events()
    }
    assert "l3_power_joined" in materialized and "l4_power_agg_hourly" not in materialized
    monkeypatch.setenv("IOT_CHECKS", '{"every_reading_has_metadata": {"error_share": 1}}')
    evaluation = run_checks(instance, "l3_power_joined", day=DAY)["every_reading_has_metadata"]
    assert not evaluation.passed and evaluation.severity == WARN


def test_energy_without_metadata_is_listed_by_building_type(platform: Client, instance: dg.DagsterInstance) -> None:
    platform.command(
        "INSERT INTO device_metadata (device_id, customer_id, building_type, latitude, longitude, valid_from) "
        f"VALUES (1, 'c', 'office', 0, 0, '{NEXT_DAY}'), (2, 'c', 'office', 0, 0, 0)"
    )
    reload_dictionaries(platform)
    insert(platform, "l1_power_raw", f"('{DAY}', 1, 5)", f"('{DAY}', 2, 15)", f"('{DAY}', 3, 1)")
    energy = run_checks(instance, "l3_power_joined", day=DAY)["energy_has_metadata"]
    assert not energy.passed and energy.severity == WARN
    assert (entries(energy)["offending_kWh"], entries(energy)["kWh"]) == (6, 21)
    assert entries(energy)["offenders"].splitlines()[2:] == [
        "| office | 5 | 0.25 | 1 | 1 | 1 |",
        "| unknown | 1 | 1 | 1 | 3 | 1 |",
    ]


def test_of_many_offenders_the_worst_are_shown(platform: Client, instance: dg.DagsterInstance) -> None:
    # 200,000 devices, the last one with two of 200,001 offending readings.
    platform.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) "
        f"SELECT '{DAY}', number, 1 FROM numbers(1, 200000) UNION ALL SELECT '{DAY} 01:00:00', 200000, 1"
    )
    found = entries(run_checks(instance, "l3_power_joined", day=DAY)["every_reading_has_metadata"])
    assert found["offending_readings"] == found["readings"] == 200_001
    lines = found["offenders"].splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| 200000", "| 1", "| 2"]
    assert lines[-1] == "and 199,980 more: run `sql`."


def test_days_too_large_for_one_query_are_checked_one_by_one(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(platform, "l2_power_cleaned", f"('{DAY}', 1, -5)", f"('{DAY}', 2, 1)", f"('{NEXT_DAY}', 3, -5)")
    insert(platform, "l1_power_raw", f"('{DAY}', 1, 1)", f"('{NEXT_DAY}', 3, 1)")
    tags = {"dagster/asset_partition_range_start": DAY, "dagster/asset_partition_range_end": NEXT_DAY}
    monkeypatch.setattr("iot_platform.layers.partitions.ROWS_PER_QUERY", 1)
    found = entries(run_checks(instance, "l2_power_cleaned", tags=tags)["every_reading_is_within_limits"])
    assert (found["offending_readings"], found["failed_days"]) == (2, f"{DAY}, {NEXT_DAY}")
    assert [line.split(" | ")[0] for line in found["offenders"].splitlines()[2:]] == ["| 1", "| 3"]


def test_without_a_day_all_days_are_checked(platform: Client, instance: dg.DagsterInstance) -> None:
    insert(platform, "l2_power_cleaned", "('2025-07-01', 1, -5)", "('2035-07-01', 2, -5)", f"('{DAY}', 3, 1)")
    found = entries(run_checks(instance, "l2_power_cleaned")["every_reading_is_within_limits"])
    assert (found["days"], found["readings"], found["offending_readings"]) == ("all days", 3, 2)


def test_a_setting_for_an_unknown_check_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_CHECKS__NO_SUCH_FACT__WARN_SHARE", "0.1")
    with pytest.raises(SettingsError, match="there is no check no_such_fact; there are: no_device_is_silent"):
        configured(Settings().checks)
    monkeypatch.delenv("IOT_CHECKS__NO_SUCH_FACT__WARN_SHARE")
    monkeypatch.setenv("IOT_CHECKS", '{"no_device_is_silent": {"parameters": {"hours": 1}}}')
    with pytest.raises(SettingsError, match="no_device_is_silent has no parameter hours; it has: silent_hours"):
        configured(Settings().checks)


def test_a_day_without_data_passes_all_checks(platform: Client, instance: dg.DagsterInstance) -> None:
    found: dict[str, bool] = {}
    for asset in sorted({rule.asset for rule in RULES}):
        found |= {name: check.passed for name, check in run_checks(instance, asset, day=DAY).items()}
    assert found == dict.fromkeys([*(rule.name for rule in RULES), "schema_is_as_in_sql"], True)


def test_l4_that_differs_from_l3_fails(platform: Client, instance: dg.DagsterInstance) -> None:
    insert(platform, "l1_power_raw", *sent(f"{DAY} 00:00:00", f"{DAY} 01:00:00"), *sent(DAY, device=2))
    assert run_checks(instance, "l4_power_agg_hourly", day=DAY)["l4_equals_l3"].passed
    platform.command("ALTER TABLE l4_power_hourly_by_version DELETE WHERE device_id = 2 SETTINGS mutations_sync = 1")
    rows = "FROM l4_power_hourly_by_version WHERE device_id = 1"
    platform.command(f"INSERT INTO l4_power_hourly_by_version SELECT * REPLACE (5 AS version) {rows}")
    platform.command(f"DELETE {rows} AND version != 5")
    found = run_checks(instance, "l4_power_agg_hourly", day=DAY)["l4_equals_l3"]
    assert not found.passed and found.severity == ERROR
    assert entries(found)["offending_devices"] == 2
