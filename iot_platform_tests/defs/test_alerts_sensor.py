"""What the alerts sensor finds in the storage of a real Dagster instance, and what it sends."""

import datetime as dt
import json
from collections.abc import Iterator
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
from dagster._core.storage.tags import WILL_RETRY_TAG
from dagster_shared.error import SerializableErrorInfo

from iot_platform.alerts.problem import Problem
from iot_platform.cli import cli
from iot_platform.definitions import defs as platform_defs
from iot_platform.defs.alerts import sensor as module
from iot_platform.defs.alerts.alert_context import Site, cause_of, days_of_tags
from iot_platform.defs.alerts.problems import current_problems
from iot_platform.defs.alerts.sensor import alerts_sensor
from iot_platform.errors import PlatformError, ServerError
from iot_platform.services.process import free_port
from iot_platform.settings import Settings
from iot_platform_tests.alerts.receivers import Receiver, receiving
from iot_platform_tests.defs.dagster_runs import run_job

URL = "http://dagster.example:3000"
DAY, NEXT_DAY, LAST_DAY = "2026-01-02", "2026-01-03", "2026-01-04"
daily = dg.DailyPartitionsDefinition("2026-01-01")
in_one_run = dg.BackfillPolicy.single_run()


# A small code location: the tag "broken" of a run says what fails in it.
@dg.asset(partitions_def=daily, backfill_policy=in_one_run, owners=["team:data-platform"])
def upper(context: dg.AssetExecutionContext) -> None:
    if context.run.tags.get("broken") == "upper":
        away = ServerError(f"http://iot:verysecret@db:8123 does not answer (run {context.run.run_id})")
        raise dg.RetryRequested(max_retries=1, seconds_to_wait=0) from away


@dg.asset(partitions_def=daily, backfill_policy=in_one_run, deps=[upper], owners=["ops@example.com"])
def lower(context: dg.AssetExecutionContext) -> None:
    if context.run.tags.get("broken") == "lower":
        raise ServerError(f"http://iot:verysecret@db:8123 does not answer (run {context.run.run_id})")


