"""The SELECT of a view as ClickHouse stores it, and the same text over other rows: so no text exists twice."""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.client import quoted
from iot_platform.clickhouse_embedded.lexer import tokens
from iot_platform.errors import MigrationError


def view_select(client: Client, view: str) -> str:
    """The SELECT of a view of the client's database. Raises MigrationError when there is no such view."""
    rows = client.query(
        "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = {view:String}",
        parameters={"view": view},
    ).result_rows
    if not rows:
        raise MigrationError(f"View {view} is missing in database {client.database!r}. Run `iot-platform migrate`.")
    return str(rows[0][0])


def with_source(select: str, database: str, source: str, replacement: str) -> str:
    """The SELECT ``select``, changed to read ``replacement`` instead of the table or view ``source`` of ``database``.

    ``replacement``: SQL, a quoted name or a SELECT in brackets. ``select`` is as ClickHouse stores it: names of tables
    with their database. Raises MigrationError when it does not read ``source``.
    """
    found = list(tokens(select))
    result, position = [], 0
    for first, dot, second in zip(found, found[1:], found[2:], strict=False):
        if (first.name, dot.text, second.name) == (database, ".", source):
            result += [select[position : first.start], replacement]
            position = second.end
    if not result:
        raise MigrationError(f"A view that should read {quoted(database)}.{quoted(source)} does not: {select}")
    return "".join([*result, select[position:]])
