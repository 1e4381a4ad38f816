"""Asset checks of the LookML against the marts: the same as `iot-platform lookml check --run`."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

from collections.abc import Callable

import dagster as dg
from clickhouse_connect.driver.client import Client

from iot_platform.defs import table_entries
from iot_platform.defs.check_queries import SAMPLE_LINES
from iot_platform.defs.decoration import decoration
from iot_platform.defs.looker.assets import DASHBOARD, EXPLORE, VIEW
from iot_platform.defs.resources import POOL, ClickHouse
from iot_platform.defs.start_status import SCHEDULE_STATUS
from iot_platform.defs.table_entries import LONG_CELL
from iot_platform.looker import checks
from iot_platform.looker.checks import Finding
from iot_platform.looker.project import Project, load_project
from iot_platform.settings import Settings

Find = Callable[[Client, Project], list[Finding]]


def _check(asset: dg.AssetKey, name: str, find: Find, rule: str, remediation: str) -> dg.AssetChecksDefinition:
    """A check that fails when ``find`` finds anything. It blocks nothing: the marts themselves are right."""

    @dg.asset_check(asset=asset, name=name, pool=POOL, description=f"{rule}\n\n{remediation}")
    def checked(context: dg.AssetCheckExecutionContext, clickhouse: ClickHouse) -> dg.AssetCheckResult:
        with clickhouse.session(context.run, name) as client:
            found = find(client, load_project())
        entries: dict[str, dg.MetadataValue | int] = {"findings": len(found)}
        with decoration(context, "The table of findings"):
            rows = [(finding.name, finding.what, finding.where) for finding in found[:SAMPLE_LINES]]
            if rows:
                entries["offenders"] = dg.MetadataValue.md(
                    table_entries.markdown_table(("what", "problem", "where"), rows, cell_length=LONG_CELL)
                )
                entries["what_to_do"] = dg.MetadataValue.md(remediation)
        return dg.AssetCheckResult(
            passed=not found,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{len(found):,} findings. The rule: {rule}",
            metadata=entries,
        )

    return checked


looker_checks = [
    _check(
        EXPLORE,
        "every_field_and_tile_runs",
        checks.find_failing_queries,
        "Every field and every tile compiles and runs on ClickHouse.",
        "Correct the LookML that it names (looker/), or the migration that removed a column.",
    ),
    _check(
        DASHBOARD,
        "no_tile_is_cut",
        checks.find_cut_tiles,
        "No tile has more rows than its limit.",
        "The tile shows only a part of its rows. Group by coarser times or places in the dashboard's LookML; Looker "
        "allows 5,000 rows at most.",
    ),
    _check(
        EXPLORE,
        "totals_agree",
        checks.find_differing_totals,
        "Energy and readings are the same under every grouping, whichever mart the query reads.",
        "A mart differs from the others: materialize the L4 marts of the affected days (`iot-platform prove`).",
    ),
    _check(
        VIEW,
        "columns_agree",
        checks.find_column_problems,
        "Each column of the marts has a field, and each field's columns exist.",
        "Add the missing field to looker/views, or correct the field that it names.",
    ),
]

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
def looker_checks_schedule() -> dg.RunRequest:
    return dg.RunRequest()
