"""The derived layers as assets."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

from collections.abc import Sequence

import dagster as dg

from iot_platform.defs.layers.automation import follows_when_green
from iot_platform.defs.layers.chart import add_coverage_charts, add_reject_charts, add_usage_charts
from iot_platform.defs.layers.proofs import prove_days
from iot_platform.defs.partitions import daily, in_runs_of_many_days
from iot_platform.defs.platform_asset import platform_asset
from iot_platform.defs.resources import ClickHouse
from iot_platform.layers.catalog import BY_BUILDING_TYPE, BY_DEVICE, L2, L3, L4, QUARANTINE, RAW_TABLE, Layer

# What a layer is, for whoever finds it red at night.
DESCRIPTIONS = {
    L2: """
Valid readings, one per device and timestamp: of several the newest arrival wins. What is refused is in
`power_quarantine`.

The upper limit of a reading is data (`iot-platform limits`). A limit per building type also looks at the metadata; that
is not drawn as lineage, or each refresh of the metadata would mark all of L2 as outdated. After a change of limits
materialize the days that should follow it.
""",
    QUARANTINE: """
Every reading that L2 refused, with its `reject_reason`: no_device, not_a_number, infinite, negative, too_old,
in_the_future, over_limit. L1 = L2 + quarantine + duplicates. Readings whose time cannot be true belong to no day; each
run proves them along with its days.
""",
    L3: """
Cleaned readings with the customer, building type and place that were valid at their time. A device that was not known
then has `has_metadata` = 0 and no coordinates. A change of the metadata
restates the days that it touches by itself (`device_metadata`).
""",
    L4: """
Energy per hour and device: what dashboards read. The average over several rows is `sum(total_kWh) / sum(readings)`,
never the average of `avg_kWh`. `local_hour` is the hour on the clock of the site.
""",
    BY_BUILDING_TYPE: """
Energy per hour and building type, for what dashboards ask of all devices together: a few hundred rows a day however
many devices there are. Its rows are summed, never counted.
""",
    BY_DEVICE: """
Energy per day and device, for what dashboards ask of each device over days (the map, the largest consumers). Its rows
are summed, never counted: a device has one per place and customer.
""",
}

ON_CALL = """
**Materializing a day** compares it with what its definition (the view `{view}`) makes of `{source}`; if they differ,
the day is rebuilt and compared again. The outcome is in the metadata of the partition: `proof`, and what was found.

**When it is red:** the layer above is untouched and nothing is lost. Materialize `{source}` of that day, then this.
Rebuilt again and again: something writes into `{table}` past the chain.
"""


ADD_CHARTS = {QUARANTINE: add_reject_charts, L3: add_coverage_charts, L4: add_usage_charts}


def _proved_asset(
    layer: Layer,
    group: str,
    tier: str,
    deps: Sequence[str],
    condition: dg.AutomationCondition[dg.AssetKey] | None = None,
) -> dg.AssetsDefinition:
    """The asset of a layer: to materialize it is to prove it."""
    on_call = ON_CALL.format(view=layer.view, source=layer.source, table=layer.table)

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
    def proved(context: dg.AssetExecutionContext, clickhouse: ClickHouse) -> None:
        prove_days(context, clickhouse, layer)
        if layer in ADD_CHARTS:
            ADD_CHARTS[layer](context, clickhouse)

    return proved


l2_power_cleaned = _proved_asset(L2, "l2_cleaned", "silver", [RAW_TABLE])
power_quarantine = _proved_asset(QUARANTINE, "l2_cleaned", "silver", [RAW_TABLE])
l3_power_joined = _proved_asset(L3, "l3_joined", "silver", [L2.name, "device_metadata"], follows_when_green())
l4_power_agg_hourly = _proved_asset(L4, "l4_marts", "gold", [L3.name], follows_when_green())
l4_power_by_building_type_hourly = _proved_asset(BY_BUILDING_TYPE, "l4_marts", "gold", [L3.name], follows_when_green())
l4_power_by_device_daily = _proved_asset(BY_DEVICE, "l4_marts", "gold", [L3.name], follows_when_green())
