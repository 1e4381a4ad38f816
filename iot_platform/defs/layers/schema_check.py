"""The check that compares the database with sql/."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

import dagster as dg

from iot_platform.clickhouse.drift import schema_drift
from iot_platform.defs import table_entries
from iot_platform.defs.decoration import decoration
from iot_platform.defs.resources import POOL, ClickHouse
from iot_platform.defs.table_entries import LONG_CELL
from iot_platform.layers.catalog import RAW_TABLE

SHOWN = 50


@dg.asset_check(
    asset=RAW_TABLE,
    pool=POOL,
    description="Tables, columns and views of the database are those that sql/ creates. Tables that sql/ does not "
    "create are ignored. **Warns**, for all layers.\n\nIf it warns, somebody changed the database by hand. Put the "
    "change into a migration (docs/schema-evolution.md), or undo it. A view that was dropped carries no readings, and "
    "a changed one may carry wrong readings: create it again, then run `iot-platform prove`.",
)
def schema_is_as_in_sql(context: dg.AssetCheckExecutionContext, clickhouse: ClickHouse) -> dg.AssetCheckResult:
    """Compare the live schema with a new database to which sql/ was just applied."""
    with clickhouse.session(context.run, "schema_is_as_in_sql") as client:
        problems = schema_drift(client, clickhouse.settings())
    entries: dict[str, dg.MetadataValue | int] = {"differences": len(problems)}
    if problems:
        with decoration(context, "The table of differences"):
            entries["offenders"] = dg.MetadataValue.md(
                table_entries.markdown_table(["object", "difference"], problems[:SHOWN], cell_length=LONG_CELL)
            )
    return dg.AssetCheckResult(
        passed=not problems,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(problems)} differences between the database and sql/.",
        metadata=entries,
    )
