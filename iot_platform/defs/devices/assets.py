"""Device metadata from its source: a CSV or a CRM."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

import dagster as dg

from iot_platform.defs.platform_asset import platform_asset
from iot_platform.defs.resources import ClickHouse
from iot_platform.devices.sources.configured import SOURCES
from iot_platform.layers.catalog import DEVICES
from iot_platform.security.secret_values import hide_secrets_in_errors
from iot_platform.settings import Settings

# Dagster's plain types, not dg.Config: the fields of dg.Config accept {"env": NAME}, which would reveal any secret.
METADATA_SOURCE = {
    "source": dg.Field(
        dg.Noneable(dg.Enum("MetadataSource", [dg.EnumValue(name) for name in SOURCES])),
        is_required=False,
        description="Source of the metadata for this run. Unset: IOT_DEVICES_SOURCE.",
    ),
    "increment": dg.Field(
        bool,
        default_value=False,
        description="Read only what has changed since the last good read, if the source supports it. Closes no device.",
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
    """The customer, building type and place of each meter, with their history.

    A version is valid from `valid_from` (a whole UTC hour) until the next one of the same device.

    **Materializing** reads the source (`IOT_DEVICES_SOURCE`), checks every row, and adds a version for each new or
    changed device. `csv`: the CSV at `IOT_DEVICES_CSV`, a path or URL, else `devices.csv` in the home (the simulator
    writes it if it is missing). `crm`: all objects of the CRM; the hourly schedule reads only those that have changed.
    A device that is no longer in the CSV or in the CRM is closed from the current hour on; its history stays.
    (`IOT_DEVICES_CSV_COMPLETE=false`: the CSV closes nothing.)

    Then it restates L3 and L4 of the days whose readings get other metadata, and of no other day. (Also L2 and the
    quarantine, if a limit per building type changes with it.) The run's metadata lists the changes, the days, and each
    customer's kWh on these days before and after. Readings that arrived meanwhile are part of the kWh after.

    **If it fails**, the message says which case it is:

    - The source cannot be read (the CSV is missing, the CRM is down, limits its rate or refuses the token), breaks the
      contract (the first rows are named), or lacks so many devices that it looks truncated (`IOT_MAX_CLOSED_SHARE`).
      Nothing was changed: the last good metadata stays in use, and the next hour retries. `metadata_source_is_fresh`
      shows how old it is. Remove the cause and materialize again.
    - Days could not be restated. The new metadata is stored and in use, and these days stay unverified. Remove the
      named cause and materialize again, even if the source is unchanged: it continues with the unverified days.
    """
    from iot_platform.defs.devices.refresh import refresh

    with hide_secrets_in_errors():
        refresh(context, clickhouse)
