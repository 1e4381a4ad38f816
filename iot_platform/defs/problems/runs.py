"""Failed runs whose assets or checks have not been completed since."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from iot_platform.alerts.problem import Problem, one_line
from iot_platform.defs.dagster_internals import (
    AUTO_RETRY_RUN_ID_TAG,
    WILL_RETRY_TAG,
    JobFailureData,
    RunRecord,
)
from iot_platform.defs.problems.checks import Evaluations, evaluated_since
from iot_platform.defs.problems.context import ProblemContext, cause_of, days_of_tags, span
from iot_platform.defs.run_statuses import NOT_ENDED
from iot_platform.defs.times import from_dagster
from iot_platform.services.partition_tags import PARTITION_TAGS

# Older failed runs count only if they are already known: a problem is not over because time has passed.
RECENT = dt.timedelta(days=7)
MAX_RUNS = 500
# The daemon launches a retry within seconds, or never (when the backfill of the run has ended).
RETRY_STARTS_WITHIN = dt.timedelta(minutes=5)
IMPLICIT_JOB = "__ASSET_JOB"
PLANNED = {
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
}

Days = frozenset[str]


@dataclass(frozen=True)
class Plan:
    """What a run should have done, and why it failed."""

    assets: Mapping[dg.AssetKey, Days]
    checks: Sequence[dg.AssetCheckKey]
    cause: str


def run_problems(
    context: ProblemContext,
    evaluations: Evaluations,
    failed_checks: Sequence[Problem],
    known_runs: Sequence[str],
    now: dt.datetime,
) -> list[Problem]:
    """Failed runs with assets that were not materialized, or checks not evaluated, since they began.

    Of several runs for the same work, only the newest counts. ``known_runs``: failed runs that count whatever their
    age. A run that was stopped by a failed check has the cause of that check.
    """
    causes = {problem.run_id: problem.cause for problem in failed_checks}
    problems = []
    for record, retrying in _latest_failures(context.instance, known_runs, now):
        plan = _plan(context.instance, record.dagster_run.run_id)
        left = _unfinished(context.instance, evaluations, record, plan)
        if left is not None:
            cause = causes.get(record.dagster_run.run_id, plan.cause)
            problems.append(_problem(context, record, plan, left, cause, retrying))
    return problems


def _latest_failures(
    instance: dg.DagsterInstance, known_runs: Sequence[str], now: dt.datetime
) -> list[tuple[RunRecord, bool]]:
    """The latest failed run per job and partition, preferring one that is not being retried, and whether it is."""
    failed = [dg.DagsterRunStatus.FAILURE]
    records = list(instance.get_run_records(dg.RunsFilter(statuses=failed, updated_after=now - RECENT), limit=MAX_RUNS))
    found = {record.dagster_run.run_id for record in records}
    if older := [run_id for run_id in known_runs if run_id not in found]:
        records += instance.get_run_records(dg.RunsFilter(run_ids=older, statuses=failed))
    retried = {run.parent_run_id for run in instance.get_runs(dg.RunsFilter(statuses=NOT_ENDED))}
    newest: dict[object, tuple[RunRecord, bool]] = {}
    for record in records:
        run = record.dagster_run
        tags = tuple(run.tags.get(tag) for tag in PARTITION_TAGS)
        work = (run.job_name, run.asset_selection, run.asset_check_selection, tags)
        retrying = run.run_id in retried or _awaits_retry(record, now)
        if work not in newest or (newest[work][1] and not retrying):
            newest[work] = (record, retrying)
    return list(newest.values())


def _awaits_retry(record: RunRecord, now: dt.datetime) -> bool:
    tags = record.dagster_run.tags
    return (
        tags.get(WILL_RETRY_TAG) == "true"
        and AUTO_RETRY_RUN_ID_TAG not in tags
        and now - record.update_timestamp < RETRY_STARTS_WITHIN
    )


def _plan(instance: dg.DagsterInstance, run_id: str) -> Plan:
    assets: dict[dg.AssetKey, set[str]] = {}
    checks: list[dg.AssetCheckKey] = []
    cause = ""
    for record in instance.get_records_for_run(run_id, of_type=PLANNED).records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED and event.asset_key:
            assets.setdefault(event.asset_key, set()).update({event.partition} if event.partition else set())
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED:
            checks.append(event.asset_check_planned_data.asset_check_key)
        elif event.event_type == dg.DagsterEventType.RUN_FAILURE:
            # When the process of a run died, the event has a message but no error.
            failure = event.event_specific_data
            cause = cause_of(failure.error if isinstance(failure, JobFailureData) else None, event.message or "")
    return Plan({key: frozenset(days) for key, days in assets.items()}, checks, cause or "The run failed.")


def _unfinished(
    instance: dg.DagsterInstance, evaluations: Evaluations, record: RunRecord, plan: Plan
) -> list[str] | None:
    """Names of the assets and checks that were not done since the run began; None: all were done.

    Empty for a failed run without assets and checks.
    """
    since, days = _start(record), days_of_tags(record.dagster_run.tags)
    if not plan.assets and not plan.checks:
        return None if _succeeded_since(instance, record) else []
    undone = [key for key, days in plan.assets.items() if not _materialized(instance, key, days, since)]
    left = sorted(key.to_user_string() for key in undone)
    left += [key.name for key in plan.checks if not evaluated_since(evaluations.get(key, []), since, days)]
    return left or None


def _materialized(instance: dg.DagsterInstance, key: dg.AssetKey, days: Days, since: float) -> bool:
    wanted = dg.AssetRecordsFilter(key, after_timestamp=since)
    first = instance.fetch_materializations(wanted, limit=1, ascending=True).records
    if not first:
        return False
    return not days or days <= instance.get_materialized_partitions(key, after_cursor=first[0].storage_id - 1)


def _succeeded_since(instance: dg.DagsterInstance, record: RunRecord) -> bool:
    run = record.dagster_run
    tags = {tag: run.tags[tag] for tag in PARTITION_TAGS if tag in run.tags}
    wanted = dg.RunsFilter(
        job_name=run.job_name,
        statuses=[dg.DagsterRunStatus.SUCCESS],
        tags=tags,
        created_after=record.create_timestamp,
    )
    return bool(instance.get_runs(wanted, limit=1))


def _start(record: RunRecord) -> float:
    return record.start_time or record.create_timestamp.timestamp()


def _problem(
    context: ProblemContext, record: RunRecord, plan: Plan, left: Sequence[str], cause: str, retrying: bool
) -> Problem:
    run, partition = record.dagster_run, span(days_of_tags(record.dagster_run.tags))
    assets = ", ".join(sorted(key.to_user_string() for key in plan.assets))
    is_ad_hoc = run.job_name.startswith(IMPLICIT_JOB) or bool(run.asset_selection)
    name = f"Materialization of {assets}" if is_ad_hoc and assets else run.job_name
    return Problem(
        key=one_line(f"run/{name}/{partition}"),
        kind="run",
        title=one_line(f"{name}" + (f" of {partition}" if partition else "") + " failed"),
        cause=cause,
        owner=context.owners([*plan.assets, *(key.asset_key for key in plan.checks)]),
        partition=partition,
        detail=one_line(f"Not done since: {', '.join(left)}.") if left else "",
        link=context.run_link(run.run_id),
        since=from_dagster(record.end_time) if record.end_time else record.update_timestamp,
        retrying=retrying,
        run_id=run.run_id,
    )
