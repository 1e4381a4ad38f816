"""What is materialized automatically: L3 and L4 after the layer above, once its blocking checks have passed."""

from __future__ import annotations

import dagster as dg

from iot_platform.defs.start_status import SENSOR_STATUS
from iot_platform.layers.catalog import DEVICES


def after_passed_checks() -> dg.AutomationCondition[dg.AssetKey]:
    """Materialize a day after the layer above was materialized and all of that layer's blocking checks have passed.

    The scheduled runs cover a day's layers together. This condition is for a layer that was materialized alone, for
    example to repair a blocked day. The metadata is ignored: its refresh restates the days that it changes.
    """
    condition = (
        dg.AutomationCondition.eager()
        .without(dg.AutomationCondition.in_latest_time_window())
        .ignore(dg.AssetSelection.assets(DEVICES))
        .with_label("after the layer above")
    )
    return condition & dg.AutomationCondition.all_deps_blocking_checks_passed()


# Declared here, because the one that Dagster adds by default is stopped at first.
layer_automation_sensor = dg.AutomationConditionSensorDefinition(
    "layer_automation_sensor",
    target=dg.AssetSelection.all(),
    default_status=SENSOR_STATUS,
    minimum_interval_seconds=30,
    description="Materializes a day of L3 and L4 after the layer above was materialized without them and its blocking "
    "checks have passed. Days that a failed check had blocked follow automatically after the repair.",
)
