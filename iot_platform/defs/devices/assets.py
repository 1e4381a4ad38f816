"""Device metadata from its source: a CSV or a CRM."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

import dagster as dg

from iot_platform.defs.platform_asset import platform_asset
from iot_platform.defs.resources import ClickHouse
from iot_platform.devices.sources.configured import SOURCES
from iot_platform.security.secret_values import hide_secrets_in_errors
from iot_platform.settings import Settings

DEVICES = "device_metadata"


# Plain types of Dagster, not dg.Config: its fields take {"env": NAME}, and would show any secret of the process.
METADATA_SOURCE = {
    "source": dg.Field(
        dg.Noneable(dg.Enum("MetadataSource", [dg.EnumValue(name) for name in SOURCES])),
        is_required=False,
        description="Where the run reads the metadata from; unset: IOT_DEVICES_SOURCE.",
    ),
    "increment": dg.Field(
        bool,
        default_value=False,
        description="Only what has changed since the last good read, where the source can tell; closes nothing then.",
    ),
}


@platform_asset(
    DEVICES,
    group="metadata",
    layer="metadata",
    kinds={"clickhouse", "pandera", Settings().devices_source},
    made_by=[DEVICES],
    late_h=3,
    stale_h=26,
    config_schema=METADATA_SOURCE,
)
def device_metadata(context: dg.AssetExecutionContext, clickhouse: ClickHouse) -> None:
    """Whose meter it is, in what kind of building, and where: with its history.

    A version holds from `valid_from` (a whole UTC hour) until the next one of the same device.

    **Materializing** reads the source (`IOT_DEVICES_SOURCE`), checks every row, and adds a version for each device that
    is new or has changed. `csv`: the CSV at `IOT_DEVICES_CSV`, a path or URL, else `devices.csv` in the home (the
    simulator writes its own there when the file is missing). `crm`: all objects of the CRM; each hour the schedule
    reads only those that have changed. A device that the CSV (`IOT_DEVICES_CSV_COMPLETE=false`: nothing is closed) or
    the whole CRM no longer lists is closed from the current hour on, its history stays.

    Then it restates the days whose readings get other metadata, and no others, in L3 and L4 (in L2 and the quarantine
    where a limit per building type changes with it). The run's metadata tell what has changed, which days, and each
    customer's kWh on these days before and after; readings that arrived meanwhile are part of the kWh after.

    **When it is red**, the message says which of these it is:

    - The source cannot be read (the CSV is missing, the CRM is down, limits its rate or refuses the token), breaks the
      contract (the first rows are named), or lacks so many devices that it looks cut off (`IOT_MAX_CLOSED_SHARE`).
      Nothing was changed: the last good metadata stays in use, and the next hour tries again.
      `metadata_source_is_fresh` tells how old it is. Remove the cause and materialize again.
    - Days could not be restated. The new metadata is stored and in use, and these days stay open. Remove the cause
      that is named and materialize again, also with an unchanged source: it goes on with the days that are open.
    """
    from iot_platform.defs.devices.refresh import refresh

    with hide_secrets_in_errors():
        refresh(context, clickhouse)
