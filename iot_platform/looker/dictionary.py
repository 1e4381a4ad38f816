"""Write the field dictionary: each field of each explore with its meaning, its SQL and its source columns."""

from __future__ import annotations

from collections.abc import Iterator

from iot_platform.layers.catalog import BY_DEVICE_HOURLY, HOURLY_ROWS
from iot_platform.layers.column_sources import COLUMN_SOURCES
from iot_platform.looker.fields import TABLE, Field, View
from iot_platform.looker.project import Project

_HEADER = """# Field dictionary

Generated from looker/ by `iot-platform lookml dictionary`: change the LookML, not this file. A query reads the
table that fits its fields. SQL shows columns of that table; Upstream shows the source columns for a query of this field
alone.
"""


def field_dictionary(project: Project) -> str:
    """The dictionary as Markdown."""
    parts = [_HEADER]
    for explore in project.explores.values():
        tables = ", ".join(f"`{table}`" for table in sorted(explore.view.tables()))
        parts.append(f"## {explore.label} (`{explore.name}`)\n\n{explore.description} Tables: {tables}.\n")
        for title, is_measure in (("Dimensions", False), ("Measures", True)):
            fields = [each for each in explore.view.fields.values() if each.is_measure == is_measure]
            rows = "\n".join(_row(explore.view, field) for field in fields)
            parts.append(
                f"### {title}\n\n| Field | Label | Meaning | Format | SQL | Upstream |\n"
                f"| --- | --- | --- | --- | --- | --- |\n{rows}\n"
            )
    return "\n".join(parts)


def _row(view: View, field: Field) -> str:
    label = f"{field.label} (hidden)" if field.is_hidden else field.label
    sql = " ".join(field.sql.replace(f"{TABLE}.", "").split())  # a row of a table is one line
    cells = (
        f"`{field.name}`",
        label,
        field.description,
        f"`{field.value_format}`" if field.value_format else field.kind,
        f"`{sql}`",
        ", ".join(f"`{name}`" for name in dict.fromkeys(_upstream(view, field))),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _upstream(view: View, field: Field) -> Iterator[str]:
    table = view.table_for(frozenset({field.full_name}))
    asset = BY_DEVICE_HOURLY.name if table == HOURLY_ROWS else table
    for column in sorted(field.columns):
        found = COLUMN_SOURCES.get(asset, {}).get(column, [])
        if not found:
            yield f"{table}.{column}"
        for owner, name in found:
            yield f"{owner}.{name}"
