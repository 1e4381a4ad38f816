"""The derived layers as assets."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

from collections.abc import Sequence

import dagster as dg

from iot_platform.defs import tables
from iot_platform.defs.layers.chart import add_charts
from iot_platform.defs.layers.proofs import prove_days
from iot_platform.defs.partitions import daily, in_one_run
from iot_platform.defs.resources import ClickHouse
from iot_platform.layers.model import L2, L3, L4, QUARANTINE, RAW_TABLE, Layer

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
never the average of `avg_kWh`.
""",
}

ON_CALL = """
**Materializing a day** compares it with what its definition (the view `{view}`) makes of `{source}`; if they differ,
the day is rebuilt and compared again. The outcome is in the metadata of the partition: `proof`, and what was found.

**When it is red:** the layer above is untouched and nothing is lost. Materialize `{source}` of that day, then this.
Rebuilt again and again: something writes into `{table}` past the chain.
"""


def _proved_asset(layer: Layer, tier: str, deps: Sequence[str]) -> dg.AssetsDefinition:
    """The asset of a layer: to materialize it is to prove it."""
    on_call = ON_CALL.format(view=layer.view, source=layer.source, table=layer.table)

    @dg.asset(
        name=layer.name,
        description=f"{DESCRIPTIONS[layer].strip()}\n{on_call.rstrip()}",
        deps=deps,
        group_name="power",
        kinds={"clickhouse", "sql", tier},
        owners=["team:data-platform"],
        tags={"layer": layer.name.split("_", maxsplit=1)[0]},
        code_version=tables.code_version(layer.table, layer.view),
        metadata={"dagster/table_name": tables.table_name(layer.name)},
        partitions_def=daily,
        backfill_policy=in_one_run,
    )
    def proved(context: dg.AssetExecutionContext, clickhouse: ClickHouse) -> None:
        prove_days(context, clickhouse, layer)
        if layer is L4:
            add_charts(context, clickhouse)

    return proved


l2_power_cleaned = _proved_asset(L2, "silver", [RAW_TABLE])
power_quarantine = _proved_asset(QUARANTINE, "silver", [RAW_TABLE])
l3_power_joined = _proved_asset(L3, "silver", [L2.name, "device_metadata"])
l4_power_agg_hourly = _proved_asset(L4, "gold", [L3.name])