@dg.asset_check(asset=upper, blocking=True)
def upper_is_right(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    broken = context.run.tags.get("broken")
    severity = dg.AssetCheckSeverity.WARN if broken == "warn" else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(
        passed=broken not in ("check", "warn"), severity=severity, description="3 of 5 readings are wrong."
    )


@dg.asset(owners=["team:metadata"])
def devices(context: dg.AssetExecutionContext) -> None:
    if context.run.tags.get("broken") == "devices":
        raise dg.Failure("Row 7 has no customer.")


@dg.op
def task(context: dg.OpExecutionContext) -> None:
    if context.run.tags.get("broken") == "task":
        raise ValueError("no")


@dg.job
def task_job() -> None:
    task()


@dg.schedule(job=task_job, cron_schedule="0 6 * * *")
def task_schedule() -> dg.RunRequest:
    return dg.RunRequest()


defs = dg.Definitions(
    assets=[upper, lower, devices],
    asset_checks=[upper_is_right],
    jobs=[
        dg.define_asset_job("layers_job", dg.AssetSelection.assets(upper, lower)),
        dg.define_asset_job("devices_job", dg.AssetSelection.assets(devices)),
        task_job,
    ],
    schedules=[task_schedule],
    sensors=[alerts_sensor],
)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as found:
        yield found


@pytest.fixture
def instance(storage: dg.DagsterInstance) -> dg.DagsterInstance:
    """An instance in which nothing has happened yet. (To make its databases takes a second.)"""
    storage.wipe()
    storage.wipe_all_schedules()
    return storage


def run(
    instance: dg.DagsterInstance,
    day: str | None = DAY,
    broken: str = "",
    *,
    job: str = "layers_job",
    last_day: str | None = None,
) -> str:
    """A run in which something is broken; its id."""
    tags = {"broken": broken}
    if last_day and day:
        tags |= {"dagster/asset_partition_range_start": day, "dagster/asset_partition_range_end": last_day}
    result = defs.resolve_job_def(job).execute_in_process(
        instance=instance, partition_key=None if last_day else day, tags=tags, raise_on_error=False
    )
    return result.run_id


def problems(instance: dg.DagsterInstance, *known: str, after: dt.timedelta = dt.timedelta(0)) -> list[Problem]:
    """What is wrong, seen some time from now."""
    site = Site(instance, defs.get_repository_def(), Settings(dagster_url=URL))
    return current_problems(site, known, dt.datetime.now(dt.UTC) + after)


def test_a_failed_run_is_a_problem_until_its_work_is_done(instance: dg.DagsterInstance) -> None:
    run_id = run(instance, broken="upper")
    (found,) = problems(instance)
    assert (found.kind, found.partition, found.run_id, found.retrying) == ("run", DAY, run_id, False)
    assert found.title == f"layers_job of {DAY} failed"
    assert found.cause == f"ServerError: http://db:8123 does not answer (run {run_id})"
    assert found.detail == "Not done since: lower, upper, upper_is_right."
    assert found.owner == "ops@example.com, team:data-platform"
    assert found.link == f"{URL}/runs/{run_id}"
    # Another day says nothing of this one; the next failure of the same work is the same problem.
    run(instance, NEXT_DAY)
    again = run(instance, broken="lower")
    (still,) = problems(instance)
    assert (still.key, still.group) == (found.key, found.group.replace(found.cause, still.cause))
    assert (still.run_id, still.detail) == (again, "Not done since: lower.")
    run(instance)
    assert problems(instance) == []


def test_all_days_of_a_run_are_to_be_done(instance: dg.DagsterInstance) -> None:
    run(instance, DAY, "lower", last_day=LAST_DAY)
    (found,) = problems(instance)
    assert found.partition == f"{DAY} .. {LAST_DAY} (3 days)" and found.detail == "Not done since: lower."
    for day in (DAY, LAST_DAY):
        run(instance, day)
        assert [problem.key for problem in problems(instance)] == [found.key]
    run(instance, NEXT_DAY)
    assert problems(instance) == []


def test_runs_without_partitions_and_without_assets(instance: dg.DagsterInstance) -> None:
    run(instance, None, "devices", job="devices_job")
    run(instance, None, "task", job="task_job")
    found = {problem.title: problem for problem in problems(instance)}
    assert found.keys() == {"devices_job failed", "task_job failed"}
    assert found["devices_job failed"].cause == "Failure: Row 7 has no customer."
    assert found["task_job failed"].cause == "ValueError: no"
    run(instance, None, job="devices_job")
    run(instance, None, job="task_job")
    assert problems(instance) == []


def test_a_run_whose_process_died(instance: dg.DagsterInstance) -> None:
    job = defs.resolve_job_def("devices_job")
    died = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_failed(died, "Its process has ended unexpectedly.")
    (found,) = problems(instance)
    assert (found.title, found.cause) == ("devices_job failed", "Its process has ended unexpectedly.")
    assert found.detail == "Not done since: devices."
    run(instance, None, job="devices_job")
    assert problems(instance) == []


def test_a_run_by_hand_is_named_by_its_assets(instance: dg.DagsterInstance) -> None:
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection={upper.key})
    job.execute_in_process(instance=instance, partition_key=DAY, tags={"broken": "upper"}, raise_on_error=False)
    (found,) = problems(instance)
    assert found.title == f"Materialization of upper of {DAY} failed"


def test_a_run_that_is_tried_again_is_not_over_and_not_news(instance: dg.DagsterInstance) -> None:
    run_id = run(instance, broken="upper")
    # Dagster's daemon marks what it is going to retry, and launches it soon, or never.
    instance.add_run_tags(run_id, {WILL_RETRY_TAG: "true"})
    assert [problem.retrying for problem in problems(instance)] == [True]
    assert [problem.retrying for problem in problems(instance, after=dt.timedelta(minutes=6))] == [False]
    job = defs.resolve_job_def("layers_job")
    status = dg.DagsterRunStatus.STARTED
    retry = instance.create_run_for_job(job, status=status, parent_run_id=run_id, root_run_id=run_id)
    assert [problem.retrying for problem in problems(instance, after=dt.timedelta(minutes=6))] == [True]
    # An older failure of the same work that nobody retries is one all the same.
    older = run(instance, NEXT_DAY, "upper")
    newer = run(instance, NEXT_DAY, "upper")
    instance.add_run_tags(newer, {WILL_RETRY_TAG: "true"})
    assert {problem.run_id: problem.retrying for problem in problems(instance)} == {run_id: True, older: False}
    instance.report_run_canceled(retry)
    assert not any(problem.retrying for problem in problems(instance, after=dt.timedelta(minutes=6)))


