"""What follows by itself: L3 and L4 after the layer above, once its blocking checks are green."""

from __future__ import annotations

import dagster as dg

from iot_platform.defs.start_status import SENSOR_STATUS

DEVICES = dg.AssetSelection.assets("device_metadata")


def follows_when_green() -> dg.AutomationCondition[dg.AssetKey]:
    """Prove a day after the layer above was, when all of that layer's blocking checks have passed.

    The scheduled runs cover a day's layers together; this is for a layer that was materialized alone, as after a check
    that had held the next layer back. The metadata restates the days it changes by itself, so it is left out.
    """
    condition = (
        dg.AutomationCondition.eager()
        .without(dg.AutomationCondition.in_latest_time_window())
        .ignore(DEVICES)
        .with_label("after the layer above")
    )
    return condition & dg.AutomationCondition.all_deps_blocking_checks_passed()


# Declared, because the one that Dagster adds by itself is stopped at first.
layer_automation_sensor = dg.AutomationConditionSensorDefinition(
    "layer_automation_sensor",
    target=dg.AssetSelection.all(),
    default_status=SENSOR_STATUS,
    minimum_interval_seconds=30,
    description="Materializes a day of L3 and L4 after the layer above was materialized without them, once that "
    "layer's blocking checks are green: what a failed check has held back follows by itself after the repair.",
)
