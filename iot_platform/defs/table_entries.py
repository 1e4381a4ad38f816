"""Metadata entries that Dagster shows about a ClickHouse table: its columns, its number of rows, a preview."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence

import dagster as dg
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.layers.column_sources import COLUMN_SOURCES
from iot_platform.security.escaping import CELL_LENGTH, escape_markdown

PREVIEW_ROWS = 8
# The newest days of a run get a preview; the others get only their figures.
DAYS_WITH_PREVIEW = 31
# For cells with SQL or an error message.
LONG_CELL = 5_000

# Metadata entries of an asset or a check, by name.
Entries = Mapping[str, dg.MetadataValue | dg.TableSchema | dg.TableColumnLineage | int | float | str | bool]

# A column of a view that its table does not have, so no comment in sql/ can describe it.
VIEW_COMMENTS = {"avg_kWh": "Energy per reading: total_kWh / readings"}


def rows_and_columns(client: Client, table: str, *, comments_of: str | None = None) -> Entries:
    """The entries for the number of rows and the columns of a table or view; see ``column_schema``."""
    return {
        "dagster/row_count": total_rows(client, table),
        "dagster/column_schema": column_schema(client, table, comments_of=comments_of),
    }


def column_schema(client: Client, table: str, *, comments_of: str | None = None) -> dg.TableSchema:
    """The current columns of a table or view. Views have no comments: these come from its table ``comments_of``."""
    rows = client.query(
        "SELECT table, name, type, comment FROM system.columns "
        "WHERE database = currentDatabase() AND table IN ({table:String}, {other:String}) ORDER BY position",
        parameters={"table": table, "other": comments_of or table},
    ).result_rows
    comments = VIEW_COMMENTS | {name: comment for _, name, _, comment in rows if comment}
    return dg.TableSchema(
        columns=[_column(name, text, comments.get(name)) for owner, name, text, _ in rows if owner == table]
    )


def _column(name: str, type_text: str, comment: str | None) -> dg.TableColumn:
    # Readers of a view do not need to know how its table merges a column.
    shown = re.sub(r"^SimpleAggregateFunction\(\w+, (.+)\)$", r"\1", type_text)
    constraints = dg.TableColumnConstraints(nullable="Nullable(" in shown)
    return dg.TableColumn(name=name, type=shown, description=comment, constraints=constraints)


def column_lineage(asset: str) -> dg.TableColumnLineage:
    """The columns of a derived asset and those they come from."""
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(asset_key=dg.AssetKey(owner), column_name=name) for owner, name in sources]
            for column, sources in COLUMN_SOURCES[asset].items()
        }
    )


def total_rows(client: Client, table: str) -> int:
    """Rows of a whole table or view."""
    return int(client.query(f"SELECT count() FROM {quoted(table)}").result_rows[0][0])


def preview(client: Client, table: str, where: str = "1") -> dg.MarkdownMetadataValue:
    """The first rows of a table that match a condition (our own SQL), as a Markdown table."""
    result = client.query(f"SELECT * FROM {quoted(table)} WHERE {where} LIMIT {PREVIEW_ROWS}")
    return dg.MetadataValue.md(markdown_table(result.column_names, result.result_rows))


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, cell_length: int = CELL_LENGTH) -> str:
    """Rows as a Markdown table: numbers are right-aligned, text is escaped and cut at ``cell_length``."""
    if not rows:
        return "(no rows)"
    numeric = [all(isinstance(row[index], int | float) for row in rows) for index in range(len(columns))]
    lines = [
        "| " + " | ".join(map(escape_markdown, columns)) + " |",
        "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
        *("| " + " | ".join(_cell(value, cell_length) for value in row) + " |" for row in rows),
    ]
    return "\n".join(lines)


def _cell(value: object, length: int) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    return escape_markdown(value, length)
