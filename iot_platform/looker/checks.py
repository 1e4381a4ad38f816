"""Check the LookML against the tables of ClickHouse. Each check returns its findings; an empty list if it passes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from iot_platform.clickhouse.client import quoted
from iot_platform.clickhouse.retries import is_transient
from iot_platform.errors import LookmlError
from iot_platform.layers.catalog import DEVICES, MART_TABLES
from iot_platform.looker.compiler import Compiled, compile_query
from iot_platform.looker.fields import View
from iot_platform.looker.project import EXPLORE, Project
from iot_platform.looker.query import Query

# Tiles that are meant to show only the first few rows.
TOP_TILES = frozenset({"top_devices"})

# View of ClickHouse -> its table, and the columns of both that no field needs to read: the view makes others of them.
VIEW_SOURCES: Mapping[str, tuple[str, frozenset[str]]] = {
    "device_current_versions": (DEVICES, frozenset({"is_removed", "recorded_at"})),
    **{name: (table, frozenset({"version", "zone_id", "type_id"})) for name, table in MART_TABLES.items()},
}

EXACT_TOTALS = (f"{EXPLORE}.exact_kwh", f"{EXPLORE}.reading_count")
TIME_FILTER = f"{EXPLORE}.time_date"
ATTEMPTS = 3


@dataclass(frozen=True)
class Finding:
    """A problem: the field, tile or column (``name``), what is wrong with it, and its file or table (``where``)."""

    name: str
    what: str
    where: str


@dataclass(frozen=True)
class _Sums:
    """The exact kWh and the number of readings, and the table they were summed from."""

    kWh: Decimal
    readings: int
    table: str

    @property
    def amounts(self) -> tuple[Decimal, int]:
        return self.kWh, self.readings

    def __str__(self) -> str:
        return f"{self.kWh:f} kWh of {self.readings:,} readings in {self.table}"


def queries(project: Project) -> Iterator[tuple[str, str, Query]]:
    """A query for each field and for each tile with its dashboard's defaults: name, where it is defined, query."""
    for explore in project.explores.values():
        for field in explore.view.fields.values():
            yield field.full_name, field.where, Query(explore.name, (field.full_name,), limit=1)
    for dashboard in project.dashboards.values():
        for tile in dashboard.tiles:
            yield tile.name, tile.where, tile.query_with(dashboard.defaults())


def compile_all(
    project: Project, database: str, now: dt.datetime | None = None
) -> Iterator[tuple[str, str, Compiled | Finding]]:
    """Each of ``queries`` compiled, or the finding that says why it cannot be."""
    for name, where, query in queries(project):
        try:
            yield name, where, compile_query(project, query, database, now)
        except LookmlError as error:
            yield name, where, Finding(name, str(error), where)


def find_failing_queries(
    client: Client, project: Project, now: dt.datetime | None = None, *, explain: bool = False
) -> list[Finding]:
    """Find fields, tiles and datagroup triggers that do not compile or run; ``explain``: run EXPLAIN only."""
    database = str(client.database)
    prefix = "EXPLAIN " if explain else ""
    findings = []
    for name, where, compiled in compile_all(project, database, now):
        if isinstance(compiled, Finding):
            findings.append(compiled)
        elif problem := _problem(client, prefix + compiled.sql, compiled.parameters):
            findings.append(Finding(name, problem, where))
    for name, trigger in project.datagroups.items():
        if problem := _problem(client, prefix + trigger.replace("@{database}", quoted(database)), {}):
            findings.append(Finding(name, problem, f"datagroup of model {project.model}"))
    return findings


def find_cut_tiles(client: Client, project: Project, now: dt.datetime | None = None) -> list[Finding]:
    """Find tiles that have more rows than their limit, with the defaults of their dashboard."""
    findings = []
    for dashboard in project.dashboards.values():
        for tile in dashboard.tiles:
            if tile.name in TOP_TILES:
                continue
            query = tile.query_with(dashboard.defaults())
            rows = _row_count(client, compile_query(project, query, str(client.database), now))
            if rows > query.limit:
                findings.append(Finding(tile.name, f"has {rows:,} rows, but its limit is {query.limit:,}", tile.where))
    return findings


