"""The rules that the checks of the layers verify: what must hold, which share may break it, and what to do then.

The query of a rule is sql/checks/NAME.sql. It returns the offenders, grouped, with the column `by_day` (the number
found on each UTC day), and ends with ORDER BY, worst first. When the offending share of a day is above ``warn_share``,
the check warns. Above ``error_share`` it fails, and a blocking check blocks the day for the next layer. IOT_CHECKS
overrides both shares of any rule, and the ``parameters`` of its query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from iot_platform.errors import SettingsError
from iot_platform.layers.catalog import BY_DEVICE_HOURLY, L2, L3, RAW_TABLE
from iot_platform.settings import CheckSettings

READINGS = "count()"


@dataclass(frozen=True)
class Rule:
    """A rule for a layer. ``description``: what must hold. ``remediation``: what to do when it does not.

    ``unit``: what is counted. ``denominator_sql``: the total of a day, which the shares refer to. ``parameters`` are
    bound in the query and in ``denominator_sql``.
    """

    name: str
    asset: str
    description: str
    remediation: str
    warn_share: float = 0.0
    error_share: float | None = None
    blocking: bool = False
    table: str = ""
    denominator_sql: str = READINGS
    unit: str = "readings"
    # The offenders have not arrived, so the table's total lacks them: the total is the sum of both.
    counts_absent: bool = False
    parameters: Mapping[str, float] = field(default_factory=dict)

    @property
    def counted_table(self) -> str:
        """Where the totals come from."""
        return self.table or self.asset

    def with_settings(self, changed: CheckSettings) -> Rule:
        """The rule with settings applied. Raises SettingsError for a parameter that the rule does not have."""
        if unknown := sorted(changed.parameters.keys() - self.parameters.keys()):
            raise SettingsError(
                f"IOT_CHECKS: {self.name} has no parameter {', '.join(unknown)}; "
                f"it has: {', '.join(self.parameters) or 'none'}."
            )
        return replace(
            self,
            warn_share=self.warn_share if changed.warn_share is None else changed.warn_share,
            error_share=self.error_share if changed.error_share is None else changed.error_share,
            parameters={**self.parameters, **changed.parameters},
        )


_REBUILD_L2 = (
    "Something wrote into L2 directly instead of into L1. Materialize `l2_power_cleaned` of the day: this rebuilds it "
    "from L1."
)

RULES = (
    Rule(
        "no_device_is_silent",
        RAW_TABLE,
        "Every device that sent readings in the last two weeks still sends, unless it is closed in the metadata",
        "Check the meters in `offenders` and their connection. If all meters are silent, check the ingestion. Close "
        "meters that were removed in the metadata.",
        # A silent device may have sent earlier on the day, so only devices that sent at its end are counted.
        denominator_sql="uniqExactIf(device_id, "
        "timestamp >= least(toDateTime(toDate(timestamp) + 1, 'UTC'), now('UTC')) "
        "- toIntervalSecond({silent_hours:Float64} * 3600))",
        unit="devices",
        counts_absent=True,
        # Readings arrive up to six hours late.
        parameters={"silent_hours": 6},
    ),
    Rule(
        "no_interval_is_missing",
        RAW_TABLE,
        "No interval of a device is missing",
        "A few missing intervals are lost transmissions. Many at the same time are an outage of the source: have it "
        "send the readings again. Late readings are accepted.",
        warn_share=0.01,
        unit="intervals",
        counts_absent=True,
        parameters={"late_hours": 6, "interval_s": 0},
    ),
    Rule(
        "clocks_are_right",
        RAW_TABLE,
        "No device sends readings from the future",
        "The clocks of the devices in `offenders` are ahead, or set to another time zone. Their readings are in "
        "`power_quarantine`. Correct the clock and send the readings again.",
        warn_share=0.001,
    ),
    Rule(
        "every_reading_is_within_limits",
        L2.name,
        "0 <= power_usage_kWh < the device's limit",
        f"{_REBUILD_L2} If a limit was lowered: materialize the days to which it should apply.",
        error_share=0.0,
        blocking=True,
    ),
    Rule(
        "no_reading_is_null_or_nan",
        L2.name,
        "Every reading has a finite value, a device and a time",
        _REBUILD_L2,
        error_share=0.0,
        blocking=True,
    ),
    Rule(
        "reject_rate_is_normal",
        L2.name,
        "The share of rejected readings is below the threshold",
        "L2 itself is correct. `offenders` lists the reasons. Many `over_limit`: the limits are too low for these "
        "buildings (`iot-platform limits`). Any other reason: the source sends wrong data.",
        warn_share=0.05,
        table=RAW_TABLE,
    ),
    Rule(
        "reject_rate_is_like_before",
        L2.name,
        "The share of rejected readings is not far above the median of the days before",
        "A source or the limits have changed. `reject_rate_is_normal` and the chart of `power_quarantine` show the "
        "reasons.",
        table=RAW_TABLE,
        parameters={"history_days": 14, "times_median": 3},
    ),
    Rule(
        "few_readings_are_duplicates",
        L2.name,
        "The share of valid readings that arrived more than once is below the threshold",
        "L2 keeps each reading once. The source sends readings again: it retries after a lost response, or a file was "
        "loaded under another name. `l1_power_revisions` shows the copies of a device, and which are corrections.",
        warn_share=0.05,
        table=RAW_TABLE,
    ),
    Rule(
        "every_reading_has_metadata",
        L3.name,
        "The device of every reading was known at the time of the reading",
        "Add the devices in `offenders` to the metadata and materialize `device_metadata`: this restates their days. "
        "Then materialize `l3_power_joined` of these days, which runs this check again.",
        error_share=0.01,
        blocking=True,
    ),
    Rule(
        "energy_has_metadata",
        L3.name,
        "The energy of every reading belongs to a customer and a building type",
        "As for `every_reading_has_metadata`, but by kWh and building type. If a type has lost most of its energy, its "
        "devices are missing in the metadata source.",
        denominator_sql="sumIf(power_usage_kWh, isFinite(power_usage_kWh))",
        unit="kWh",
    ),
    Rule(
        "l4_equals_l3",
        BY_DEVICE_HOURLY.name,
        "Energy, number of readings and metadata of every device and day are the same in L4 and L3",
        "Materialize `l4_power_agg_hourly` of the day: this rebuilds it from L3. Dashboards are wrong until then.",
        error_share=0.0,
        blocking=True,
        denominator_sql="uniqExact(device_id)",
        unit="devices",
    ),
)


def configured(checks: Mapping[str, CheckSettings]) -> list[Rule]:
    """The rules with the settings of IOT_CHECKS. Raises SettingsError for an unknown check or parameter."""
    names = [rule.name for rule in RULES]
    if unknown := sorted(checks.keys() - set(names)):
        raise SettingsError(f"IOT_CHECKS: there is no check {', '.join(unknown)}; there are: {', '.join(names)}.")
    return [rule.with_settings(checks.get(rule.name, CheckSettings())) for rule in RULES]
