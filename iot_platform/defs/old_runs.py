"""Remove old runs from Dagster's storage: a quiet platform adds hundreds of them every day."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from iot_platform.defs.dagster_internals import sqlite_events_file
from iot_platform.defs.jobs import LAST, OWN_RUNS, PRIORITY
from iot_platform.defs.problems.checks import Evaluations, check_problems, evaluations, is_newest
from iot_platform.defs.problems.context import ProblemContext
from iot_platform.defs.problems.runs import run_problems
from iot_platform.defs.run_statuses import ENDED
from iot_platform.defs.start_status import SCHEDULE_STATUS
from iot_platform.defs.times import utc_now
from iot_platform.settings import Settings

BACKFILL_GOES_ON = {"REQUESTED", "CANCELING", "FAILING"}
# Runs are read from the storage this many at a time.
PAGE = 200


def remove_old_runs(context: ProblemContext, now: dt.datetime) -> Iterator[str]:
    """Remove this code location's ended runs that are no longer needed, with events and logs; yields the id of each.

    Kept, whatever their age: runs that hold the newest materialization of a day or an asset (Dagster would show it as
    missing); runs that hold the newest evaluation of a check (an earlier one that failed would count again); runs with
    an open problem: a failed check, or work that has not been done since; and runs of a backfill that goes on (it would
    wait for them for ever).
    """
    cutoff = now - dt.timedelta(days=context.settings.runs_kept_days)
    evaluated = evaluations(context)
    needed = _runs_with_problems(context, evaluated, cutoff, now)
    needed |= _runs_with_newest_evaluations(evaluated, cutoff) | _runs_of_backfills_that_go_on(context.instance)
    old = dg.RunsFilter(statuses=ENDED, tags=OWN_RUNS, updated_before=cutoff)
    for run_id in list(_run_ids(context.instance, old)):
        if run_id not in needed and not _holds_newest_materialization(context.instance, run_id):
            _remove(context.instance, run_id)
            yield run_id


def _runs_with_problems(
    context: ProblemContext, evaluated: Evaluations, cutoff: dt.datetime, now: dt.datetime
) -> set[str]:
    wanted = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_before=cutoff)
    failed = list(_run_ids(context.instance, wanted))
    failed_checks = check_problems(context, evaluated)
    problems = [*failed_checks, *run_problems(context, evaluated, failed_checks, failed, now)]
    return {problem.run_id for problem in problems if problem.run_id}


def _runs_with_newest_evaluations(evaluated: Evaluations, cutoff: dt.datetime) -> set[str]:
    return {
        evaluation.run_id
        for of_check in evaluated.values()
        for position, evaluation in enumerate(of_check)
        if evaluation.timestamp < cutoff.timestamp() and is_newest(of_check, position)
    }


def _runs_of_backfills_that_go_on(instance: dg.DagsterInstance) -> set[str]:
    going_on = [
        backfill.backfill_id for backfill in instance.get_backfills() if backfill.status.value in BACKFILL_GOES_ON
    ]
    return {run for name in going_on for run in _run_ids(instance, dg.RunsFilter.for_backfill(name))}


def _run_ids(instance: dg.DagsterInstance, wanted: dg.RunsFilter) -> Iterator[str]:
    cursor = None
    while page := instance.get_run_records(wanted, limit=PAGE, cursor=cursor):
        yield from (record.dagster_run.run_id for record in page)
        cursor = page[-1].dagster_run.run_id


def _holds_newest_materialization(instance: dg.DagsterInstance, run_id: str) -> bool:
    of_type = {dg.DagsterEventType.ASSET_MATERIALIZATION}
    for record in instance.get_records_for_run(run_id, of_type=of_type).records:
        event = record.event_log_entry.dagster_event
        if event is None or event.asset_key is None:
            continue
        days = [event.partition] if event.partition else None
        wanted = dg.AssetRecordsFilter(event.asset_key, asset_partitions=days)
        newest = instance.fetch_materializations(wanted, limit=1).records
        if newest and newest[0].run_id == run_id:
            return True
    return False


def _remove(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    if file := sqlite_events_file(instance.event_log_storage, run_id):
        # Dagster empties the run's own database file and leaves it there.
        for suffix in ("", "-wal", "-shm"):
            Path(file + suffix).unlink(missing_ok=True)


@dg.op
def remove_runs(context: dg.OpExecutionContext) -> None:
    """Remove runs that are older than IOT_RUNS_KEPT_DAYS and not needed any more."""
    settings = Settings()
    problem_context = ProblemContext(context.instance, context.repository_def, settings)
    removed = sum(1 for _ in remove_old_runs(problem_context, utc_now()))
    context.log.info(f"{removed:,} runs that ended more than {settings.runs_kept_days} days ago were removed.")


@dg.job(
    tags={PRIORITY: LAST},
    description="Removes runs of this code location that ended more than `IOT_RUNS_KEPT_DAYS` days ago, with their "
    "logs. Runs that hold the newest materialization of a day, and runs with an open problem, are kept.",
)
def remove_old_runs_job() -> None:
    remove_runs()


@dg.schedule(
    job=remove_old_runs_job,
    cron_schedule="40 3 * * *",
    execution_timezone="UTC",
    default_status=SCHEDULE_STATUS,
    description="Every night: removes old runs from Dagster's storage.",
)
def remove_old_runs_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest()
