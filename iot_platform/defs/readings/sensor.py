"""The sensor that has the newest simulated readings ingested, and catches up after a downtime."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from iot_platform.defs.jobs import ingestion_job
from iot_platform.defs.readings.windows import Window, day_of_window, next_windows, start_of_arrivals, start_of_day
from iot_platform.defs.start_status import SENSOR_STATUS
from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.settings import Settings

MINIMUM_INTERVAL_S = 60


@dg.sensor(
    job=ingestion_job,
    minimum_interval_seconds=MINIMUM_INTERVAL_S,
    default_status=SENSOR_STATUS,
    description="Asks for one ingestion run per window of arrivals since the last one: each minute the newest; "
    "after a downtime windows of some hours, a few at each tick, until it has caught up. The cursor is the end of the "
    "last window. Reset, it starts again with today: what is already in is not added twice. The views carry new "
    "readings through all layers at once; the hourly proof then confirms them.",
)
def simulated_ingestion_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request the windows from the cursor up to now."""
    settings = Settings()
    if not settings.simulator_enabled:
        return dg.SkipReason("The simulator is switched off (IOT_SIMULATOR_ENABLED).")
    now = _now()
    start = _cursor_time(context.cursor) if context.cursor else start_of_day(now)
    start = max(start, start_of_arrivals(settings.first_day))
    windows = list(next_windows(start, now, settings.simulator_interval_s))
    if not windows:
        return dg.SkipReason(f"No reading has arrived since {start.isoformat()}.")
    return dg.SensorResult(run_requests=[_run_request(window) for window in windows], cursor=windows[-1][1].isoformat())


def _run_request(window: Window) -> dg.RunRequest:
    start, end = (time.isoformat() for time in window)
    return dg.RunRequest(
        run_key=f"{start}/{end}",
        partition_key=day_of_window(window[0]).isoformat(),
        run_config={"ops": {RAW_TABLE: {"config": {"start": start, "end": end}}}},
    )


def _cursor_time(cursor: str) -> dt.datetime:
    try:
        time = dt.datetime.fromisoformat(cursor)
    except ValueError as error:
        raise PlatformError(
            f"The cursor {cursor!r} of simulated_ingestion_sensor is no ISO time. Nothing was requested. "
            "Reset the cursor on the sensor's page; it starts again with today, and adds nothing twice."
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
