"""The checks of the layers, made from the rules. The name of a check says what must hold."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

import datetime as dt
from collections.abc import Mapping
from typing import Any

import dagster as dg

from iot_platform.defs.decoration import decoration
from iot_platform.defs.layers.check_runner import Findings, find
from iot_platform.defs.layers.rules import RULES, Rule, configured
from iot_platform.defs.partitions import days_of_run
from iot_platform.defs.resources import POOL, ClickHouse
from iot_platform.layers.blocked_days import record_outcome
from iot_platform.settings import Settings

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def _check(default: Rule) -> dg.AssetChecksDefinition:
    rule = _configured(default)

    @dg.asset_check(asset=rule.asset, name=rule.name, description=_description(rule), blocking=rule.blocking, pool=POOL)
    def check(context: dg.AssetCheckExecutionContext, clickhouse: ClickHouse) -> dg.AssetCheckResult:
        rule = _configured(default)
        days = days_of_run(context)
        with clickhouse.session(context.run, rule.name) as client:
            found = find(client, rule, days)
            failed = found.days_above(rule.error_share)
            if rule.blocking:
                record_outcome(client, rule.asset, rule.name, failed, days, context.run.run_id)
        entries: dict[str, Any] = {**found.entries(), **_thresholds(rule), **_failed_days(failed)}
        with decoration(context, f"The table of offenders of {rule.name}"):
            if found.lines:
                entries["offenders"] = found.sample()
        return dg.AssetCheckResult(
            passed=not failed and not found.days_above(rule.warn_share),
            severity=ERROR if failed else WARN,
            description=_sentence(found),
            metadata=entries,
        )

    return check


def _configured(default: Rule) -> Rule:
    return next(rule for rule in configured(Settings().checks) if rule.name == default.name)


def _description(rule: Rule) -> str:
    warn, error = rule.warn_share, rule.error_share
    above = f" above {warn:.2%}" if warn else ""
    effect = f"**Warns**{above}" if error is None or error > warn else ""
    if error is not None:
        fails = "**fails**" + (f" above {error:.2%}" if error else " at the first offender")
        effect = ", ".join(filter(None, [effect, fails]))
        effect += ". A day that fails is blocked for the next layer" if rule.blocking else ""
    return f"{rule.description}. {effect[:1].upper()}{effect[1:]}.\n\n{rule.remediation}"


def _sentence(found: Findings) -> str:
    unit = found.rule.unit
    return (
        f"{found.offending:,.10g} of {found.total:,.10g} {unit} ({found.share:.2%}) break the rule "
        f"“{found.rule.description}” ({found.scope})."
    )


def _thresholds(rule: Rule) -> Mapping[str, float]:
    fails = {} if rule.error_share is None else {"fails_above_share": rule.error_share}
    return {"warns_above_share": rule.warn_share, **fails, **rule.parameters}


def _failed_days(failed: Mapping[dt.date, float]) -> Mapping[str, str]:
    return {"failed_days": ", ".join(map(str, sorted(failed)))} if failed else {}


layer_checks = [_check(rule) for rule in RULES]
