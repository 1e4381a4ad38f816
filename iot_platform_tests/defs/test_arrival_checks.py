"""The checks of what arrives: missing intervals, silent devices, wrong clocks, duplicates, rejects."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform_tests.defs.check_data import DAY, NEXT_DAY, WARN, entries, hours_of, insert, sent
from iot_platform_tests.defs.dagster_runs import run_checks


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_intervals_that_did_not_arrive_warn(platform: Client, instance: dg.DagsterInstance) -> None:
    hours = hours_of(DAY)
    insert(platform, "l1_power_raw", *sent(*hours[:8], *hours[11:]), *sent(*hours, *hours, device=2))
    # New on that day: expected from its first reading on. Refused readings were sent, too.
    insert(platform, "l1_power_raw", *sent(*hours[4:20], device=3), *(f"('{hour}', 3, -1)" for hour in hours[20:]))
    gaps = run_checks(instance, "l1_power_raw", day=DAY)["no_interval_is_missing"]
    assert not gaps.passed and gaps.severity == WARN
    assert (entries(gaps)["offending_intervals"], entries(gaps)["intervals"]) == (3, 3 + 21 + 48 + 20)
    assert entries(gaps)["offenders"].splitlines()[2:] == ["| 1 | 3 | 3600 | 14400 |"]


def test_an_outage_over_midnight_counts_on_both_days(platform: Client, instance: dg.DagsterInstance) -> None:
    hours, next_hours = hours_of(DAY), hours_of(NEXT_DAY)
    insert(platform, "l1_power_raw", *sent(*hours[:20], *next_hours[5:]))
    for day, missing in ((DAY, 4), (NEXT_DAY, 5)):
        assert (
            entries(run_checks(instance, "l1_power_raw", day=day)["no_interval_is_missing"])["offending_intervals"]
            == missing
        )
    gaps = run_checks(instance, "l1_power_raw")["no_interval_is_missing"]
    assert entries(gaps)["offending_intervals"] == 9


def test_without_a_day_devices_that_are_silent_now_are_listed(platform: Client, instance: dg.DagsterInstance) -> None:
    now = dt.datetime.now(dt.UTC)
    insert(platform, "l1_power_raw", *sent(*(f"{now - dt.timedelta(hours=hours):%F %T}" for hours in (11, 10, 9))))
    silent = run_checks(instance, "l1_power_raw")["no_device_is_silent"]
    assert entries(silent)["offending_devices"] == 1
    assert entries(silent)["offending_days"] == f"1: {now.date()}"


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
    assert entries(silent)["offenders"].splitlines()[2:] == ["| 1 | 2026-01-03 09:00:00 | 15 | 1 |"]
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
    assert entries(found["few_readings_are_duplicates"])["offending_readings"] == 6
    assert not found["few_readings_are_duplicates"].passed
    assert not found["reject_rate_is_like_before"].passed
    assert entries(found["reject_rate_is_like_before"])["offenders"].splitlines()[2].startswith("| 2026-01-05 | 3 |")
    assert run_checks(instance, "l2_power_cleaned", day="2026-01-04")["reject_rate_is_like_before"].passed
    clocks = run_checks(instance, "l1_power_raw", day=today)["clocks_are_right"]
    assert not clocks.passed and entries(clocks)["offending_readings"] == 1