def find_differing_totals(client: Client, project: Project, now: dt.datetime | None = None) -> list[Finding]:
    """Find dimensions whose groups do not add up exactly to the total kWh and readings, whichever table they read.

    It compares the days before today. If the total has changed meanwhile (readings arrived), it compares again.
    """
    view = project.explores[EXPLORE].view
    totals = Query(EXPLORE, EXACT_TOTALS, {TIME_FILTER: "before today"})
    total = _sums(client, project, totals, now)
    findings = []
    for field in (field for field in view.fields.values() if not field.is_measure):
        query = Query(EXPLORE, (field.full_name, *EXACT_TOTALS), {TIME_FILTER: "before today"})
        found = _sums(client, project, query, now)
        for _ in range(ATTEMPTS):
            if found.amounts == total.amounts:
                break
            before, found, total = total, _sums(client, project, query, now), _sums(client, project, totals, now)
            if before == total and found.amounts != total.amounts:
                findings.append(Finding(field.full_name, f"its groups have {found}, all together {total}", field.where))
                break
    return findings


def find_column_problems(client: Client, project: Project) -> list[Finding]:
    """Find columns that no field reads, and columns that fields, alone or in pairs, read from a table without them."""
    columns = _columns(client)
    findings = []
    for view in project.views.values():
        for table in sorted(view.tables() - columns.keys()):
            findings.append(Finding(table, "is missing in ClickHouse", view.where))
        used = {column for field in view.fields.values() for column in field.columns}
        for table in sorted(view.tables() & columns.keys()):
            source, resolved = VIEW_SOURCES.get(table, (table, frozenset()))
            for column in sorted((columns[table] | columns.get(source, set())) - used - resolved):
                owner = table if column in columns[table] else source
                findings.append(Finding(f"{owner}.{column}", "is read by no field", view.where))
        findings += _missing_columns(view, columns)
    return findings


def _missing_columns(view: View, columns: Mapping[str, set[str]]) -> list[Finding]:
    """Find columns that the table of a query lacks. The fields of a query together pick its table, so try all pairs."""
    findings: dict[tuple[str, str], Finding] = {}
    fields = list(view.fields.values())
    for pair in [*((field,) for field in fields), *combinations(fields, 2)]:
        table = view.table_for(frozenset(field.full_name for field in pair))
        for field in pair:
            for column in field.columns - columns.get(table, set()) if table in columns else ():
                names = " with ".join(each.name for each in pair)
                what = f"reads {column}, which {table} lacks ({names})"
                findings.setdefault((field.name, column), Finding(field.full_name, what, field.where))
    return list(findings.values())


def _columns(client: Client) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    rows = client.query(
        "SELECT table, name FROM system.columns WHERE database = {database:String}",
        parameters={"database": client.database},
    ).result_rows
    for table, name in rows:
        found.setdefault(str(table), set()).add(str(name))
    return found


def _sums(client: Client, project: Project, query: Query, now: dt.datetime | None) -> _Sums:
    """The sums over all groups of a query, without its limit."""
    compiled = compile_query(project, query, str(client.database), now)
    kWh, readings = (quoted(name) for name in EXACT_TOTALS)
    row = _first_row(client, f"SELECT sum({kWh}), sum({readings}) FROM\n(\n{compiled.unlimited}\n)", compiled)
    return _Sums(row[0], int(row[1]), compiled.table)


def _row_count(client: Client, compiled: Compiled) -> int:
    """The number of rows of a query without its limit; with pivots, of the pivoted table."""
    keys = [quoted(column.name) for column in compiled.columns if not column.is_measure and not column.is_pivot]
    if not keys:
        return 1
    sql = f"SELECT count() FROM (SELECT DISTINCT {', '.join(keys)} FROM\n(\n{compiled.unlimited}\n))"
    return int(_first_row(client, sql, compiled)[0])


def _first_row(client: Client, sql: str, compiled: Compiled) -> Any:
    return client.query(sql, parameters=dict(compiled.parameters)).result_rows[0]


def _problem(client: Client, sql: str, parameters: Mapping[str, object]) -> str:
    """ClickHouse's error message for a statement, empty if it runs; transient errors are raised."""
    try:
        client.query(sql, parameters=dict(parameters))
    except DatabaseError as error:
        if is_transient(error):
            raise
        return str(error)
    return ""
