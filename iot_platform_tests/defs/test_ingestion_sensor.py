"""The ingestion sensor and the schedules: what they request, and that it runs."""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.definitions import defs
from iot_platform.defs.devices.schedule import refresh_metadata_schedule
from iot_platform.defs.jobs import NIGHTLY
from iot_platform.defs.layers import schedules
from iot_platform.defs.layers.schedules import (
    MAX_RANGE,
    MAX_RANGES,
    day_ranges,
    prove_closed_days_schedule,
    prove_today_schedule,
)
from iot_platform.defs.readings import sensor as module
from iot_platform.defs.readings.sensor import simulated_ingestion_sensor
from iot_platform.defs.readings.windows import MAX_WINDOW
from iot_platform.defs.run_statuses import NOT_ENDED
from iot_platform.errors import PlatformError, ServerError
from iot_platform.layers.blocked_days import record_outcome
from iot_platform.services.process import free_port
from iot_platform_tests.defs.dagster_runs import unfinished_run

NOW = dt.datetime(2026, 1, 5, 10, 20, 30, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "utc_now", lambda: NOW)
    monkeypatch.setenv("IOT_SIMULATOR_INTERVAL_S", "900")
    monkeypatch.setenv("IOT_FIRST_DAY", "2026-01-01")
    monkeypatch.setenv("IOT_SIMULATOR_ENABLED", "true")


def tick(cursor: str | None, instance: dg.DagsterInstance | None = None) -> dg.SensorResult | dg.SkipReason:
    with ExitStack() as stack:
        instance = instance or stack.enter_context(dg.DagsterInstance.ephemeral())
        found = simulated_ingestion_sensor(dg.build_sensor_context(cursor=cursor, definitions=defs, instance=instance))
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def requests_of(result: dg.SensorResult | dg.SkipReason) -> list[dg.RunRequest]:
    assert isinstance(result, dg.SensorResult) and result.run_requests
    return list(result.run_requests)


def window_of(request: dg.RunRequest) -> tuple[str, str]:
    config = request.run_config["ops"]["l1_power_raw"]["config"]
    return config["start"], config["end"]


def test_each_tick_requests_what_arrived_since_the_last_one() -> None:
    (request,) = requests_of(result := tick("2026-01-05T10:00:01+00:00"))
    assert window_of(request) == ("2026-01-05T10:00:01+00:00", "2026-01-05T10:15:01+00:00")
    assert request.run_key == "2026-01-05T10:00:01+00:00/2026-01-05T10:15:01+00:00"
    assert request.partition_key == "2026-01-05"
    assert isinstance(result, dg.SensorResult) and result.cursor == "2026-01-05T10:15:01+00:00"
    assert isinstance(tick(result.cursor), dg.SkipReason)


def test_the_first_tick_begins_with_today() -> None:
    requests = requests_of(tick(None))
    assert window_of(requests[0])[0] == "2026-01-05T00:00:01+00:00"
    assert {request.partition_key for request in requests} == {"2026-01-05"}


@pytest.mark.parametrize("status", NOT_ENDED)
def test_nothing_is_requested_while_an_ingestion_run_waits_or_runs(status: dg.DagsterRunStatus) -> None:
    cursor = "2026-01-05T09:00:01+00:00"
    with dg.DagsterInstance.ephemeral() as instance:
        unfinished_run(instance, defs.resolve_job_def("all_layers_job"), status)
        assert requests_of(tick(cursor, instance)), "a run of another job is no reason to wait"
        run_id = unfinished_run(instance, defs.resolve_job_def("ingestion_job"), status)
        skipped = tick(cursor, instance)
        assert isinstance(skipped, dg.SkipReason) and "waits or runs" in str(skipped.skip_message)
        instance.delete_run(run_id)
        # The next window covers what has arrived meanwhile.
        [request] = requests_of(tick(cursor, instance))
        assert window_of(request) == (cursor, "2026-01-05T10:15:01+00:00")


