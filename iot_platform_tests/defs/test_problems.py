"""Problems other than failed runs: failed checks, stale assets, failed ticks, an unreachable ClickHouse."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster_shared.error import SerializableErrorInfo

from iot_platform.cli import cli
from iot_platform.definitions import defs as platform_defs
from iot_platform.defs.problems.context import ProblemContext, cause_of, days_of_tags
from iot_platform.defs.problems.current import current_problems
from iot_platform.services.process import free_port
from iot_platform.settings import Settings
from iot_platform_tests.defs.dagster_runs import run_job
from iot_platform_tests.defs.problems_location import DAY, LAST_DAY, NEXT_DAY, URL, devices, problems, run


def test_a_failed_check_is_a_problem_until_it_passes_for_the_same_day(instance: dg.DagsterInstance) -> None:
    run_id = run(instance, broken="check")
    check, held_back = problems(instance)
    assert (check.kind, check.partition, check.run_id) == ("check", DAY, run_id)
    assert check.title == f"Check upper_is_right of upper has failed for {DAY}"
    assert check.detail == "3 of 5 readings are wrong."
    assert check.link == f"{URL}/assets/upper?view=checks"
    # What the check has blocked has the same cause.
    assert (held_back.kind, held_back.cause, held_back.detail) == ("run", check.cause, "Not done since: lower.")
    run(instance, NEXT_DAY)
    assert len(problems(instance)) == 2
    run(instance, DAY, "lower")
    assert [problem.kind for problem in problems(instance)] == ["run"]
    run(instance, DAY, last_day=LAST_DAY)
    assert problems(instance) == []


def test_a_warning_is_no_problem(instance: dg.DagsterInstance) -> None:
    run(instance, broken="warn")
    assert problems(instance) == []


def test_a_stale_asset_is_a_problem_until_it_is_fresh(instance: dg.DagsterInstance) -> None:
    def change(before: FreshnessState, after: FreshnessState) -> None:
        now = dt.datetime.now(dt.UTC).timestamp()
        event = FreshnessStateChange(
            key=devices.key, previous_state=before, new_state=after, state_change_timestamp=now
        )
        instance._report_runless_asset_event(event)  # noqa: SLF001

    change(FreshnessState.PASS, FreshnessState.WARN)
    assert problems(instance) == []
    change(FreshnessState.WARN, FreshnessState.FAIL)
    (found,) = problems(instance)
    assert (found.kind, found.title, found.owner) == ("stale", "devices is stale", "team:metadata")
    assert found.link == f"{URL}/assets/devices?view=overview"
    change(FreshnessState.FAIL, FreshnessState.PASS)
    assert problems(instance) == []


def test_a_failed_schedule_is_a_problem(instance: dg.DagsterInstance) -> None:
    location = RegisteredCodeLocationOrigin("iot_platform")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), "task_schedule")

    def state(status: InstigatorStatus, started: float) -> InstigatorState:
        return InstigatorState(
            origin, InstigatorType.SCHEDULE, status, ScheduleInstigatorData("0 6 * * *", start_timestamp=started)
        )

    def tick(status: TickStatus, timestamp: float) -> None:
        error = SerializableErrorInfo("iot_platform.errors.ServerError: away\n", [], "ServerError")
        instance.create_tick(
            TickData(
                origin.get_id(),
                "task_schedule",
                InstigatorType.SCHEDULE,
                status,
                timestamp,
                [],
                error=error if status == TickStatus.FAILURE else None,
                selector_id=state(InstigatorStatus.RUNNING, 0.0).selector_id,
            )
        )

    running = state(InstigatorStatus.RUNNING, 100.0)
    instance.add_instigator_state(running)
    tick(TickStatus.FAILURE, 200.0)
    (found,) = problems(instance)
    assert (found.kind, found.title) == ("tick", "Schedule task_schedule could not request its runs")
    assert (found.cause, found.link) == (
        "ServerError: away",
        f"{URL}/locations/iot_platform/schedules/task_schedule",
    )
    tick(TickStatus.SUCCESS, 300.0)
    assert problems(instance) == []
    tick(TickStatus.FAILURE, 400.0)
    assert len(problems(instance)) == 1
    instance.update_instigator_state(running.with_status(InstigatorStatus.STOPPED))
    assert problems(instance) == []
    # Off and on again: seen and done with.
    instance.update_instigator_state(state(InstigatorStatus.RUNNING, 500.0))
    assert problems(instance) == []


def test_an_unreachable_clickhouse_is_a_problem(
    instance: dg.DagsterInstance, platform: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert problems(instance) == []
    # It answers; that its database is not there yet is no problem.
    monkeypatch.setenv("IOT_CLICKHOUSE_DATABASE", "no_such_database")
    assert problems(instance) == []
    monkeypatch.setenv("IOT_CLICKHOUSE_URL", f"http://iot:verysecret@127.0.0.1:{free_port(0, '127.0.0.1')}")
    (found,) = problems(instance)
    assert (found.kind, found.title) == ("server", "ClickHouse does not answer")
    assert found.cause.startswith("ServerError: ClickHouse at 127.0.0.1:") and "verysecret" not in str(found)


def test_a_blocked_day_of_the_platform_is_a_problem(
    platform: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IOT_SIMULATOR_ENABLED", "false")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    platform.command(f"INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES ('{DAY}', 1, 5)")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run_job("all_layers_job", instance, DAY, raise_on_error=False)
        context = ProblemContext(instance, platform_defs.get_repository_def(), Settings())
        check, held_back = current_problems(context, [], dt.datetime.now(dt.UTC))
    assert check.title == f"Check every_reading_has_metadata of l3_power_joined has failed for {DAY}"
    assert (held_back.cause, held_back.kind) == (check.cause, "run")
    assert held_back.detail.startswith("Not done since: l4_power_agg_hourly")
    assert check.owner == held_back.owner == "team:data-platform"
    shown = CliRunner().invoke(cli, ["alerts", "show", "--json"])
    found: list[dict[str, Any]] = json.loads(shown.output)
    assert [problem["key"] for problem in found] == [check.key, held_back.key]


def test_the_cause_is_the_first_error_that_is_not_a_wrapper_of_dagster() -> None:
    inner = SerializableErrorInfo("socket.gaierror: 1.5 s: x.y: z", [], "gaierror")
    error = SerializableErrorInfo("a.b.ServerError: db.example:\n away", [], "ServerError", inner)
    wrapper = SerializableErrorInfo("Exceeded max_retries of 1.", [], "RetryRequested", error)
    assert cause_of(wrapper, "") == "ServerError: db.example: away"
    assert cause_of(inner, "") == "gaierror: 1.5 s: x.y: z"
    assert cause_of(SerializableErrorInfo("Took 1.5 s.", [], "DagsterError"), "") == "Took 1.5 s."
    assert cause_of(None, "It died.") == "It died."


def test_days_of_the_tags_of_any_run() -> None:
    start, end = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    assert days_of_tags({"dagster/partition": "no day"}) == {"no day"}
    assert days_of_tags({start: "1999-12-31", end: "2000-01-01"}) == {"1999-12-31", "2000-01-01"}
    assert days_of_tags({start: "a", end: "b"}) == {"a", "b"}
    assert days_of_tags({start: "2000-01-01"}) == frozenset()
