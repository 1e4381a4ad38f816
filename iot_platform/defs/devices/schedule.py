"""When the metadata is refreshed and checked."""

from __future__ import annotations

import dagster as dg

from iot_platform.defs.devices.assets import DEVICES
from iot_platform.defs.jobs import metadata_checks_job, refresh_metadata_job
from iot_platform.defs.start_status import SCHEDULE_STATUS
from iot_platform.devices.sources.source import CSV
from iot_platform.settings import Settings


@dg.schedule(
    job=refresh_metadata_job,
    # By default each hour before the proof, so that it already sees the new metadata.
    cron_schedule=Settings().metadata_cron,
    execution_timezone=Settings().metadata_timezone,
    default_status=SCHEDULE_STATUS,
    description="Read the CSV, or what has changed in the CRM, and restate the days it changes. Without changes "
    "nothing is changed, but days that an earlier refresh left open are restated.",
)
def refresh_metadata_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest(run_config={"ops": {DEVICES: {"config": {"increment": True}}}})


@dg.schedule(
    job=refresh_metadata_job,
    # By default at night, before the morning's proof of all open days.
    cron_schedule=Settings().metadata_compare_cron,
    execution_timezone=Settings().metadata_timezone,
    default_status=SCHEDULE_STATUS,
    description="Compare with all of the CRM, each night by default. Finds the devices that are not there any more, "
    "which no increment tells. A CSV is read as a whole each time, and needs no night.",
)
def compare_metadata_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    if Settings().devices_source == CSV:
        return dg.SkipReason("The CSV is read as a whole each time (refresh_metadata_schedule).")
    return dg.RunRequest()


@dg.schedule(
    job=metadata_checks_job,
    # After the refresh: where it has failed, its own checks were skipped.
    cron_schedule="5 * * * *",
    execution_timezone="UTC",
    default_status=SCHEDULE_STATUS,
    description="Each hour: how old the metadata is, also while its source is away, and whether it keeps the contract.",
)
def check_metadata_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest()