def ended_run(instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus) -> str:
    """The run of a request of the sensor, which ended ten minutes ago."""
    job = defs.resolve_job_def("ingestion_job")
    run_id = unfinished_run(instance, job, status, run_config=request.run_config)
    tags = {"dagster/partition": request.partition_key or "", "dagster/sensor_name": "simulated_ingestion_sensor"}
    instance.add_run_tags(run_id, tags)
    return run_id


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
def test_the_window_of_a_failed_run_is_requested_again(
    status: dg.DagsterRunStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        [request] = requests_of(first := tick("2026-01-02T10:15:01+00:00", instance))
        assert isinstance(first, dg.SensorResult)
        keys = {request.run_key}
        for _ in range(3):
            ended_run(instance, request, status)
            monkeypatch.setattr(module, "utc_now", lambda: dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100))
            waiting = tick(first.cursor, instance)
            assert isinstance(waiting, dg.SkipReason) and "again in" in str(waiting.skip_message)
            monkeypatch.setattr(module, "utc_now", lambda: dt.datetime.now(dt.UTC) + dt.timedelta(seconds=300))
            [again] = requests_of(repeated := tick(first.cursor, instance))
            assert (window_of(again), again.partition_key) == (window_of(request), "2026-01-02")
            assert isinstance(repeated, dg.SensorResult) and repeated.cursor == first.cursor
            # Dagster starts one run per key.
            assert again.run_key not in keys
            keys.add(again.run_key)
        with monkeypatch.context() as later:
            # The day is no partition any more.
            later.setenv("IOT_FIRST_DAY", "2026-01-03")
            assert window_of(requests_of(tick(first.cursor, instance))[0])[0] == "2026-01-03T00:00:01+00:00"
        ended_run(instance, request, dg.DagsterRunStatus.SUCCESS)
        assert window_of(requests_of(tick(first.cursor, instance))[0])[0] == "2026-01-03T00:00:01+00:00"


def test_runs_that_others_started_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = "2026-01-05T09:00:01+00:00"
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("ingestion_job")
        # Another code location, whose job has the same name, and a run from the Launchpad that failed.
        unfinished_run(instance, job, dg.DagsterRunStatus.STARTED, location="billing")
        unfinished_run(instance, job, dg.DagsterRunStatus.FAILURE)
        monkeypatch.setattr(module, "utc_now", lambda: NOW)
        assert window_of(requests_of(tick(cursor, instance))[0])[0] == cursor


def test_readings_are_requested_once_enough_have_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_INGESTION_INTERVAL_S", "3600")
    skipped = tick("2026-01-05T09:30:01+00:00")
    assert isinstance(skipped, dg.SkipReason) and "IOT_INGESTION_INTERVAL_S" in str(skipped.skip_message)
    assert requests_of(tick("2026-01-05T09:15:01+00:00"))


def test_three_days_off_are_caught_up_in_bounded_steps() -> None:
    cursor: str | None = "2026-01-02T10:15:01+00:00"
    windows: list[tuple[str, str]] = []
    while isinstance(result := tick(cursor), dg.SensorResult):
        [request] = requests_of(result)
        start, end = (dt.datetime.fromisoformat(time) for time in window_of(request))
        assert end - start <= MAX_WINDOW
        # The run materializes the day that its arrivals are from.
        assert request.partition_key == start.date().isoformat()
        assert end <= dt.datetime.combine(start.date() + dt.timedelta(days=1), dt.time(0, 0, 1), dt.UTC)
        windows.append(window_of(request))
        cursor = result.cursor
    assert len(windows) == 4
    assert windows[0][0] == "2026-01-02T10:15:01+00:00" and windows[-1][1] == "2026-01-05T10:15:01+00:00"
    assert all(end == start for (_, end), (start, _) in zip(windows, windows[1:], strict=False))


def test_nothing_before_the_first_day_is_requested() -> None:
    assert window_of(requests_of(tick("2020-01-01T00:00:00+00:00"))[0])[0] == "2026-01-01T00:00:01+00:00"


def test_without_the_simulator_it_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_SIMULATOR_ENABLED", "false")
    result = tick(None)
    assert isinstance(result, dg.SkipReason) and result.skip_message and "switched off" in result.skip_message


def test_a_cursor_that_is_not_a_time_is_an_error_with_a_remedy() -> None:
    with pytest.raises(PlatformError, match="Reset the cursor"):
        tick("yesterday")


def test_the_requested_runs_ingest_the_readings(platform: Client) -> None:
    requests: list[dg.RunRequest] = []
    result = tick("2026-01-04T20:00:01+00:00")
    while isinstance(result, dg.SensorResult):
        requests += requests_of(result)
        result = tick(result.cursor)
    job = defs.resolve_job_def("ingestion_job")
    with dg.DagsterInstance.ephemeral() as instance:
        for request in requests:
            job.execute_in_process(
                instance=instance, partition_key=request.partition_key, run_config=request.run_config
            )
    rows = platform.query("SELECT timestamp, count() FROM l1_power_raw GROUP BY 1 HAVING count() > 5 ORDER BY 1")
    times = [row[0].replace(tzinfo=dt.UTC) for row in rows.result_rows]
    assert times[0] == dt.datetime(2026, 1, 4, 20, tzinfo=dt.UTC)
    assert times[-1] == dt.datetime(2026, 1, 5, 10, tzinfo=dt.UTC)
    # 14 hours and a quarter, four readings an hour: none is missing at the seams.
    assert len(times) == 57


