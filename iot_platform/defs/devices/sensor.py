"""The sensor that refreshes the metadata as soon as its CSV has changed."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from iot_platform.defs.jobs import refresh_metadata_job
from iot_platform.defs.start_status import SENSOR_STATUS
from iot_platform.defs.times import utc_now
from iot_platform.devices.sources.configured import device_csv_source
from iot_platform.devices.sources.source import CSV
from iot_platform.errors import SourceError
from iot_platform.security.secret_values import hide_secrets_in_errors
from iot_platform.settings import Settings

MINIMUM_INTERVAL_S = 30
# A file that was written to just now may be incomplete, and half of a file would close devices.
SETTLED = dt.timedelta(seconds=5)


@dg.sensor(
    job=refresh_metadata_job,
    minimum_interval_seconds=MINIMUM_INTERVAL_S,
    default_status=SENSOR_STATUS,
    description="Requests a refresh of the metadata when the content of its CSV has changed. The cursor is the "
    "SHA-256 of the content at the last request. After a reset it requests once more; nothing is stored twice. If the "
    "CSV cannot be read, it skips with the reason: the last good metadata stays in use, and metadata_source_is_fresh "
    "shows its age.",
)
def metadata_csv_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request a refresh when the content differs from that of the cursor."""
    with hide_secrets_in_errors():
        return _compare(context)


def _compare(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    settings = Settings()
    if settings.devices_source != CSV:
        return dg.SkipReason(f"The metadata comes from another source (IOT_DEVICES_SOURCE={settings.devices_source}).")
    from iot_platform.devices.sources.csv_file import content_sha256

    source = device_csv_source(settings)
    try:
        found = content_sha256(source.content())
        written_at = source.written_at()
    except SourceError as error:
        context.log.warning(str(error))
        return dg.SkipReason(str(error))
    if found == context.cursor:
        return dg.SkipReason(f"{source.location} has not changed.")
    # Checked after reading: anything written from now on changes the content.
    if written_at and dt.timedelta() <= utc_now() - written_at < SETTLED:
        return dg.SkipReason(f"{source.location} is being written. The next tick checks again.")
    # No run_key: a file that goes back to an older content must be read again, and its key would already be used.
    return dg.SensorResult([dg.RunRequest()], cursor=found)
