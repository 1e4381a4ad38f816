"""The checks of the layers, made from the rules. Each is named as the fact that it states."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

import datetime as dt
from collections.abc import Mapping

import dagster as dg

from iot_platform.defs.layers.findings import Findings, find
from iot_platform.defs.layers.rules import RULES, Rule
from iot_platform.defs.partitions import days_of_run
from iot_platform.defs.resources import POOL, ClickHouse
from iot_platform.layers.holds import record
from iot_platform.settings import CheckSettings, Settings

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def thresholds(rule: Rule, settings: Settings) -> tuple[float, float | None]:
    """The shares above which a rule warns and is red: IOT_CHECKS, else its own."""
    changed = settings.checks.get(rule.name, CheckSettings())
    warn = rule.warn_share if changed.warn_share is None else changed.warn_share
    return warn, rule.error_share if changed.error_share is None else changed.error_share


def _check(rule: Rule) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=rule.asset, name=rule.name, description=_description(rule), blocking=rule.blocking, pool=POOL)
    def check(context: dg.AssetCheckExecutionContext, clickhouse: ClickHouse) -> dg.AssetCheckResult:
        warn, error = thresholds(rule, clickhouse.settings())
        days = days_of_run(context)
        with clickhouse.session(context.run, rule.name) as client:
            found = find(client, rule, days)
            red = found.days_above(error)
            if rule.blocking:
                record(client, rule.asset, rule.name, red, days, context.run.run_id)
        return dg.AssetCheckResult(
            passed=not red and not found.days_above(warn),
            severity=ERROR if red else WARN,
            description=_sentence(found),
            metadata={**found.metadata(), **_allowed(warn, error), **_red_days(red)},
        )

    return check


def _description(rule: Rule) -> str:
    warn, error = thresholds(rule, Settings())
    above = f" above {warn:.2%}" if warn else ""
    effect = f"**Warns**{above}" if error is None or error > warn else ""
    if error is not None:
        red = "**red**" + (f" above {error:.2%}" if error else " at the first one")
        effect = ", ".join(filter(None, [effect, red])) + (", and the next layer is held back" if rule.blocking else "")
    return f"{rule.fact}. {effect[:1].upper()}{effect[1:]}.\n\n{rule.to_do}"


def _sentence(found: Findings) -> str:
    unit = found.rule.unit
    return (
        f"{found.offending:,.10g} of {found.total:,.10g} {unit} ({found.share:.2%}) break the rule "
        f"“{found.rule.fact}” ({found.scope})."
    )


def _allowed(warn: float, error: float | None) -> Mapping[str, float]:
    return {"warns_above_share": warn, **({} if error is None else {"red_above_share": error})}


def _red_days(red: Mapping[dt.date, float]) -> Mapping[str, str]:
    return {"red_days": ", ".join(map(str, sorted(red)))} if red else {}


layer_checks = [_check(rule) for rule in RULES]
