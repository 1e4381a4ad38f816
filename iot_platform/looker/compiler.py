"""Compile a LookML query to one SELECT of ClickHouse."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass

from clickhouse_connect.driver.binding import format_query_value

from iot_platform.clickhouse.client import quoted
from iot_platform.errors import FilterError, LookmlError
from iot_platform.looker.fields import TABLE, Field, View
from iot_platform.looker.filters import Values, condition
from iot_platform.looker.project import Project
from iot_platform.looker.query import MAX_LIMIT, Query
from iot_platform.looker.timeframes import Kind


@dataclass(frozen=True)
class Column:
    """A column of the result: its unique name there, and the field it shows.

    ``part``: latitude or longitude of a location, else empty. ``is_pivot``: each of its values becomes a column of the
    pivoted table.
    """

    field: str
    name: str
    label: str
    kind: Kind
    is_measure: bool
    value_format: str
    part: str = ""
    is_pivot: bool = False


@dataclass(frozen=True)
class Compiled:
    """A SELECT with {name:Type} parameters, their values, its columns in order, and the table it reads.

    ``unlimited``: the SELECT without ORDER BY and LIMIT.
    """

    sql: str
    parameters: Mapping[str, object]
    columns: tuple[Column, ...]
    table: str
    limit: int
    unlimited: str

    @property
    def pretty(self) -> str:
        """The SQL with the values filled in, to read or to paste into a client."""
        return re.sub(
            r"\{(p\d+):[^}]*\}", lambda match: str(format_query_value(self.parameters[match.group(1)])), self.sql
        )


def compile_query(project: Project, query: Query, database: str, now: dt.datetime | None = None) -> Compiled:
    """The SELECT that answers a query from the tables of ``database``; relative times count from ``now``.

    ``now``: with a time zone; default: the current time. Raises LookmlError when the query refers to something that
    does not exist, FilterError when a filter cannot be parsed.
    """
    if query.explore not in project.explores:
        raise LookmlError(f"There is no explore {query.explore!r}. Known: {', '.join(project.explores)}.")
    compiler = _Compiler(project.explores[query.explore].view, query, now or dt.datetime.now(dt.UTC))
    return compiler.compiled(database)


class _Compiler:
    def __init__(self, view: View, query: Query, now: dt.datetime) -> None:
        self._view, self._query, self._now = view, query, now
        self._values = Values()
        self._fields = [self._field(name) for name in query.fields]
        if not query.fields or len(set(query.fields)) < len(query.fields):
            raise LookmlError(
                f"A query needs at least one field, and each field once; it has {', '.join(query.fields) or 'none'}."
            )
        if not 0 < query.limit <= MAX_LIMIT:
            raise LookmlError(f"The limit of a query must be from 1 to {MAX_LIMIT:,}, not {query.limit:,}.")
        for pivot in query.pivots:
            if pivot not in query.fields or self._field(pivot).is_measure:
                raise LookmlError(f"The pivot {pivot} must be a dimension among the fields of the query.")
        if query.pivots and not any(field.is_measure for field in self._fields):
            raise LookmlError("A query with pivots needs a measure.")

    def compiled(self, database: str) -> Compiled:
        table = self._view.table_for(frozenset((*self._query.fields, *self._query.filters)))
        grouped = self._grouped(quoted(database, table))
        row_order, order = self._order()
        limit = self._values.bind(self._query.limit, "UInt32")
        lines = [grouped]
        if self._query.pivots and row_order:
            # As in Looker, the limit counts rows of the pivoted table, not its cells.
            lines.append(f"QUALIFY dense_rank() OVER (ORDER BY {', '.join(row_order)}) <= {limit}")
        lines += [f"ORDER BY {', '.join(order)}"] if order else []
        lines += [] if self._query.pivots else [f"LIMIT {limit}"]
        return Compiled(
            sql="\n".join(lines),
            parameters=self._values.parameters,
            columns=tuple(column for field in self._fields for column in self._columns(field)),
            table=table,
            limit=self._query.limit,
            unlimited=grouped,
        )

    def _grouped(self, table: str) -> str:
        where, having = self._conditions()
        selected = [
            f"{self._shown(field, self._sql(sql))} AS {quoted(column.name)}"
            for field in self._fields
            for column, sql in zip(self._columns(field), field.parts.values(), strict=True)
        ]
        keys = self._names([field for field in self._fields if not field.is_measure])
        lines = ["SELECT\n    " + ",\n    ".join(selected), f"FROM {table} AS {quoted(self._view.name)}"]
        lines += ["WHERE " + "\n    AND ".join(where)] if where else []
        lines += ["GROUP BY " + ", ".join(keys)] if keys else []
        lines += ["HAVING " + "\n    AND ".join(having)] if having else []
        return "\n".join(lines)

    def _field(self, name: str) -> Field:
        if name not in self._view.fields:
            raise LookmlError(f"{name!r} is not a field of explore {self._query.explore}.")
        return self._view.fields[name]

    def _sql(self, sql: str) -> str:
        return sql.replace(TABLE, quoted(self._view.name))

    def _columns(self, field: Field) -> list[Column]:
        return [
            Column(
                field=field.full_name,
                name=f"{field.full_name}_{part}" if part else field.full_name,
                label=f"{field.label} {part}".rstrip(),
                kind=field.kind,
                is_measure=field.is_measure,
                value_format=field.value_format,
                part=part,
                is_pivot=field.full_name in self._query.pivots,
            )
            for part in field.parts
        ]

    def _names(self, fields: list[Field]) -> list[str]:
        return [quoted(column.name) for field in fields for column in self._columns(field)]

    @staticmethod
    def _shown(field: Field, sql: str) -> str:
        return f"if({sql}, 'Yes', 'No')" if field.kind == "yesno" else sql

    def _conditions(self) -> tuple[list[str], list[str]]:
        """Conditions on dimensions (WHERE) and on measures (HAVING)."""
        where: list[str] = []
        having: list[str] = []
        for name, expression in self._query.filters.items():
            field = self._field(name)
            parts = {part: self._sql(sql) for part, sql in field.parts.items()}
            if field.grammar in ("hours", "days"):
                parts = {"": self._sql(field.base)}
            try:
                term = condition(field.grammar, parts, expression, self._values, self._now)
            except FilterError as error:
                raise FilterError(f"{name}: {error}") from error
            if term:
                (having if field.is_measure else where).append(f"({term})")
        return where, having

    def _order(self) -> tuple[list[str], list[str]]:
        """The ORDER BY of a pivoted table's rows, and that of the result. It has all dimensions, so no rows tie."""
        wanted: dict[str, str] = {}
        for sort in self._query.sorts or self._default_sorts():
            name, _, direction = sort.partition(" ")
            if name not in self._query.fields or direction not in ("", "asc", "desc"):
                raise LookmlError(f"The sort {sort!r} must be one of the fields of the query, with asc or desc.")
            if self._query.pivots and self._field(name).is_measure:
                raise LookmlError(f"The sort {sort!r} of a query with pivots must be a dimension.")
            wanted[name] = f" {direction.upper()}" if direction == "desc" else ""
        for dimension in (each for each in self._fields if not each.is_measure):
            wanted.setdefault(dimension.full_name, "")
        terms = {
            name: [f"{column}{direction}" for column in self._names([self._field(name)])]
            for name, direction in wanted.items()
        }
        rows = [term for name, sorts in terms.items() if name not in self._query.pivots for term in sorts]
        pivots = [term for name, sorts in terms.items() if name in self._query.pivots for term in sorts]
        return rows, rows + pivots

    def _default_sorts(self) -> tuple[str, ...]:
        """As in Looker: by the first time, newest first; without a time, by the first measure, largest first."""
        times = [field.full_name for field in self._fields if field.grammar in ("hours", "days")]
        measures = [field.full_name for field in self._fields if field.is_measure and not self._query.pivots]
        first = (times or measures)[:1]
        return (f"{first[0]} desc",) if first else ()
