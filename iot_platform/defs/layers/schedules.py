"""When the layers are verified: today every hour, closed days every morning, after their late readings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import dagster as dg
from clickhouse_connect.driver.exceptions import Error

from iot_platform.clickhouse.session import migrated_session
from iot_platform.defs.jobs import LAST, NIGHTLY, PRIORITY, SOON, all_layers_job
from iot_platform.defs.start_status import SCHEDULE_STATUS
from iot_platform.defs.times import utc_now
from iot_platform.defs.waiting_runs import unless_one_waits
from iot_platform.errors import ServerError
from iot_platform.layers.blocked_days import blocked_days
from iot_platform.layers.catalog import DERIVED_LAYERS, partition_day
from iot_platform.layers.status import unverified_by_layer
from iot_platform.services.partition_tags import range_tags
from iot_platform.settings import Settings

# The days are split into runs that are short enough to be repeated. The next nights verify what is left.
MAX_RANGE, MAX_RANGES = dt.timedelta(days=31), 12
# While ClickHouse does not answer, the tick fails, and Dagster evaluates it again every minute. After this time it
# requests what needs no answer. (max_tick_retries in dagster.yaml must allow for more minutes.)
RETRY_FOR = dt.timedelta(hours=2)


@dg.schedule(
    job=all_layers_job,
    cron_schedule=Settings().prove_today_cron,
    execution_timezone="UTC",
    default_status=SCHEDULE_STATUS,
    description="Verifies today's layers, by default every hour. Later readings are verified the next time.",
)
def prove_today_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    request = dg.RunRequest(partition_key=_scheduled(context).date().isoformat(), tags={PRIORITY: SOON})
    return unless_one_waits(context, prove_today_schedule.name, request)


@dg.schedule(
    job=all_layers_job,
    # By default in the morning: readings arrive up to six hours late.
    cron_schedule=Settings().prove_closed_days_cron,
    execution_timezone="UTC",
    default_status=SCHEDULE_STATUS,
    description="Verifies yesterday's layers after late readings, and every older unverified day: readings came late, "
    "metadata or limits changed, or somebody wrote into a layer. By default every morning. Also repeats failed "
    "ingestion. While ClickHouse does not answer, the tick is retried for two hours; then only yesterday is requested.",
)
def prove_closed_days_schedule(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    yesterday = _scheduled(context).date() - dt.timedelta(days=1)
    settings = Settings()
    if yesterday < settings.first_day:
        return dg.SkipReason(f"{yesterday} is before the first day ({settings.first_day}).")
    try:
        unverified, blocked = _unverified_and_blocked_days(settings)
    except (Error, ServerError) as error:
        if utc_now() - _scheduled(context) < RETRY_FOR:
            raise
        context.log.warning(f"Only {yesterday} is requested, older unverified days the next night: {error}")
        unverified, blocked = set(), set()
    days = {yesterday} | {day for day in unverified if settings.first_day <= day < yesterday}
    # A failed check stops a run for all of its days, so each day with a failed check gets a run of its own.
    ranges = day_ranges(sorted(days - blocked)) + [(day, day) for day in sorted(days & blocked)[-MAX_RANGES:]]
    return [_run_request(first, last) for first, last in ranges]


def day_ranges(days: Sequence[dt.date]) -> list[tuple[dt.date, dt.date]]:
    """Sorted days as ranges of consecutive days of at most MAX_RANGE; the newest MAX_RANGES ranges."""
    ranges: list[tuple[dt.date, dt.date]] = []
    for day in days:
        if ranges and day - ranges[-1][1] == dt.timedelta(days=1) and day - ranges[-1][0] < MAX_RANGE:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges[-MAX_RANGES:]


def _unverified_and_blocked_days(settings: Settings) -> tuple[set[dt.date], set[dt.date]]:
    with migrated_session(settings) as client:
        found = set().union(*unverified_by_layer(client, DERIVED_LAYERS).values())
        blocked = {found.day for found in blocked_days(client, [layer.name for layer in DERIVED_LAYERS])}
    return {day for partition in found if (day := partition_day(partition))}, blocked


def _run_request(first: dt.date, last: dt.date) -> dg.RunRequest:
    tags = {PRIORITY: LAST, NIGHTLY: "closed_days"}
    if first == last:
        return dg.RunRequest(partition_key=first.isoformat(), tags=tags)
    return dg.RunRequest(tags={**tags, **range_tags(first, last)})


def _scheduled(context: dg.ScheduleEvaluationContext) -> dt.datetime:
    return context.scheduled_execution_time.astimezone(dt.UTC)
