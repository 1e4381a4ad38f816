"""Asset checks of the LookML against the marts: the same as `iot-platform lookml check --run`."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

import dagster as dg

from iot_platform.defs import table_entries
from iot_platform.defs.check_queries import SAMPLE_LINES
from iot_platform.defs.decoration import decoration
from iot_platform.defs.looker.assets import looker_key
from iot_platform.defs.resources import POOL, ClickHouse
from iot_platform.defs.start_status import SCHEDULE_STATUS
from iot_platform.defs.table_entries import LONG_CELL
from iot_platform.defs.waiting_runs import unless_one_waits
from iot_platform.looker.check_list import CHECKS, Check
from iot_platform.looker.project import load_project
from iot_platform.settings import Settings


def _check(check: Check) -> dg.AssetChecksDefinition:
    """An asset check that fails when ``check`` finds anything. It blocks nothing: the marts themselves are right."""

    @dg.asset_check(
        asset=looker_key(*check.subject),
        name=check.name,
        pool=POOL,
        description=f"{check.description}\n\n{check.remediation}",
    )
    def checked(context: dg.AssetCheckExecutionContext, clickhouse: ClickHouse) -> dg.AssetCheckResult:
        with clickhouse.session(context.run, check.name) as client:
            found = check.find(client, load_project())
        entries: dict[str, dg.MetadataValue | int] = {"findings": len(found)}
        with decoration(context, "The table of findings"):
            rows = [(finding.name, finding.what, finding.where) for finding in found[:SAMPLE_LINES]]
            if rows:
                entries["offenders"] = dg.MetadataValue.md(
                    table_entries.markdown_table(("what", "problem", "where"), rows, cell_length=LONG_CELL)
                )
                entries["what_to_do"] = dg.MetadataValue.md(check.remediation)
        return dg.AssetCheckResult(
            passed=not found,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{len(found):,} findings. The rule: {check.description}",
            metadata=entries,
        )

    return checked


looker_checks = [_check(check) for check in CHECKS]

looker_checks_job = dg.define_asset_job(
    "looker_checks_job",
    selection=dg.AssetSelection.checks(*looker_checks),
    description="Check the LookML against the marts.",
)


@dg.schedule(
    job=looker_checks_job,
    cron_schedule=Settings().looker_checks_cron,
    execution_timezone="UTC",
    default_status=SCHEDULE_STATUS,
    description="Checks the LookML, by default each morning after the closed days were verified.",
)
def looker_checks_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    return unless_one_waits(context, looker_checks_schedule.name, dg.RunRequest())