def test_an_open_problem_does_not_go_away_with_time(instance: dg.DagsterInstance) -> None:
    run_id = run(instance, broken="upper")
    month = dt.timedelta(days=30)
    assert [problem.run_id for problem in problems(instance, run_id, after=month)] == [run_id]
    assert problems(instance, after=month) == []
    # Deleting the run is how to say that it does not matter.
    instance.delete_run(run_id)
    assert problems(instance, run_id) == []


def test_a_check_is_red_until_it_is_green_for_the_same_day(instance: dg.DagsterInstance) -> None:
    run_id = run(instance, broken="check")
    check, held_back = problems(instance)
    assert (check.kind, check.partition, check.run_id) == ("check", DAY, run_id)
    assert check.title == f"Check upper_is_right of upper is red for {DAY}"
    assert check.detail == "3 of 5 readings are wrong."
    assert check.link == f"{URL}/assets/upper?view=checks"
    # What the check has held back stands with it.
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


def test_a_schedule_that_fails_to_ask_is_a_problem(instance: dg.DagsterInstance) -> None:
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
    assert (found.kind, found.title) == ("tick", "Schedule task_schedule failed to ask for its runs")
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


def test_a_clickhouse_that_is_away_is_a_problem(
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


def test_the_cause_is_the_first_error_that_is_not_a_wrapper_of_dagster() -> None:
    inner = SerializableErrorInfo("socket.gaierror: 1.5 s: x.y: z", [], "gaierror")
    error = SerializableErrorInfo("a.b.ServerError: db.example:\n away", [], "ServerError", inner)
    wrapper = SerializableErrorInfo("Exceeded max_retries of 1.", [], "RetryRequested", error)
    assert cause_of(wrapper, "") == "ServerError: db.example: away"
    assert cause_of(inner, "") == "gaierror: 1.5 s: x.y: z"
    assert cause_of(SerializableErrorInfo("Took 1.5 s.", [], "DagsterError"), "") == "Took 1.5 s."
    assert cause_of(None, "It died.") == "It died."


def test_days_of_any_run_can_be_told() -> None:
    start, end = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    assert days_of_tags({"dagster/partition": "no day"}) == {"no day"}
    assert days_of_tags({start: "1999-12-31", end: "2000-01-01"}) == {"1999-12-31", "2000-01-01"}
    assert days_of_tags({start: "a", end: "b"}) == {"a", "b"}
    assert days_of_tags({start: "2000-01-01"}) == frozenset()


class Ticks:
    """Ticks of the sensor, 30 seconds apart, on the cursor that each has left."""

    def __init__(self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.instance = instance
        self.cursor: str | None = None
        self.now = dt.datetime.now(dt.UTC)
        monkeypatch.setattr(module, "_now", lambda: self.now)

    def tick(self, times: int = 1) -> dg.SensorResult:
        result = None
        for _ in range(times):
            self.now += dt.timedelta(seconds=30)
            context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, definitions=defs)
            result = alerts_sensor(context)
            assert isinstance(result, dg.SensorResult)
            self.cursor = result.cursor
        assert isinstance(result, dg.SensorResult)
        return result


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as found:
        monkeypatch.setenv("IOT_ALERT_WEBHOOK_URL", found.url)
        monkeypatch.setenv("IOT_DAGSTER_URL", URL)
        yield found


@pytest.fixture
def ticks(instance: dg.DagsterInstance, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Ticks:
    return Ticks(instance, monkeypatch)


def subjects(receiver: Receiver) -> list[str]:
    return [got["text"] for got in receiver.got]


def test_an_outage_is_one_alert_and_one_all_clear(ticks: Ticks, receiver: Receiver) -> None:
    ticks.tick()
    run(ticks.instance, DAY, "upper")
    ticks.tick()
    run(ticks.instance, DAY, "upper")
    run(ticks.instance, NEXT_DAY, "upper")
    ticks.tick()
    run(ticks.instance, LAST_DAY, "upper")
    ticks.tick(3)
    assert len(receiver.got) == 1
    for day in (DAY, NEXT_DAY, LAST_DAY):
        run(ticks.instance, day)
    ticks.tick(8)
    alert, all_clear = receiver.got
    # The zero-width space keeps chat programs from making a link of it.
    assert alert["text"].startswith("2 problems: ServerError: http:\u200b//db:8123 does not answer (run ")
    text = alert["blocks"][2]["text"]["text"]
    assert (
        f"|layers_job of {DAY} failed> Not done since: lower, upper, upper_is_right. (ops@\u200bexample.com, " in text
    )
    assert f"|layers_job of {NEXT_DAY} failed>" in text and "verysecret" not in json.dumps(receiver.got)
    assert all_clear["text"].startswith("All clear after ")
    assert all_clear["blocks"][1]["text"]["text"] == "2 problems that were reported: over."


def test_a_webhook_that_is_away_loses_nothing_and_gets_nothing_twice(ticks: Ticks, receiver: Receiver) -> None:
    run(ticks.instance, DAY, "upper")
    receiver.answers = [503, 503]
    waiting = ticks.tick(3)
    assert receiver.got == []
    assert waiting.skip_reason and "refused the message: 503" in str(waiting.skip_reason.skip_message)
    assert "verysecret" not in f"{waiting.cursor}{waiting.skip_reason}"
    ticks.tick(4)
    assert len(receiver.got) == 1


def test_a_tick_that_was_killed_before_its_cursor_was_stored_sends_again(ticks: Ticks, receiver: Receiver) -> None:
    run(ticks.instance, DAY, "upper")
    ticks.tick()
    stored = ticks.cursor
    ticks.tick()
    ticks.cursor = stored
    ticks.tick(3)
    assert len(receiver.got) == 2 and receiver.got[0]["blocks"] == receiver.got[1]["blocks"]


def test_without_a_channel_it_says_how_to_configure_one(instance: dg.DagsterInstance) -> None:
    context = dg.build_sensor_context(instance=instance, definitions=defs)
    skipped = alerts_sensor(context)
    assert isinstance(skipped, dg.SkipReason) and "IOT_ALERT_WEBHOOK_URL" in str(skipped.skip_message)


def test_a_cursor_that_is_none_of_its_own_says_what_to_do(ticks: Ticks) -> None:
    ticks.cursor = "2026-01-01"
    with pytest.raises(PlatformError, match="Reset the cursor"):
        ticks.tick()


def test_the_platform_tells_of_a_day_that_a_check_holds_back(
    platform: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IOT_SIMULATOR_ENABLED", "false")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    platform.command(f"INSERT INTO l1_power_raw (timestamp, device_id, power_usage_kWh) VALUES ('{DAY}', 1, 5)")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run_job("all_layers_job", instance, DAY, raise_on_error=False)
        site = Site(instance, platform_defs.get_repository_def(), Settings())
        check, held_back = current_problems(site, [], dt.datetime.now(dt.UTC))
    assert check.title == f"Check every_reading_has_metadata of l3_power_joined is red for {DAY}"
    assert (held_back.cause, held_back.kind) == (check.cause, "run")
    assert held_back.detail.startswith("Not done since: l4_power_agg_hourly")
    assert check.owner == held_back.owner == "team:data-platform"
    shown = CliRunner().invoke(cli, ["alerts", "show", "--json"])
    found: list[dict[str, Any]] = json.loads(shown.output)
    assert [problem["key"] for problem in found] == [check.key, held_back.key]
