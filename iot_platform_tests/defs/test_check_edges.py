"""Edge cases of the checks: the first and last days, damaged values, inexact clocks, and crashes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.drift import schema_drift
from iot_platform.defs.layers.check_runner import find
from iot_platform.defs.layers.rules import RULES
from iot_platform.settings import Settings
from iot_platform_tests.defs.check_data import DAY, ERROR, NEXT_DAY, entries, hours_of, insert, sent
from iot_platform_tests.defs.dagster_runs import run_checks


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_a_device_that_stopped_is_silent_in_a_check_of_all_days(platform: Client, instance: dg.DagsterInstance) -> None:
    insert(platform, "l1_power_raw", "(now('UTC') - INTERVAL 2 DAY, 1, 1)", "(now('UTC') - INTERVAL 47 HOUR, 1, 1)")
    silent = run_checks(instance, "l1_power_raw")["no_device_is_silent"]
    assert not silent.passed and entries(silent)["offenders"].splitlines()[2].startswith("| 1 |")


def test_of_the_devices_of_a_day_those_that_stopped_are_listed_once(
    platform: Client, instance: dg.DagsterInstance
) -> None:
    hours = hours_of(DAY)
    insert(platform, "l1_power_raw", *sent(*hours), *sent(*hours[:12], device=2), *sent(*hours[:9], device=3))
    insert(platform, "l1_power_raw", *sent("2026-01-01 00:00:00", "2026-01-01 01:00:00", device=4))
    silent = entries(run_checks(instance, "l1_power_raw", day=DAY)["no_device_is_silent"])
    assert (silent["offending_devices"], silent["devices"], silent["offending_share"]) == (3, 4, 0.75)


def test_all_days_are_checked_in_pieces(
    platform: Client, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first and the last day are none of L1's.
    for day in ("1970-01-01", "2025-07-01", DAY, "2035-07-01"):
        insert(platform, "l2_power_cleaned", f"('{day}', 1, -5)")
    for day in ("2025-07-01", DAY, NEXT_DAY):
        insert(platform, "l1_power_raw", f"('{day}', 1, 1)")
    whole = entries(run_checks(instance, "l2_power_cleaned")["every_reading_is_within_limits"])
    monkeypatch.setattr("iot_platform.layers.partitions.ROWS_PER_QUERY", 1)
    pieces = entries(run_checks(instance, "l2_power_cleaned")["every_reading_is_within_limits"])
    assert (pieces["offending_readings"], pieces["readings"]) == (4, 7)
    assert pieces["failed_days"] == whole["failed_days"] == f"1970-01-01, 2025-07-01, {DAY}, 2035-07-01"


def test_a_day_that_lacks_every_second_reading_has_gaps(platform: Client, instance: dg.DagsterInstance) -> None:
    quarters = [f"{hour[:-5]}{minute}:00" for hour in hours_of(NEXT_DAY) for minute in ("00", "15", "30", "45")]
    # Each reading came alone, so no hour of L4 is merged.
    platform.command("SYSTEM STOP MERGES l4_power_hourly_by_version")
    for minute in ("00", "15", "30", "45"):
        insert(platform, "l1_power_raw", *sent(*(f"{hour[:-5]}{minute}:00" for hour in hours_of(DAY))))
    insert(platform, "l1_power_raw", *sent(*quarters[::2]))
    assert run_checks(instance, "l1_power_raw", day=DAY)["no_interval_is_missing"].passed
    gaps = entries(run_checks(instance, "l1_power_raw", day=NEXT_DAY)["no_interval_is_missing"])
    assert gaps["offending_intervals"] == 48
    assert gaps["offenders"].splitlines()[2:] == ["| 1 | 48 | 900 | 1800 |"]


def test_a_clock_that_is_a_little_off_leaves_no_gap(platform: Client) -> None:
    # A device for each interval; its clock is up to two seconds early or late.
    for interval_s in (43, 420, 780, 900, 3600):
        platform.command(
            "INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) "
            f"SELECT toDateTime('{DAY} 00:00:10', 'UTC') + number * {interval_s} + cityHash64(number) % 5 - 2, "
            f"{interval_s}, 1 FROM numbers(intDiv(2 * 86400 - 10, {interval_s}) + 1)"
        )
    rule = next(rule for rule in RULES if rule.name == "no_interval_is_missing")
    for day in (DAY, NEXT_DAY):
        assert find(platform, rule, [dt.date.fromisoformat(day)]).lines == []


def test_damage_that_no_sum_can_represent_fails_and_is_reported(platform: Client, instance: dg.DagsterInstance) -> None:
    insert(platform, "l1_power_raw", *sent(DAY), *sent(DAY, device=2))
    platform.command("CREATE TABLE swapped AS l3_power_by_version")
    insert(platform, "swapped", f"('{DAY}', 1, nan)", f"('{DAY}', 2, 1)", f"('{DAY}', 3, inf)", f"('{DAY}', 4, 1e12)")
    platform.command("ALTER TABLE l3_power_by_version REPLACE PARTITION ID '20260102' FROM swapped")
    found = run_checks(instance, "l4_power_agg_hourly", day=DAY)["l4_equals_l3"]
    assert not found.passed and found.severity == ERROR
    offenders = entries(found)["offenders"].splitlines()[2:]
    assert sorted(line.split(" | ")[0] for line in offenders) == ["| 1", "| 3", "| 4"]
    energy = run_checks(instance, "l3_power_joined", day=DAY)["energy_has_metadata"]
    assert (entries(energy)["offending_kWh"], entries(energy)["kWh"]) == (1e12 + 1, 1e12 + 1)


def test_a_comparison_drops_what_a_killed_one_left(platform: Client) -> None:
    old, young, other = "iot_scratch_1700000000_0123456789ab", "iot_scratch_4000000000_0123456789ab", "iot_scratch_mine"
    for database in (old, young, other):
        platform.command(f"CREATE DATABASE {database}")
    try:
        assert schema_drift(platform, Settings()) == []
        left = platform.query("SELECT name FROM system.databases WHERE startsWith(name, 'iot_scratch_')").result_rows
        assert sorted(name for (name,) in left) == [young, other]
    finally:
        for database in (young, other):
            platform.command(f"DROP DATABASE {database}")
