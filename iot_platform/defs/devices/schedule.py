"""When the metadata is refreshed."""

from __future__ import annotations

import dagster as dg

from iot_platform.defs.jobs import refresh_metadata_job
from iot_platform.settings import Settings

START_STATUS = dg.DefaultScheduleStatus.RUNNING if Settings().automation_enabled else dg.DefaultScheduleStatus.STOPPED

refresh_metadata_schedule = dg.ScheduleDefinition(
    name="refresh_metadata_schedule",
    job=refresh_metadata_job,
    # Before the hourly proof, so that it already sees the new metadata.
    cron_schedule="0 * * * *",
    execution_timezone="UTC",
    default_status=START_STATUS,
    description="Each hour: read the metadata CSV and restate the days it changes; a file without changes changes "
    "nothing, but days that an earlier refresh left open are restated.",
)
