"""Whether sensors and schedules are switched on at the start (IOT_AUTOMATION_ENABLED)."""

from __future__ import annotations

import dagster as dg

from iot_platform.settings import Settings

_ENABLED = Settings().automation_enabled

SENSOR_STATUS = dg.DefaultSensorStatus.RUNNING if _ENABLED else dg.DefaultSensorStatus.STOPPED
SCHEDULE_STATUS = dg.DefaultScheduleStatus.RUNNING if _ENABLED else dg.DefaultScheduleStatus.STOPPED
