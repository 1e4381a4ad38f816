"""The derived layers as assets."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

from collections.abc import Sequence

import dagster as dg

from iot_platform.defs.layers.automation import after_passed_checks
from iot_platform.defs.layers.chart import add_coverage_charts, add_reject_charts, add_usage_charts
from iot_platform.defs.layers.proofs import prove_days
from iot_platform.defs.partitions import daily, in_runs_of_many_days
from iot_platform.defs.platform_asset import platform_asset
from iot_platform.defs.resources import ClickHouse
from iot_platform.layers.catalog import (
    BY_BUILDING_TYPE,
    BY_DEVICE_DAILY,
    BY_DEVICE_HOURLY,
    DEVICES,
    L2,
    L3,
    QUARANTINE,
    RAW_TABLE,
    Layer,
)

# Descriptions of the layers, for the operators who have to repair them.
DESCRIPTIONS = {
    L2: """
Valid readings, one per device and timestamp: if several arrived, the newest is kept. Rejected readings are in
`power_quarantine`.

The upper limits of readings are stored in the database (`iot-platform limits`). A limit per building type also depends
on the metadata. The lineage does not show that, because each refresh of the metadata would then mark all of L2 as
outdated. After a change of limits, materialize the days to which it should apply.
""",
    QUARANTINE: """
Every reading that L2 rejected, with its `reject_reason`: no_device, not_a_number, infinite, negative, too_old,
in_the_future, over_limit. L1 = L2 + quarantine + duplicates. Readings with an impossible
time belong to no day. Every run verifies them along with its days.
""",
    L3: """
Cleaned readings with the customer, building type and place that were valid at the time of the reading. If the device
was unknown then, `has_metadata` is 0 and there are no coordinates. A change of the metadata restates the affected days
automatically (`device_metadata`).
""",
    BY_DEVICE_HOURLY: """
Energy per hour and device, for dashboards. The average over several rows is `sum(total_kWh) / sum(readings)`,
never the average of `avg_kWh`. `local_hour` is the hour in the time zone of the site.
""",
    BY_BUILDING_TYPE: """
Energy per hour and building type, for dashboard tiles about all devices together. It has a few hundred rows per day,
whatever the number of devices. Sum its rows; do not count them.
""",
    BY_DEVICE_DAILY: """
Energy per day and device, for dashboard tiles about single devices over days (the map, the largest consumers). Sum its
rows; do not count them: a device has a row for each version of its metadata, and for a while several until merges
combine them.
""",
}

ON_CALL = """
**Materializing a day** compares it with the result of its definition (the view `{view}`) on `{source}`. If they differ,
the day is rebuilt and compared again. The metadata of the partition has the result (`proof`) and what was found.

**If it fails:** the layer above is unchanged and nothing is lost. Materialize `{upstream}` of that day, then this
layer. If it is rebuilt again and again, something writes into `{table}` by another route than the materialized views.
"""


ADD_CHARTS = {QUARANTINE: add_reject_charts, L3: add_coverage_charts, BY_DEVICE_HOURLY: add_usage_charts}


def _layer_asset(
    layer: Layer,
    group: str,
    tier: str,
    deps: Sequence[str],
    condition: dg.AutomationCondition[dg.AssetKey] | None = None,
) -> dg.AssetsDefinition:
    """The asset of a layer: materializing it verifies it."""
    on_call = ON_CALL.format(view=layer.view, source=layer.source, upstream=deps[0], table=layer.table)

    @platform_asset(
        layer.name,
        group=group,
        layer=layer.name.split("_", maxsplit=1)[0],
        kinds={"clickhouse", "sql", tier},
        made_by=[layer.table, layer.view],
        late_h=3,
        stale_h=12,
        description=f"{DESCRIPTIONS[layer].strip()}\n{on_call.rstrip()}",
        deps=deps,
        partitions_def=daily,
        backfill_policy=in_runs_of_many_days,
        automation_condition=condition,
    )
    def verified(context: dg.AssetExecutionContext, clickhouse: ClickHouse) -> None:
        prove_days(context, clickhouse, layer)
        if layer in ADD_CHARTS:
            ADD_CHARTS[layer](context, clickhouse)

    return verified


l2_power_cleaned = _layer_asset(L2, "l2_cleaned", "silver", [RAW_TABLE])
power_quarantine = _layer_asset(QUARANTINE, "l2_cleaned", "silver", [RAW_TABLE])
l3_power_joined = _layer_asset(L3, "l3_joined", "silver", [L2.name, DEVICES], after_passed_checks())
l4_power_agg_hourly = _layer_asset(BY_DEVICE_HOURLY, "l4_marts", "gold", [L3.name], after_passed_checks())
l4_power_by_building_type_hourly = _layer_asset(
    BY_BUILDING_TYPE, "l4_marts", "gold", [BY_DEVICE_HOURLY.name], after_passed_checks()
)
l4_power_by_device_daily = _layer_asset(
    BY_DEVICE_DAILY, "l4_marts", "gold", [BY_DEVICE_HOURLY.name], after_passed_checks()
)