def at(day: int, month: int = 1, instance: dg.DagsterInstance | None = None) -> dg.ScheduleEvaluationContext:
    time = dt.datetime(2026, month, day, 6, 30, tzinfo=dt.UTC)
    return dg.build_schedule_context(instance, scheduled_execution_time=time)


def test_schedules_request_their_day(platform: Client, instance: dg.DagsterInstance) -> None:
    today = prove_today_schedule(at(5, instance=instance))
    assert isinstance(today, dg.RunRequest) and today.partition_key == "2026-01-05"
    requested = prove_closed_days_schedule(at(5))
    assert isinstance(requested, list)
    [yesterday] = requested
    assert isinstance(yesterday, dg.RunRequest) and yesterday.partition_key == "2026-01-04"
    assert isinstance(prove_closed_days_schedule(at(1)), dg.SkipReason)
    # Who goes first, and what never takes all slots: dagster.yaml has the limit.
    assert today.tags["dagster/priority"] == "5"
    assert (yesterday.tags["dagster/priority"], NIGHTLY in yesterday.tags) == ("-5", True)


def test_a_night_without_clickhouse_is_retried_and_then_requests_only_yesterday(
    platform: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.command("INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES ('2026-01-02', 1, 1.5)")
    scheduled = at(6).scheduled_execution_time
    with monkeypatch.context() as away:
        away.setenv("IOT_CLICKHOUSE_URL", f"http://default:x@127.0.0.1:{free_port(0, '127.0.0.1')}")
        away.setattr(schedules, "utc_now", lambda: scheduled + dt.timedelta(hours=1, minutes=59))
        with pytest.raises(ServerError):
            prove_closed_days_schedule(at(6))
        away.setattr(schedules, "utc_now", lambda: scheduled + dt.timedelta(hours=2))
        after_retries = prove_closed_days_schedule(at(6))
        assert isinstance(after_retries, list)
        [request] = after_retries
        assert isinstance(request, dg.RunRequest) and request.partition_key == "2026-01-05"
    # An evaluation after the outage asks for everything.
    requests = prove_closed_days_schedule(at(6))
    assert isinstance(requests, list)
    assert [request.partition_key for request in requests] == ["2026-01-02", "2026-01-05"]


def days_of(request: dg.RunRequest) -> tuple[str, ...]:
    return tuple(value for tag, value in request.tags.items() if "range" in tag)


def test_all_unverified_days_are_requested_every_night(platform: Client) -> None:
    days = ["2025-12-30", "2026-01-02", "2026-01-03", "2026-01-06", "2026-01-10"]
    for day in days:
        platform.command(f"INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES ('{day}', 1, 1.5)")
    requests = prove_closed_days_schedule(at(8))
    assert isinstance(requests, list)
    # The day before the first one that Dagster offers, and days that are not over, are not among them.
    asked = [request.partition_key or days_of(request) for request in requests]
    assert asked == [("2026-01-02", "2026-01-03"), ("2026-01-06", "2026-01-07")]


def test_blocked_days_get_runs_of_their_own(platform: Client) -> None:
    for partition in ("2026-01-02", "2026-01-03", "2026-01-04"):
        columns = "timestamp, device_id, power_usage_kWh"
        platform.command(f"INSERT INTO l1_power_raw ({columns}) VALUES ('{partition}', 1, 1.5)")
    day = dt.date(2026, 1, 3)
    record_outcome(platform, "l2_power_cleaned", "every_reading_is_within_limits", {day: 1.0}, [day], "run")
    requests = prove_closed_days_schedule(at(6))
    assert isinstance(requests, list)
    asked = [request.partition_key or days_of(request) for request in requests]
    assert asked == ["2026-01-02", ("2026-01-04", "2026-01-05"), "2026-01-03"]


def test_many_unverified_days_are_split_into_bounded_runs() -> None:
    first = dt.date(2024, 1, 1)
    days = [first + dt.timedelta(days=number) for number in range(800) if number != 700]
    ranges = day_ranges(days)
    assert len(ranges) == MAX_RANGES
    assert all(end - start < MAX_RANGE for start, end in ranges)
    assert ranges[-1][1] == days[-1]
    covered = [start + dt.timedelta(days=n) for start, end in ranges for n in range((end - start).days + 1)]
    assert covered == [day for day in days if day >= covered[0]]


@pytest.mark.parametrize("schedule", [prove_today_schedule, prove_closed_days_schedule, refresh_metadata_schedule])
def test_schedules_tick_in_utc(platform: Client, instance: dg.DagsterInstance, schedule: dg.ScheduleDefinition) -> None:
    assert schedule.execution_timezone == "UTC"
    repository = defs.get_repository_def()
    context = dg.build_schedule_context(instance, scheduled_execution_time=NOW, repository_def=repository)
    assert schedule.evaluate_tick(context).run_requests
