"""Checks of what is in L2 and L3. Each is named as the fact that it states; its description tells what to do."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

import dagster as dg

from iot_platform.defs.layers.findings import find
from iot_platform.defs.resources import ClickHouse
from iot_platform.layers.model import L2, L3, RAW_TABLE

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


@dg.asset_check(
    asset=L2.name,
    blocking=True,
    description="0 <= power_usage_kWh < the device's limit. **Red:** somebody wrote into L2 past the chain, or a limit "
    "was lowered; L3 is held back. Materialize `l2_power_cleaned` of the day: it is rebuilt from L1.",
)
def every_reading_is_within_limits(
    context: dg.AssetCheckExecutionContext, clickhouse: ClickHouse
) -> dg.AssetCheckResult:
    """No reading of L2 is negative or reaches the limit of its device."""
    found = find(context, clickhouse, "every_reading_is_within_limits", L2.table)
    return dg.AssetCheckResult(
        passed=not found.offending,
        severity=ERROR,
        description=f"{found.offending:,} of {found.readings:,} readings are outside their limits ({found.scope}).",
        metadata=found.metadata(allowed_readings=0),
    )


@dg.asset_check(
    asset=L2.name,
    blocking=True,
    description="Each reading has a finite value, a device and a time. **Red:** somebody wrote into L2 past the chain; "
    "L3 is held back. Materialize `l2_power_cleaned` of the day: it is rebuilt from L1.",
)
def no_reading_is_null_or_nan(context: dg.AssetCheckExecutionContext, clickhouse: ClickHouse) -> dg.AssetCheckResult:
    """No reading of L2 is without value, device or time."""
    found = find(context, clickhouse, "no_reading_is_null_or_nan", L2.table)
    return dg.AssetCheckResult(
        passed=not found.offending,
        severity=ERROR,
        description=f"{found.offending:,} of {found.readings:,} readings say nothing ({found.scope}).",
        metadata=found.metadata(allowed_readings=0),
    )


@dg.asset_check(
    asset=L2.name,
    description="Not more than a set share (`IOT_MAX_REJECT_RATE`) of what arrived is in quarantine. **Warns only:** "
    "what L2 holds is right. `offenders` tells the reasons: much over_limit means limits that are too low for these "
    "buildings (`iot-platform limits`), anything else a source that sends nonsense.",
)
def reject_rate_is_normal(context: dg.AssetCheckExecutionContext, clickhouse: ClickHouse) -> dg.AssetCheckResult:
    """L2 refuses no larger share of what arrived than the settings call normal."""
    allowed = clickhouse.settings().max_reject_rate
    found = find(context, clickhouse, "reject_rate_is_normal", RAW_TABLE)
    return dg.AssetCheckResult(
        passed=found.share <= allowed,
        severity=WARN,
        description=f"{found.share:.2%} of {found.readings:,} readings were refused; up to {allowed:.2%} is normal "
        f"({found.scope}).",
        metadata=found.metadata(allowed_share=allowed),
    )


@dg.asset_check(
    asset=L3.name,
    blocking=True,
    description="The device of each reading was known at its time. **Warns** when some were not; **red**, and L4 held "
    "back, when fewer than `IOT_MIN_METADATA_SHARE` of the readings have metadata. Add the devices in `offenders` to "
    "the metadata CSV, materialize `device_metadata`, then `l3_power_joined` of the days.",
)
def every_reading_has_metadata(context: dg.AssetCheckExecutionContext, clickhouse: ClickHouse) -> dg.AssetCheckResult:
    """Every reading of L3 has the metadata of its device."""
    required = clickhouse.settings().min_metadata_share
    found = find(context, clickhouse, "every_reading_has_metadata", L3.table)
    share = 1 - found.share
    return dg.AssetCheckResult(
        passed=not found.offending,
        severity=ERROR if share < required else WARN,
        description=f"{found.offending:,} of {found.readings:,} readings have no metadata; {share:.2%} have some, "
        f"{required:.2%} are required ({found.scope}).",
        metadata=found.metadata(share_with_metadata=round(share, 6), required_share=required),
    )
