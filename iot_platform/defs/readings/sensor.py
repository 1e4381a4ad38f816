"""The sensor that requests the ingestion of the newest simulated readings, and catches up after a downtime."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg

from iot_platform.defs.dagster_internals import SENSOR_NAME_TAG, RunRecord
from iot_platform.defs.jobs import OWN_RUNS, ingestion_job
from iot_platform.defs.readings.windows import Window, day_of_window, next_window, start_of_arrivals, start_of_day
from iot_platform.defs.run_statuses import NOT_ENDED
from iot_platform.defs.start_status import SENSOR_STATUS
from iot_platform.defs.times import utc_now
from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import RAW_TABLE
from iot_platform.services.partition_tags import PARTITION
from iot_platform.settings import Settings

MINIMUM_INTERVAL_S = 60
NOT_DONE = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.sensor(
    job=ingestion_job,
    minimum_interval_seconds=MINIMUM_INTERVAL_S,
    default_status=SENSOR_STATUS,
    description="Requests an ingestion run for the readings that arrived since the last one, every "
    "`IOT_INGESTION_INTERVAL_S` seconds. While an ingestion run waits or runs, nothing is requested: the next window "
    "covers that time, too. A window whose run failed or was canceled is requested again, before later ones. After a "
    "downtime it requests one day per run until it has caught up. The cursor is the end of the last window. After a "
    "reset it starts with today; readings that are already stored are not added twice. The views carry new readings "
    "through all layers at once, and the hourly proof verifies them.",
)
def simulated_ingestion_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request the last window again if its run failed, else the oldest window between the cursor and now."""
    settings = Settings()
    if not settings.simulator_enabled:
        return dg.SkipReason("The simulator is switched off (IOT_SIMULATOR_ENABLED).")
    if context.instance.get_runs(_ingestion_runs(statuses=NOT_ENDED), limit=1):
        return dg.SkipReason("An ingestion run waits or runs. The next window covers the readings since then.")
    now = utc_now()
    failed = _last_run_if_not_done(context.instance)
    if failed and _day_of(failed) >= settings.first_day:
        wait_s = settings.ingestion_interval_s - (now - failed.update_timestamp).total_seconds()
        if wait_s > 0:
            return dg.SkipReason(f"The last ingestion run failed. Its window is requested again in {wait_s:.0f} s.")
        return dg.SensorResult(run_requests=[_repeated(failed.dagster_run)], cursor=context.cursor)
    start = _cursor_time(context.cursor) if context.cursor else start_of_day(now)
    start = max(start, start_of_arrivals(settings.first_day))
    window = next_window(start, now, settings.simulator_interval_s, settings.ingestion_interval_s)
    if window is None:
        return dg.SkipReason(
            f"Less than {settings.ingestion_interval_s} s of readings (IOT_INGESTION_INTERVAL_S) have arrived since "
            f"{start.isoformat()}."
        )
    return dg.SensorResult(run_requests=[_run_request(window)], cursor=window[1].isoformat())


def _ingestion_runs(**conditions: Any) -> dg.RunsFilter:
    return dg.RunsFilter(job_name=ingestion_job.name, tags=OWN_RUNS | conditions.pop("tags", {}), **conditions)


def _last_run_if_not_done(instance: dg.DagsterInstance) -> RunRecord | None:
    """The newest run of this sensor (or its newest retry), if it failed or was canceled."""
    wanted = _ingestion_runs(tags={SENSOR_NAME_TAG: simulated_ingestion_sensor.name})
    newest = instance.get_run_records(wanted, limit=1)
    return newest[0] if newest and newest[0].dagster_run.status in NOT_DONE else None


def _day_of(record: RunRecord) -> dt.date:
    return dt.date.fromisoformat(record.dagster_run.tags[PARTITION])


def _repeated(run: dg.DagsterRun) -> dg.RunRequest:
    # The key of the request differs from that of the run, because Dagster launches only one run per key.
    return dg.RunRequest(run_key=f"after {run.run_id}", partition_key=run.tags[PARTITION], run_config=run.run_config)


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
