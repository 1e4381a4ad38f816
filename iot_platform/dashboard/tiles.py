"""The data of the page: the dashboard's definition, the rows of a tile, the values that a filter offers."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from iot_platform.dashboard.clickhouse_pool import ClickHousePool, UnavailableError
from iot_platform.dashboard.query_cache import QueryCache
from iot_platform.errors import PlatformError
from iot_platform.layers.catalog import MART_TABLES
from iot_platform.looker.compiler import Column, Compiled, compile_query
from iot_platform.looker.dashboard import Dashboard, DashboardFilter
from iot_platform.looker.project import Project
from iot_platform.looker.query import DEFAULT_LIMIT, MAX_LIMIT, Query
from iot_platform.settings import Settings

KEPT_RESULTS = 256
# The properties of a tile that the page needs.
_SHOWN = ("name", "title", "type", "note", "row", "column", "width", "height")


class UnknownNameError(PlatformError):
    """A request names a tile, filter or field that is not on the dashboard."""


class Tiles:
    """A dashboard of the project with its data. Safe to use from many threads."""

    def __init__(self, project: Project, dashboard: Dashboard, pool: ClickHousePool, settings: Settings) -> None:
        """``pool`` must watch the tables of ``tables_of(project, dashboard, ...)``."""
        self.dashboard = dashboard
        self._project = project
        self._pool = pool
        self._database = settings.clickhouse_database
        self._tiles = {tile.name: tile for tile in dashboard.tiles}
        self._filters = {filter_.name: filter_ for filter_ in dashboard.filters}
        self._cache: QueryCache[dict[str, Any]] = QueryCache(KEPT_RESULTS, settings.dashboard_query_timeout_s * 2)

    def definition(self) -> dict[str, Any]:
        """Title, filters and tiles with their layout, as JSON."""
        return {
            "title": self.dashboard.title,
            "database": self._database,
            "filters": [dataclasses.asdict(filter_) for filter_ in self._filters.values()],
            "tiles": [{name: getattr(tile, name) for name in _SHOWN} for tile in self._tiles.values()],
        }

    def rows(self, name: str, values: Mapping[str, str], cross: Mapping[str, str]) -> dict[str, Any]:
        """The rows of a tile by column, with its SQL, as JSON.

        ``values``: expressions by filter name, where they differ from the default; ``cross``: expressions by field,
        from a click on another tile. Raises UnknownNameError, a LookML or filter error, or UnavailableError.
        """
        tile = self._lookup(self._tiles, name, "tile")
        for filter_ in values:
            self._lookup(self._filters, filter_, "filter")
        return self._cached_result(tile.query_with({**self.dashboard.defaults(), **values}).filtered(cross))

    def suggestions(self, name: str) -> dict[str, Any]:
        """The values of a filter's field, in order; ``is_cut``: there are more."""
        filter_: DashboardFilter = self._lookup(self._filters, name, "filter")
        field = filter_.field
        answer = self._cached_result(Query(filter_.explore, fields=(field,), sorts=(field,), limit=MAX_LIMIT))
        values = answer["data"][answer["columns"][0]["name"]]
        return {"values": [value for value in values if value not in (None, "")], "is_cut": answer["is_cut"]}

    def _cached_result(self, query: Query) -> dict[str, Any]:
        # No field is finer than an hour. With the time cut to minutes, viewers share results.
        now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
        compiled = compile_query(self._project, query, self._database, now)
        version = self._pool.version()
        key = (version.fingerprint, compiled.sql, repr(compiled.parameters))
        try:
            return self._cache.get(key, lambda: self._run(query, compiled, version.fingerprint))
        except TimeoutError:
            raise UnavailableError("ClickHouse did not answer the same query of another viewer in time.") from None

    def _run(self, query: Query, compiled: Compiled, version: str) -> dict[str, Any]:
        answer = self._pool.query(compiled.sql, compiled.parameters)
        # clickhouse-connect returns no columns when there are no rows.
        values = answer.columns or [[] for _ in compiled.columns]
        columns, data = _join_locations(compiled.columns, [[_json(value) for value in column] for column in values])
        rows = len(next(iter(data.values())))
        return {
            "columns": [dataclasses.asdict(column) for column in columns],
            "pivots": list(query.pivots),
            "data": data,
            "rows": rows,
            "limit": query.limit,
            "is_cut": _is_cut(query, columns, data),
            "sql": compiled.pretty,
            "table": compiled.table,
            "milliseconds": round(answer.milliseconds, 1),
            "version": version,
        }

    def _lookup(self, known: Mapping[str, Any], name: str, kind: str) -> Any:
        if name not in known:
            raise UnknownNameError(f"There is no {kind} {name!r} on this dashboard; it has {', '.join(known)}.")
        return known[name]


def tables_of(project: Project, dashboard: Dashboard, settings: Settings) -> set[str]:
    """The tables that the tiles read with the default filters; for a view, the table behind it."""
    queries = [tile.query_with(dashboard.defaults()) for tile in dashboard.tiles]
    names = {compile_query(project, query, settings.clickhouse_database).table for query in queries}
    return {MART_TABLES.get(name, name) for name in names}


def _join_locations(
    columns: Sequence[Column], values: Sequence[list[Any]]
) -> tuple[list[Column], dict[str, list[Any]]]:
    """Columns and their values by name. A location's two columns become one of [latitude, longitude] pairs."""
    kept: list[Column] = []
    data: dict[str, list[Any]] = {}
    for column, cells in zip(columns, values, strict=True):
        if column.part == "longitude":
            data[kept[-1].name] = [
                None if None in pair else list(pair) for pair in zip(data[kept[-1].name], cells, strict=True)
            ]
        else:
            kept.append(column)
            data[column.name] = cells
    return kept, data


def _is_cut(query: Query, columns: Sequence[Column], data: Mapping[str, list[Any]]) -> bool:
    """Whether the limit may have cut rows off. As in Looker, the values of all pivots are in the same row.

    A limit below Looker's default is intended, as in a top-ten tile.
    """
    keys = [data[column.name] for column in columns if not column.is_measure and column.field not in query.pivots]
    return query.limit >= DEFAULT_LIMIT and len(set(map(str, zip(*keys, strict=True)))) >= query.limit


def _json(value: object) -> object:
    """A value of ClickHouse for JSON: times without a zone (they are UTC or local to the site), no NaN."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat(timespec="minutes")
    if isinstance(value, dt.date):
        return value.isoformat()
    return value
