"""A day of a data engineer in the Dagster UI. With IOT_SCREENSHOTS=DIRECTORY it leaves the pictures of docs/ there."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator

import pytest

from iot_platform_tests.e2e.commands import environment, iot_platform
from iot_platform_tests.e2e.running import Running, running
from iot_platform_tests.ui.browser import chromium, pictures, profile_of
from iot_platform_tests.ui.dagster_ui import DagsterUI

TODAY = dt.datetime.now(dt.UTC).date()
DAYS = [TODAY - dt.timedelta(days=number) for number in range(9, 0, -1)]
DAY = str(DAYS[-2])
DEVICES = 40


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("ui")
    env = environment(
        directory / "home",
        IOT_CLICKHOUSE_PORT="0",
        IOT_SIMULATOR_DEVICES=str(DEVICES),
        IOT_SIMULATOR_INTERVAL_S="900",
        IOT_FIRST_DAY=str(DAYS[0]),
        # A tick that a test can wait for.
        IOT_METADATA_CRON="* * * * *",
    )
    with running(env, directory, with_dashboard=True) as found:
        yield found


@pytest.fixture(scope="module")
def ui(platform: Running) -> Iterator[DagsterUI]:
    with chromium() as browser:
        yield DagsterUI(profile_of(browser).new_page(), platform.url, pictures())


def run_sql(platform: Running, statement: str) -> None:
    """Run a statement as an operator does."""
    iot_platform(platform.env, "sql", statement)


def refresh_the_metadata(ui: DagsterUI) -> None:
    known = ui.known_runs()
    ui.materialize("device_metadata")
    assert ui.wait_for_run(known) == "SUCCESS"


def materialize_one_day(ui: DagsterUI) -> None:
    known = ui.known_runs()
    ui.materialize("l1_power_raw", DAY)
    assert ui.wait_for_run(known) == "SUCCESS"
    ui.open(f"/assets/l1_power_raw?view=partitions&partition={DAY}", "added_readings")
    ui.picture("materialized-partition")


def backfill_seven_days(ui: DagsterUI) -> None:
    ui.backfill("all_layers_job", f"[{DAYS[-8]}...{DAYS[-2]}]")
    backfill = ui.wait_for_backfill()
    assert (backfill["status"], backfill["numPartitions"]) == ("COMPLETED_SUCCESS", 7)
    ui.open("/runs?view=backfills", "Success")
    ui.picture("backfill")
    ui.open(f"/assets/l4_power_agg_hourly?view=partitions&partition={DAY}", "usage_of_the_day")
    ui.picture("asset")
    ui.page.locator("tr", has_text="usage_of_the_day").get_by_text("[Show Markdown]").click()
    ui.picture("asset-chart")


def browse_the_lineage(ui: DagsterUI) -> None:
    ui.open_lineage()
    for asset in (
        "l1_power_raw",
        "l2_power_cleaned",
        "power_quarantine",
        "device_metadata",
        "l3_power_joined",
        "l4_pow",
    ):
        ui.see(asset)
    ui.picture("lineage", height=1060)
    ui.page.set_viewport_size({"width": 1500, "height": 950})
    ui.open("/assets/l4_power_agg_hourly", "Freshness policy")
    for shown in ("total_kWh", "Start of the UTC hour", "092_layer", "data-platform", "iot.l4_power_agg_hourly"):
        ui.see(shown)
    ui.picture("asset-overview")


def change_a_device(ui: DagsterUI, platform: Running) -> None:
    devices = platform.home / "devices.csv"
    header, *rows = devices.read_text(encoding="utf-8").splitlines()
    fields = dict(zip(header.split(","), rows[0].split(","), strict=True))
    changed = {**fields, "customer_id": "the-new-tenant", "valid_from": f"{DAY}T12:00:00Z"}
    names = [*header.split(","), *([] if "valid_from" in fields else ["valid_from"])]
    lines = [",".join(names), *(row + "," * (len(names) - len(fields)) for row in rows)]
    lines[1] = ",".join(changed[name] for name in names)
    devices.write_text("\n".join(lines) + "\n", encoding="utf-8")
    known = ui.known_runs()
    ui.materialize("device_metadata")
    assert ui.wait_for_run(known) == "SUCCESS"
    ui.open("/assets/device_metadata?view=events", "kWh_per_customer")
    ui.see("the-new-tenant")
    ui.page.get_by_text("days_with_other_metadata").scroll_into_view_if_needed()
    ui.page.get_by_text("more_readings").scroll_into_view_if_needed()
    ui.picture("metadata-change")


def switch_a_schedule_on_and_off(ui: DagsterUI) -> None:
    ui.switch_on("refresh_metadata_schedule")
    ui.wait_for_tick("refresh_metadata_schedule")
    ui.open("/locations/iot_platform/schedules/refresh_metadata_schedule", "run requested")
    ui.picture("schedule")
    ui.switch_off("refresh_metadata_schedule")


def find_the_offenders_of_a_failed_check(ui: DagsterUI, platform: Running) -> None:
    wrong = f"(toDateTime('{DAY} 07:00:00', 'UTC'), 17, -3.25), (toDateTime('{DAY} 09:30:00', 'UTC'), 33, 4200)"
    run_sql(platform, f"INSERT INTO l2_power_cleaned (timestamp, device_id, power_usage_kWh) VALUES {wrong}")
    run_sql(platform, "ALTER TABLE device_metadata DELETE WHERE device_id IN (3, 4, 5) SETTINGS mutations_sync = 1")
    for dictionary in ("device_newest_version_of_small_ids", "device_past_version"):
        run_sql(platform, f"SYSTEM RELOAD DICTIONARY iot.{dictionary}")
    known = ui.known_runs()
    ui.run_checks("l2_power_cleaned", "every_reading_is_within_limits")
    assert ui.wait_for_run(known) == "FAILURE"
    ui.see("2 of ")
    ui.page.locator("tr", has_text="offenders").get_by_text("[Show Markdown]").first.click()
    ui.see("-3.25")
    ui.picture("failed-check")
    known = ui.known_runs()
    ui.materialize("l3_power_joined", DAY)
    assert ui.wait_for_run(known) == "FAILURE"
    run = next(iter(ui.known_runs() - known))
    ui.open(f"/runs/{run}", "blocked by failed checks of l2_power_cleaned")
    # Below that are only the paths of a stack trace.
    ui.page.set_viewport_size({"width": 1640, "height": 760})
    ui.picture("held-back", height=540)
    ui.page.set_viewport_size({"width": 1500, "height": 950})


def repair_by_materializing(ui: DagsterUI) -> None:
    known = ui.known_runs()
    ui.materialize("l2_power_cleaned", DAY)
    assert ui.wait_for_run(known) == "SUCCESS"
    ui.open(f"/assets/l2_power_cleaned?view=partitions&partition={DAY}", "rebuilt; found")
    ui.picture("repaired")
    # L3 is no longer blocked. Now its own check fails, because three devices have no metadata.
    known = ui.known_runs()
    ui.materialize("l3_power_joined", DAY)
    assert ui.wait_for_run(known) == "FAILURE"
    ui.open("/assets/l3_power_joined?view=checks&checkDetail=every_reading_has_metadata", "break the rule")
    ui.picture("failed-join-check")
    known = ui.known_runs()
    ui.materialize("l4_power_agg_hourly", DAY)
    assert ui.wait_for_run(known) == "FAILURE"
    # The devices come back with the next refresh, and everything is green again.
    for asset in ("device_metadata", "l3_power_joined", "l4_power_agg_hourly"):
        known = ui.known_runs()
        ui.materialize(asset, "" if asset == "device_metadata" else DAY)
        assert ui.wait_for_run(known) == "SUCCESS", asset
    ui.open("/assets/l3_power_joined?view=checks&checkDetail=every_reading_has_metadata", "Passed")
    ui.picture("green-again")


def see_what_is_automated(ui: DagsterUI) -> None:
    ui.open("/automation", "prove_closed_days_schedule")
    for name in ("simulated_ingestion_sensor", "layer_automation_sensor", "prove_today_schedule"):
        ui.see(name)
    ui.picture("automation")


def verify_all_days(platform: Running) -> None:
    iot_platform(platform.env, "prove")
    status = json.loads(iot_platform(platform.env, "status", "--json"))
    assert status["proved"] and status["conserved"]


def test_a_day_of_a_data_engineer(ui: DagsterUI, platform: Running) -> None:
    """One test: each step works on what the steps before have left. The traceback names the step."""
    refresh_the_metadata(ui)
    materialize_one_day(ui)
    backfill_seven_days(ui)
    browse_the_lineage(ui)
    change_a_device(ui, platform)
    switch_a_schedule_on_and_off(ui)
    find_the_offenders_of_a_failed_check(ui, platform)
    repair_by_materializing(ui)
    see_what_is_automated(ui)
    verify_all_days(platform)
