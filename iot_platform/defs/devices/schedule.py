"""When the metadata is refreshed and checked."""

from __future__ import annotations

import dagster as dg

from iot_platform.defs.jobs import metadata_checks_job, refresh_metadata_job
from iot_platform.defs.start_status import SCHEDULE_STATUS
from iot_platform.defs.waiting_runs import unless_one_waits
from iot_platform.devices.sources.source import CSV
from iot_platform.layers.catalog import DEVICES
from iot_platform.settings import Settings


@dg.schedule(
    job=refresh_metadata_job,
    # By default every hour before the hourly proof, which then uses the new metadata.
    cron_schedule=Settings().metadata_cron,
    execution_timezone=Settings().metadata_timezone,
    default_status=SCHEDULE_STATUS,
    description="Reads the CSV, or what has changed in the CRM, and restates the affected days. Without changes it "
    "only restates days that an earlier refresh left unverified.",
)
def refresh_metadata_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    request = dg.RunRequest(run_config={"ops": {DEVICES: {"config": {"increment": True}}}})
    return unless_one_waits(context, refresh_metadata_schedule.name, request)


@dg.schedule(
    job=refresh_metadata_job,
    # By default at night, before the proof of the closed days.
    cron_schedule=Settings().metadata_compare_cron,
    execution_timezone=Settings().metadata_timezone,
    default_status=SCHEDULE_STATUS,
    description="Compares with the whole CRM, by default every night. Finds devices that were removed, which "
    "increments do not show. A CSV is always read completely and does not need it.",
)
def compare_metadata_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    if Settings().devices_source == CSV:
        return dg.SkipReason("The CSV is always read completely (refresh_metadata_schedule).")
    return unless_one_waits(context, compare_metadata_schedule.name, dg.RunRequest())


@dg.schedule(
    job=metadata_checks_job,
    # After the refresh: when the refresh has failed, its own checks were skipped.
    cron_schedule="5 * * * *",
    execution_timezone="UTC",
    default_status=SCHEDULE_STATUS,
    description="Checks every hour how old the metadata is and whether it follows the contract, even if its source is "
    "unreachable.",
)
def check_metadata_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    return unless_one_waits(context, check_metadata_schedule.name, dg.RunRequest())
