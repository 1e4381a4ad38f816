"""When the layers are proved: the day that fills, each hour; the day before, once its late readings are in."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from iot_platform.defs.jobs import all_layers_job
from iot_platform.settings import Settings

START_STATUS = dg.DefaultScheduleStatus.RUNNING if Settings().automation_enabled else dg.DefaultScheduleStatus.STOPPED


@dg.schedule(
    job=all_layers_job,
    cron_schedule="10 * * * *",
    execution_timezone="UTC",
    default_status=START_STATUS,
    description="Each hour: today's layers. Readings that arrive afterwards are proved the next hour.",
)
def prove_today_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest(partition_key=_scheduled(context).date().isoformat())


@dg.schedule(
    job=all_layers_job,
    # Readings arrive up to six hours late.
    cron_schedule="30 6 * * *",
    execution_timezone="UTC",
    default_status=START_STATUS,
    description="Each morning: yesterday's layers, after the last late readings. Also mends a failed ingestion run.",
)
def prove_yesterday_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    yesterday = _scheduled(context).date() - dt.timedelta(days=1)
    if yesterday < Settings().first_day:
        return dg.SkipReason(f"{yesterday} is before the first day ({Settings().first_day}).")
    return dg.RunRequest(partition_key=yesterday.isoformat())


def _scheduled(context: dg.ScheduleEvaluationContext) -> dt.datetime:
    return context.scheduled_execution_time.astimezone(dt.UTC)
