"""A small code location with problems, for tests. The tag "broken" of a run says what fails in it."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

import datetime as dt

import dagster as dg

from iot_platform.alerts.problem import Problem
from iot_platform.defs.alerts.sensor import alerts_sensor
from iot_platform.defs.problems.context import ProblemContext
from iot_platform.defs.problems.current import current_problems
from iot_platform.errors import ServerError
from iot_platform.settings import Settings

URL = "http://dagster.example:3000"
DAY, NEXT_DAY, LAST_DAY = "2026-01-02", "2026-01-03", "2026-01-04"
daily = dg.DailyPartitionsDefinition("2026-01-01")
in_one_run = dg.BackfillPolicy.single_run()


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
        dg.define_asset_job("lower_job", dg.AssetSelection.assets(lower).without_checks()),
        dg.define_asset_job("checks_job", dg.AssetSelection.checks(upper_is_right)),
        task_job,
    ],
    schedules=[task_schedule],
    sensors=[alerts_sensor],
)


def run(
    instance: dg.DagsterInstance,
    day: str | None = DAY,
    broken: str = "",
    *,
    job: str = "layers_job",
    last_day: str | None = None,
    location: str = "iot_platform",
) -> str:
    """A run in which something is broken, as if it was launched for a code location; its id."""
    tags = {"broken": broken}
    if last_day and day:
        tags |= {"dagster/asset_partition_range_start": day, "dagster/asset_partition_range_end": last_day}
    result = defs.resolve_job_def(job).execute_in_process(
        instance=instance, partition_key=None if last_day else day, tags=tags, raise_on_error=False
    )
    instance.add_run_tags(result.run_id, {".dagster/repository": f"__repository__@{location}"})
    return result.run_id


def problems(instance: dg.DagsterInstance, *known: str, after: dt.timedelta = dt.timedelta(0)) -> list[Problem]:
    """What is wrong, seen some time from now."""
    context = ProblemContext(instance, defs.get_repository_def(), Settings(dagster_url=URL))
    return current_problems(context, known, dt.datetime.now(dt.UTC) + after)
