"""The sensor that has a changed metadata CSV read at once."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from iot_platform.defs.jobs import refresh_metadata_job
from iot_platform.defs.start_status import SENSOR_STATUS
from iot_platform.devices.sources.configured import csv_source
from iot_platform.devices.sources.source import CSV
from iot_platform.errors import SourceError
from iot_platform.security.secret_values import hide_secrets_in_errors
from iot_platform.settings import Settings

MINIMUM_INTERVAL_S = 30
# A file that was written to just now may not be whole yet; half of it would close devices.
SETTLED = dt.timedelta(seconds=5)


@dg.sensor(
    job=refresh_metadata_job,
    minimum_interval_seconds=MINIMUM_INTERVAL_S,
    default_status=SENSOR_STATUS,
    description="Asks for a refresh of the metadata when the content of its CSV has changed. The cursor is the SHA-256 "
    "of the content it has last asked for; reset, it asks once more, and nothing is loaded twice. A CSV that is away "
    "is skipped with the reason: the last good metadata stays, and metadata_source_is_fresh tells how old it is.",
)
def metadata_csv_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request a refresh when the content is another one than that of the cursor."""
    with hide_secrets_in_errors():
        return _compare(context)


def _compare(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    settings = Settings()
    if settings.devices_source != CSV:
        return dg.SkipReason(f"The metadata comes from another source (IOT_DEVICES_SOURCE={settings.devices_source}).")
    from iot_platform.devices.sources.csv_file import fingerprint

    source = csv_source(settings)
    try:
        found = fingerprint(source.content())
        written_at = source.written_at()
    except SourceError as error:
        context.log.warning(str(error))
        return dg.SkipReason(str(error))
    if found == context.cursor:
        return dg.SkipReason(f"{source.location} has not changed.")
    # Asked after reading: whatever is written from now on makes another content.
    if written_at and dt.timedelta() <= _now() - written_at < SETTLED:
        return dg.SkipReason(f"{source.location} is being written; the next tick looks again.")
    # No run_key: a file that is put back to an older content has to be read again, and its key would be known.
    return dg.SensorResult([dg.RunRequest()], cursor=found)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
