"""The sensor that requests the ingestion of the newest simulated readings, and catches up after a downtime."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from iot_platform.defs.jobs import ingestion_job
from iot_platform.defs.readings.windows import Window, day_of_window, next_window, start_of_arrivals, start_of_day
from iot_platform.defs.run_statuses import NOT_ENDED
from iot_platform.defs.start_status import SENSOR_STATUS
from iot_platform.defs.times import utc_now
from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.settings import Settings

MINIMUM_INTERVAL_S = 60


@dg.sensor(
    job=ingestion_job,
    minimum_interval_seconds=MINIMUM_INTERVAL_S,
    default_status=SENSOR_STATUS,
    description="Requests an ingestion run for the readings that arrived since the last one, every "
    "`IOT_INGESTION_INTERVAL_S` seconds. While an ingestion run waits or runs, nothing is requested: the next window "
    "covers that time, too. After a downtime it requests one day per run until it has caught up. The cursor is the end "
    "of the last window. After a reset it starts with today; readings that are already stored are not added twice. The "
    "views carry new readings through all layers at once, and the hourly proof verifies them.",
)
def simulated_ingestion_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request the oldest window between the cursor and now."""
    settings = Settings()
    if not settings.simulator_enabled:
        return dg.SkipReason("The simulator is switched off (IOT_SIMULATOR_ENABLED).")
    if context.instance.get_runs(dg.RunsFilter(job_name=ingestion_job.name, statuses=NOT_ENDED), limit=1):
        return dg.SkipReason("An ingestion run waits or runs. The next window covers the readings since then.")
    now = utc_now()
    start = _cursor_time(context.cursor) if context.cursor else start_of_day(now)
    start = max(start, start_of_arrivals(settings.first_day))
    window = next_window(start, now, settings.simulator_interval_s, settings.ingestion_interval_s)
    if window is None:
        return dg.SkipReason(
            f"Less than {settings.ingestion_interval_s} s of readings (IOT_INGESTION_INTERVAL_S) have arrived since "
            f"{start.isoformat()}."
        )
    return dg.SensorResult(run_requests=[_run_request(window)], cursor=window[1].isoformat())


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
            f"The cursor {cursor!r} of simulated_ingestion_sensor is not an ISO time. Nothing was requested. "
            "Reset the cursor on the sensor's page: it starts again with today, and adds nothing twice."
        ) from error
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)
