"""The facts that are checked of each layer: what states them, what breaks them, how bad that is, and what to do.

A rule has its query in sql/checks/NAME.sql: the offenders, grouped, with the column `by_day` (what was found on each
UTC day); it ends with their ORDER BY, worst first. Where the offending share of a day is above ``warn_share`` the check
warns; above ``error_share`` it is red, and a blocking one holds the next layer back. IOT_CHECKS overrides both for any
rule, and the ``parameters`` of its query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from iot_platform.errors import SettingsError
from iot_platform.layers.catalog import L2, L3, L4, RAW_TABLE
from iot_platform.settings import CheckSettings

READINGS = "count()"


@dataclass(frozen=True)
class Rule:
    """A fact about a layer. ``unit``: what is counted; ``of``: the total of a day that the share refers to, in SQL.

    ``parameters`` are bound in the query and in ``of``.
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
    # What did not arrive is not among what is counted: the total is both.
    counts_absent: bool = False
    parameters: Mapping[str, float] = field(default_factory=dict)

    @property
    def counted_table(self) -> str:
        """Where the totals come from."""
        return self.table or self.asset

    def with_settings(self, changed: CheckSettings) -> Rule:
        """The rule with what is set put over its own. Raises SettingsError for a parameter that it does not have."""
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


_REBUILD_L2 = "Somebody wrote into L2 past the chain. Materialize `l2_power_cleaned` of the day: it is rebuilt from L1."

RULES = (
    Rule(
        "no_device_is_silent",
        RAW_TABLE,
        "Every device that sent in the last two weeks, and is not closed in the metadata, still sends",
        "Look at the meters in `offenders` and at what brings their readings in. All of them: nothing arrives, look at "
        "the ingestion. Those that were removed: close them in the metadata.",
        # Those that are silent may have sent earlier on the day: only who was heard at its end is counted.
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
        "No device leaves out an interval",
        "A few are lost transmissions. Many at the same time: look for an outage of the source then, and have it send "
        "again; late readings go in by themselves.",
        warn_share=0.01,
        unit="intervals",
        counts_absent=True,
        parameters={"late_hours": 6, "interval_s": 0},
    ),
    Rule(
        "clocks_are_right",
        RAW_TABLE,
        "No device sends readings from the future",
        "The clocks of the devices in `offenders` are ahead (or set to another time zone). Their readings are in "
        "`power_quarantine`; correct the clock and send them again.",
        warn_share=0.001,
    ),
    Rule(
        "every_reading_is_within_limits",
        L2.name,
        "0 <= power_usage_kWh < the device's limit",
        f"{_REBUILD_L2} Or a limit was lowered: materialize the days that should follow it.",
        error_share=0.0,
        blocking=True,
    ),
    Rule(
        "no_reading_is_null_or_nan",
        L2.name,
        "Each reading has a finite value, a device and a time",
        _REBUILD_L2,
        error_share=0.0,
        blocking=True,
    ),
    Rule(
        "reject_rate_is_normal",
        L2.name,
        "Not more than a set share of what arrived is in quarantine",
        "What L2 holds is right. `offenders` tells the reasons: much over_limit means limits that are too low for "
        "these buildings (`iot-platform limits`), anything else a source that sends nonsense.",
        warn_share=0.05,
        table=RAW_TABLE,
    ),
    Rule(
        "reject_rate_is_like_before",
        L2.name,
        "The share of refused readings is not far above the median of the days before",
        "Something changed at a source or in the limits. See `reject_rate_is_normal` and the picture on "
        "`power_quarantine` for the reasons.",
        table=RAW_TABLE,
        parameters={"history_days": 14, "times_median": 3},
    ),
    Rule(
        "few_readings_are_duplicates",
        L2.name,
        "Not more than a set share of the valid readings came twice",
        "L2 holds each reading once. A source sends again what had arrived (retries without an answer, a file that was "
        "loaded under another name). `l1_power_revisions` shows the copies of a device, and which are corrections.",
        warn_share=0.05,
        table=RAW_TABLE,
    ),
    Rule(
        "every_reading_has_metadata",
        L3.name,
        "The device of each reading was known at its time",
        "Add the devices in `offenders` to the metadata and materialize `device_metadata`: it restates "
        "their days. Then materialize `l3_power_joined` of these days, which runs this check again.",
        error_share=0.01,
        blocking=True,
    ),
    Rule(
        "energy_has_metadata",
        L3.name,
        "The energy of each reading can be given to a customer and a building type",
        "As for `every_reading_has_metadata`; here by kWh and building type. A type that lacks most of its energy: its "
        "devices fell out of the source of the metadata.",
        denominator_sql="sumIf(power_usage_kWh, isFinite(power_usage_kWh))",
        unit="kWh",
    ),
    Rule(
        "l4_equals_l3",
        L4.name,
        "Energy, readings and coordinates of each device and day are the same in L4 and L3",
        "Materialize `l4_power_agg_hourly` of the day: it is rebuilt from L3. Dashboards are wrong until then.",
        error_share=0.0,
        blocking=True,
        denominator_sql="uniqExact(device_id)",
        unit="devices",
    ),
)


def configured(checks: Mapping[str, CheckSettings]) -> list[Rule]:
    """The rules with the settings of IOT_CHECKS. Raises SettingsError for a name or a parameter that there is not."""
    names = [rule.name for rule in RULES]
    if unknown := sorted(checks.keys() - set(names)):
        raise SettingsError(f"IOT_CHECKS: there is no check {', '.join(unknown)}; there are: {', '.join(names)}.")
    return [rule.with_settings(checks.get(rule.name, CheckSettings())) for rule in RULES]
