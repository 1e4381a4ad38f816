"""Check that the SQL of each field is one expression over columns of its table.

The SQL parser takes long to import. The Dagster definitions need only names, so they do not import this module.
"""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from iot_platform.errors import LookmlError
from iot_platform.looker.fields import TABLE, View, columns_of


def check_expressions(view: View) -> None:
    """Raise LookmlError for a field whose SQL cannot be parsed, has a subquery, or names a column without its table."""
    for field in view.fields.values():
        for sql in field.parts.values():
            _check(sql, field.where)


def _check(sql: str, where: str) -> None:
    try:
        tree = sqlglot.parse_one(sql.replace(TABLE, "this_table"), read="clickhouse")
    except SqlglotError as error:
        raise LookmlError(f"{where}: {sql!r} is not an SQL expression: {str(error).splitlines()[0]}") from error
    if tree.find(exp.Query):
        raise LookmlError(f"{where}: {sql!r} has a subquery; put it into a table or view of ClickHouse.")
    found = set()
    for column in tree.find_all(exp.Column):
        if column.table != "this_table":
            raise LookmlError(f"{where}: {column.sql()} in {sql!r} must be ${{TABLE}}.{column.name} or ${{field}}.")
        found.add(column.name)
    if found != columns_of(sql):
        raise LookmlError(f"{where}: write each column in {sql!r} as ${{TABLE}}.column, unquoted and not in a string.")
