"""The asset checks: green on good days, red on bad ones, with the offenders in their metadata."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.drift import schema_drift
from iot_platform.clickhouse.migrations import migrate
from iot_platform.definitions import defs
from iot_platform.defs.layers.rules import RULES, configured
from iot_platform.errors import SettingsError
from iot_platform.layers.blocked_days import record_outcome
from iot_platform.settings import Settings
from iot_platform_tests.defs.dagster_runs import run_checks, run_job

DAY, NEXT_DAY = "2026-01-02", "2026-01-03"
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


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
    assert evaluations.keys() == {rule.name for rule in RULES} | {"schema_is_as_in_sql"}
    for rule in RULES:
        evaluation = evaluations[rule.name]
        assert evaluation.passed, (rule.name, evaluation.description)
        assert facts(evaluation)["days"] == DAY
        assert facts(evaluation)[rule.unit] > 0
    assert evaluations["schema_is_as_in_sql"].passed


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
    assert facts(evaluation)["warns_above_share"] == 0.05
    assert facts(evaluation)["offenders"].splitlines()[2].startswith("| over_limit | 2 |")
    monkeypatch.setenv("IOT_CHECKS", '{"reject_rate_is_normal": {"warn_share": 0.75}}')
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
    materialized = {
        event.asset_key and event.asset_key.to_user_string() for event in result.get_asset_materialization_events()
    }
    assert "l3_power_joined" in materialized and "l4_power_agg_hourly" not in materialized
    monkeypatch.setenv("IOT_CHECKS", '{"every_reading_has_metadata": {"error_share": 1}}')
    evaluation = run_checks(instance, "l3_power_joined", day=DAY)["every_reading_has_metadata"]
    assert not evaluation.passed and evaluation.severity == WARN


def test_energy_without_metadata_is_told_by_building_type(platform: Client, instance: dg.DagsterInstance) -> None:
    platform.command(
        "INSERT INTO device_metadata (device_id, customer_id, building_type, latitude, longitude, valid_from) "
        f"VALUES (1, 'c', 'office', 0, 0, '{NEXT_DAY}'), (2, 'c', 'office', 0, 0, 0)"
    )
    for dictionary in ("device_current", "device_history"):
        platform.command(f"SYSTEM RELOAD DICTIONARY `{platform.database}`.{dictionary}")
    insert(platform, "l1_power_raw", f"('{DAY}', 1, 5)", f"('{DAY}', 2, 15)", f"('{DAY}', 3, 1)")
    energy = run_checks(instance, "l3_power_joined", day=DAY)["energy_has_metadata"]
    assert not energy.passed and energy.severity == WARN
    assert (facts(energy)["offending_kWh"], facts(energy)["kWh"]) == (6, 21)
    assert facts(energy)["offenders"].splitlines()[2:] == [
        "| office | 5 | 0.25 | 1 | 1 | 1 |",
        "| unknown | 1 | 1 | 1 | 3 | 1 |",
    ]


def test_of_many_offenders_the_worst_are_shown(platform: Client, instance: dg.DagsterInstance) -> None:
    # 200,000 devices, the last one with two of 200,001 offending readings.
    platform.command(
        "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) "
        f"SELECT '{DAY}', number, 1 FROM numbers(1, 200000) UNION ALL SELECT '{DAY} 01:00:00', 200000, 1"
    )
    found = facts(run_checks(instance, "l3_power_joined", day=DAY)["every_reading_has_metadata"])
    assert found["offending_readings"] == found["readings"] == 200_001
    lines = found["offenders"].splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| 200000", "| 1", "| 2"]
    assert lines[-1] == "and 199,980 more: run `sql`."


def test_days_too_large_for_one_query_are_looked_at_one_by_one(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(platform, "l2_power_cleaned", f"('{DAY}', 1, -5)", f"('{DAY}', 2, 1)", f"('{NEXT_DAY}', 3, -5)")
    insert(platform, "l1_power_raw", f"('{DAY}', 1, 1)", f"('{NEXT_DAY}', 3, 1)")
    tags = {"dagster/asset_partition_range_start": DAY, "dagster/asset_partition_range_end": NEXT_DAY}
    monkeypatch.setattr("iot_platform.layers.partitions.ROWS_PER_QUERY", 1)
    found = facts(run_checks(instance, "l2_power_cleaned", tags=tags)["every_reading_is_within_limits"])
    assert (found["offending_readings"], found["red_days"]) == (2, f"{DAY}, {NEXT_DAY}")
    assert [line.split(" | ")[0] for line in found["offenders"].splitlines()[2:]] == ["| 1", "| 3"]


def test_without_a_day_all_days_are_checked(platform: Client, instance: dg.DagsterInstance) -> None:
    insert(platform, "l2_power_cleaned", "('2025-07-01', 1, -5)", "('2035-07-01', 2, -5)", f"('{DAY}', 3, 1)")
    found = facts(run_checks(instance, "l2_power_cleaned")["every_reading_is_within_limits"])
    assert (found["days"], found["readings"], found["offending_readings"]) == ("all days", 3, 2)


def test_a_migration_of_a_users_own_is_no_change_by_hand(
    platform: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql_dir = tmp_path / "sql"
    shutil.copytree(Settings().sql_dir, sql_dir)
    own = "ALTER TABLE l3_power_joined ADD COLUMN IF NOT EXISTS note String;\n"
    (sql_dir / "900_own.sql").write_text(own, encoding="utf-8")
    monkeypatch.setattr(Settings, "sql_dir", sql_dir)
    settings = Settings()
    migrate(platform, settings)
    assert schema_drift(platform, settings) == []


def test_a_setting_for_a_check_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_CHECKS__NO_SUCH_FACT__WARN_SHARE", "0.1")
    with pytest.raises(SettingsError, match="there is no check no_such_fact; there are: no_device_is_silent"):
        configured(Settings().checks)
    monkeypatch.delenv("IOT_CHECKS__NO_SUCH_FACT__WARN_SHARE")
    monkeypatch.setenv("IOT_CHECKS", '{"no_device_is_silent": {"parameters": {"hours": 1}}}')
    with pytest.raises(SettingsError, match="no_device_is_silent has no parameter hours; it has: silent_hours"):
        configured(Settings().checks)


def test_nothing_to_check_is_green(platform: Client, instance: dg.DagsterInstance) -> None:
    for asset in ("l1_power_raw", "l2_power_cleaned", "l3_power_joined", "l4_power_agg_hourly"):
        for evaluation in run_checks(instance, asset, day=DAY).values():
            assert evaluation.passed, evaluation.check_name


def test_a_red_day_is_held_until_its_check_is_green(platform: Client, instance: dg.DagsterInstance) -> None:
    run_job("refresh_metadata_job", instance)
    run_job("all_layers_job", instance, DAY, last_day=NEXT_DAY)
    insert(platform, "l2_power_cleaned", f"('{DAY}', 1, -5)")
    # Whoever looks at all days, as "Execute all" in the UI does, learns which ones are red.
    found = run_checks(instance, "l2_power_cleaned")["every_reading_is_within_limits"]
    assert not found.passed and facts(found)["red_days"] == DAY
    held = prove_l3(instance, DAY, last_day=NEXT_DAY, raise_on_error=False)
    assert not held.success
    failure = next(event for event in held.all_node_events if event.is_step_failure)
    text = str(failure.event_specific_data.user_failure_data.description)
    assert "1 days of l3_power_joined are held back by red checks of l2_power_cleaned; 1 other days" in text
    assert f"{DAY}: every_reading_is_within_limits of l2_power_cleaned found 1" in text
    # The other day is materialized, so L4 can follow it.
    records = instance.fetch_materializations(dg.AssetKey("l3_power_joined"), limit=10).records
    assert {record.partition_key for record in records if record.run_id == held.run_id} == {NEXT_DAY}
    # The repair: L2 is rebuilt, its check is green, and L3 of that day goes on.
    run_job("prove_job", instance, DAY)
    assert prove_l3(instance, DAY, last_day=NEXT_DAY).success


def test_the_hold_can_be_switched_off(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(platform, "l2_power_cleaned", f"('{DAY}', 1, -5)")
    run_checks(instance, "l2_power_cleaned", day=DAY)
    assert not prove_l3(instance, DAY, raise_on_error=False).success
    monkeypatch.setenv("IOT_HOLD_DOWNSTREAM", "false")
    result = prove_l3(instance, DAY, raise_on_error=False)
    assert result.get_asset_materialization_events()  # its own check is red then: no device is known


def test_a_check_that_is_gone_holds_nothing(platform: Client, instance: dg.DagsterInstance) -> None:
    day = dt.date.fromisoformat(DAY)
    record_outcome(platform, "l2_power_cleaned", "a_fact_of_an_older_version", {day: 1.0}, [day], "run")
    assert prove_l3(instance, DAY).success


def prove_l3(instance: dg.DagsterInstance, day: str, last_day: str = "", *, raise_on_error: bool = True) -> Any:
    """A run of L3 alone, as somebody starts it by hand."""
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection={dg.AssetKey("l3_power_joined")})
    tags = {"dagster/asset_partition_range_start": day, "dagster/asset_partition_range_end": last_day or day}
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=raise_on_error)


def sent(*times: str, device: int = 1) -> list[str]:
    return [f"('{time}', {device}, 1)" for time in times]


def hours_of(day: str) -> list[str]:
    return [f"{day} {hour:02d}:00:00" for hour in range(24)]


def test_intervals_that_did_not_arrive_warn(platform: Client, instance: dg.DagsterInstance) -> None:
    hours = hours_of(DAY)
    insert(platform, "l1_power_raw", *sent(*hours[:8], *hours[11:]), *sent(*hours, *hours, device=2))
    # New on that day: expected from its first reading on. Refused readings were sent, too.
    insert(platform, "l1_power_raw", *sent(*hours[4:20], device=3), *(f"('{hour}', 3, -1)" for hour in hours[20:]))
    gaps = run_checks(instance, "l1_power_raw", day=DAY)["no_interval_is_missing"]
    assert not gaps.passed and gaps.severity == WARN
    assert (facts(gaps)["offending_intervals"], facts(gaps)["intervals"]) == (3, 3 + 21 + 48 + 20)
    assert facts(gaps)["offenders"].splitlines()[2:] == ["| 1 | 3 | 3600 | 14400 |"]


def test_an_outage_over_midnight_counts_on_both_days(platform: Client, instance: dg.DagsterInstance) -> None:
    hours, next_hours = hours_of(DAY), hours_of(NEXT_DAY)
    insert(platform, "l1_power_raw", *sent(*hours[:20], *next_hours[5:]))
    for day, missing in ((DAY, 4), (NEXT_DAY, 5)):
        assert (
            facts(run_checks(instance, "l1_power_raw", day=day)["no_interval_is_missing"])["offending_intervals"]
            == missing
        )
    gaps = run_checks(instance, "l1_power_raw")["no_interval_is_missing"]
    assert facts(gaps)["offending_intervals"] == 9


def test_without_a_day_devices_that_are_silent_now_are_told(platform: Client, instance: dg.DagsterInstance) -> None:
    now = dt.datetime.now(dt.UTC)
    insert(platform, "l1_power_raw", *sent(*(f"{now - dt.timedelta(hours=hours):%F %T}" for hours in (11, 10, 9))))
    silent = run_checks(instance, "l1_power_raw")["no_device_is_silent"]
    assert facts(silent)["offending_devices"] == 1
    assert facts(silent)["offending_days"] == f"1: {now.date()}"


def test_nothing_is_expected_of_a_closed_device(platform: Client, instance: dg.DagsterInstance) -> None:
    insert(platform, "l1_power_raw", *sent(*hours_of(DAY)[:12]))
    found = run_checks(instance, "l1_power_raw", day=DAY)
    assert not found["no_interval_is_missing"].passed and not found["no_device_is_silent"].passed
    platform.command(
        "INSERT INTO device_metadata (device_id, building_type, latitude, longitude, is_removed, valid_from) "
        f"VALUES (1, 'office', 0, 0, 1, '{DAY} 12:00:00')"
    )
    found = run_checks(instance, "l1_power_raw", day=DAY)
    assert found["no_interval_is_missing"].passed and found["no_device_is_silent"].passed


def test_silent_devices_warn(platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    hours, next_hours = hours_of(DAY), hours_of(NEXT_DAY)
    # 1 stops in the morning. 2 sends twice a day. 3 was heard in one hour only. 4 is refused, but not silent.
    insert(platform, "l1_power_raw", *sent(*hours), *sent(*next_hours[:9]))
    insert(platform, "l1_power_raw", *sent(hours[0], hours[12], next_hours[0], next_hours[12], device=2))
    insert(platform, "l1_power_raw", *sent(hours[0], device=3))
    insert(platform, "l1_power_raw", *sent(*hours, device=4), *(f"('{hour}', 4, -1)" for hour in next_hours))
    assert run_checks(instance, "l1_power_raw", day=DAY)["no_device_is_silent"].passed
    silent = run_checks(instance, "l1_power_raw", day=NEXT_DAY)["no_device_is_silent"]
    assert not silent.passed and silent.severity == WARN
    assert facts(silent)["offenders"].splitlines()[2:] == ["| 1 | 2026-01-03 09:00:00 | 15 | 1 |"]
    monkeypatch.setenv("IOT_CHECKS__NO_DEVICE_IS_SILENT__PARAMETERS__SILENT_HOURS", "16")
    assert run_checks(instance, "l1_power_raw", day=NEXT_DAY)["no_device_is_silent"].passed


def test_clocks_duplicates_and_a_jump_of_rejects_warn(platform: Client, instance: dg.DagsterInstance) -> None:
    for number in range(1, 6):
        day = f"2026-01-0{number}"
        rows = sent(*(f"{day} {hour:02d}:00:00" for hour in range(24)))
        insert(platform, "l1_power_raw", *rows, *(rows[:6] if number == 5 else []))
        if number == 5:
            insert(platform, "l1_power_raw", *(f"('{day} {hour:02d}:30:00', 1, -1)" for hour in range(3)))
    today = platform.query("SELECT toString(toDate(now('UTC')))").result_rows[0][0]
    insert(platform, "l1_power_raw", "(now('UTC') + INTERVAL 2 DAY, 1, 1)")
    found = run_checks(instance, "l2_power_cleaned", day="2026-01-05")
    assert facts(found["few_readings_are_duplicates"])["offending_readings"] == 6
    assert not found["few_readings_are_duplicates"].passed
    assert not found["reject_rate_is_like_before"].passed
    assert facts(found["reject_rate_is_like_before"])["offenders"].splitlines()[2].startswith("| 2026-01-05 | 3 |")
    assert run_checks(instance, "l2_power_cleaned", day="2026-01-04")["reject_rate_is_like_before"].passed
    clocks = run_checks(instance, "l1_power_raw", day=today)["clocks_are_right"]
    assert not clocks.passed and facts(clocks)["offending_readings"] == 1


def test_l4_that_is_not_l3_is_red(platform: Client, instance: dg.DagsterInstance) -> None:
    insert(platform, "l1_power_raw", *sent(f"{DAY} 00:00:00", f"{DAY} 01:00:00"), *sent(DAY, device=2))
    assert run_checks(instance, "l4_power_agg_hourly", day=DAY)["l4_equals_l3"].passed
    platform.command("ALTER TABLE l4_power_agg_hourly_store DELETE WHERE device_id = 2 SETTINGS mutations_sync = 1")
    platform.command(
        "ALTER TABLE l4_power_agg_hourly_store UPDATE latitude = 5 WHERE device_id = 1 SETTINGS mutations_sync = 1"
    )
    found = run_checks(instance, "l4_power_agg_hourly", day=DAY)["l4_equals_l3"]
    assert not found.passed and found.severity == ERROR
    assert facts(found)["offending_devices"] == 2


def test_a_schema_that_was_changed_by_hand_is_told(platform: Client, instance: dg.DagsterInstance) -> None:
    assert run_checks(instance, "l1_power_raw", day=DAY)["schema_is_as_in_sql"].passed
    platform.command("ALTER TABLE l3_power_joined ADD COLUMN note String")
    platform.command("ALTER TABLE l1_power_raw MODIFY TTL timestamp + INTERVAL 30 YEAR")
    platform.command("CREATE TABLE somebodys_own (note String) ENGINE = MergeTree ORDER BY ()")  # no matter
    platform.command(
        "CREATE OR REPLACE DICTIONARY device_limits (device_id UInt64, max_kWh Float64 DEFAULT 100) "
        "PRIMARY KEY device_id SOURCE(CLICKHOUSE(TABLE 'device_limit_values')) LAYOUT(HASHED()) LIFETIME(0)"
    )
    platform.command("ALTER TABLE power_quarantine MODIFY COLUMN reject_reason String")
    platform.command("DROP VIEW mv_l2_to_l3")
    platform.command(
        "ALTER TABLE mv_l1_to_quarantine MODIFY QUERY SELECT timestamp, device_id, power_usage_kWh, ingested_at, "
        "reject_reason FROM l1_power_raw WHERE reject_reason = 'negative'"
    )
    found = run_checks(instance, "l1_power_raw", day=DAY)["schema_is_as_in_sql"]
    assert not found.passed
    told = facts(found)["offenders"]
    assert "| mv_l2_to_l3 | is missing |" in told and "| mv_l1_to_quarantine | `is MaterializedView AS SELECT" in told
    assert "column reject_reason is String" in told and "somebodys_own" not in told
    assert "| l3_power_joined | has the column note, which sql/ does not make |" in told
    assert "TTL timestamp + toIntervalYear(30)" in told and "LAYOUT(HASHED())" in told
    left = platform.query("SELECT name FROM system.databases WHERE startsWith(name, 'iot_scratch_')").result_rows
    assert left == []
