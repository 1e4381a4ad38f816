"""What Dagster shows about a ClickHouse table: columns, number of rows, a preview."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import dagster as dg
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.clickhouse.statements import read_migrations
from iot_platform.layers.column_sources import COLUMN_SOURCES
from iot_platform.security.escaping import CELL_LENGTH, escape_markdown
from iot_platform.settings import Settings

PREVIEW_ROWS = 8
# For cells with SQL or an error message.
LONG_CELL = 5_000

_CREATE = re.compile(r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:MATERIALIZED\s+)?\w+\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)", re.I)
_ALTER = re.compile(r"ALTER\s+TABLE\s+(\w+)", re.I)

# A column of a view that its table does not have, so no comment in sql/ can describe it.
VIEW_COMMENTS = {"avg_kWh": "Energy per reading: total_kWh / readings"}


def table_name(name: str) -> str:
    """The name that Dagster shows, with the database."""
    return f"{Settings().clickhouse_database}.{name}"


def code_version(*names: str) -> str:
    """A short hash of the statements in sql/ that create or change tables and views."""
    texts = _definitions(Settings().sql_dir)
    return hashlib.sha256("\n".join(texts[name] for name in names).encode()).hexdigest()[:12]


@cache
def statements_by_file(directory: Path) -> dict[str, list[str]]:
    """The statements of each migration in sql/, by file name."""
    return {migration.name: migration.statements() for migration in read_migrations(directory)}


@cache
def _definitions(directory: Path) -> dict[str, str]:
    """The statements that define each table and view: its last CREATE and the ALTERs after it."""
    found: dict[str, str] = {}
    for statements in statements_by_file(directory).values():
        for statement in statements:
            name = subject(statement)
            if _CREATE.match(statement):
                found[name] = statement
            elif name:
                found[name] = f"{found.get(name, '')};\n{statement}"
    return found


def subject(statement: str) -> str:
    """The table or view that a statement in sql/ creates or changes; empty: none."""
    match = _CREATE.match(statement) or _ALTER.match(statement)
    return match[1] if match else ""


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
