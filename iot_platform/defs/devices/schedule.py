"""When the metadata is refreshed."""

from __future__ import annotations

import dagster as dg

from iot_platform.defs.jobs import refresh_metadata_job
from iot_platform.settings import Settings

START_STATUS = dg.DefaultScheduleStatus.RUNNING if Settings().automation_enabled else dg.DefaultScheduleStatus.STOPPED

refresh_metadata_schedule = dg.ScheduleDefinition(
    name="refresh_metadata_schedule",
    job=refresh_metadata_job,
    # By default each hour before the proof, so that it already sees the new metadata.
    cron_schedule=Settings().metadata_cron,
    execution_timezone=Settings().metadata_timezone,
    default_status=START_STATUS,
    description="Read the metadata CSV and restate the days it changes; a file without changes changes "
    "nothing, but days that an earlier refresh left open are restated.",
)
