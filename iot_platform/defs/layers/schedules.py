"""When the layers are proved: the day that fills, each hour; closed days, once their late readings are in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import dagster as dg

from iot_platform.clickhouse.migrations import migrated_session
from iot_platform.defs.jobs import all_layers_job
from iot_platform.defs.start_status import SCHEDULE_STATUS
from iot_platform.layers.blocked_days import blocked_days
from iot_platform.layers.catalog import DERIVED_LAYERS, partition_day
from iot_platform.layers.status import unverified_partitions
from iot_platform.settings import Settings

# A night's work comes in runs that are short enough to be repeated; what is more is left to the next nights.
DAYS_PER_RUN, RUNS = dt.timedelta(days=31), 12


@dg.schedule(
    job=all_layers_job,
    cron_schedule=Settings().prove_today_cron,
    execution_timezone="UTC",
    default_status=SCHEDULE_STATUS,
    description="By default each hour: today's layers. Readings that arrive afterwards are proved the next time.",
)
def prove_today_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest(partition_key=_scheduled(context).date().isoformat())


@dg.schedule(
    job=all_layers_job,
    # By default in the morning: readings arrive up to six hours late.
    cron_schedule=Settings().prove_closed_days_cron,
    execution_timezone="UTC",
    default_status=SCHEDULE_STATUS,
    description="By default each morning: yesterday's layers, after late readings, and every older day that is open, "
    "because readings came late, metadata or limits changed, or somebody wrote into it. Mends failed ingestion, too.",
)
def prove_closed_days_schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    yesterday = _scheduled(context).date() - dt.timedelta(days=1)
    settings = Settings()
    if yesterday < settings.first_day:
        return dg.SkipReason(f"{yesterday} is before the first day ({settings.first_day}).")
    unverified, blocked = _unverified_and_blocked_days(settings)
    days = {yesterday} | {day for day in unverified if settings.first_day <= day < yesterday}
    # A red check stops a run for all of its days, so days that were red run alone.
    ranges = day_ranges(sorted(days - blocked)) + [(day, day) for day in sorted(days & blocked)[-RUNS:]]
    return [_run_request(first, last) for first, last in ranges]


def day_ranges(days: Sequence[dt.date]) -> list[tuple[dt.date, dt.date]]:
    """Days, oldest first, as ranges of days that follow each other: none longer than DAYS_PER_RUN, the newest RUNS."""
    ranges: list[tuple[dt.date, dt.date]] = []
    for day in days:
        if ranges and day - ranges[-1][1] == dt.timedelta(days=1) and day - ranges[-1][0] < DAYS_PER_RUN:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges[-RUNS:]


def _unverified_and_blocked_days(settings: Settings) -> tuple[set[dt.date], set[dt.date]]:
    with migrated_session(settings) as client:
        found = {partition for layer in DERIVED_LAYERS for partition in unverified_partitions(client, layer)}
        blocked = {found.day for found in blocked_days(client, [layer.name for layer in DERIVED_LAYERS])}
    return {day for partition in found if (day := partition_day(partition))}, blocked


def _run_request(first: dt.date, last: dt.date) -> dg.RunRequest:
    if first == last:
        return dg.RunRequest(partition_key=first.isoformat())
    return dg.RunRequest(
        tags={
            "dagster/asset_partition_range_start": first.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
        }
    )


def _scheduled(context: dg.ScheduleEvaluationContext) -> dt.datetime:
    return context.scheduled_execution_time.astimezone(dt.UTC)
