"""What the page asks for: the dashboard's definition, the rows of a tile, values to choose from in a filter."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from iot_platform.dashboard.clickhouse_pool import Source, UnavailableError
from iot_platform.dashboard.query_cache import Answers
from iot_platform.errors import PlatformError
from iot_platform.looker.compiler import Column, Compiled, compile_query
from iot_platform.looker.dashboard import Dashboard, DashboardFilter
from iot_platform.looker.project import Project
from iot_platform.looker.query import DEFAULT_LIMIT, MAX_LIMIT, Query
from iot_platform.settings import Settings

KEPT_ANSWERS = 256
# What the page needs to know of a tile.
_SHOWN = ("name", "title", "type", "note", "row", "column", "width", "height")


class UnknownNameError(PlatformError):
    """The page asked for a tile, filter or field that is not on the dashboard."""


class Tiles:
    """A dashboard of the project over a source of data. Safe to use from many threads."""

    def __init__(self, project: Project, dashboard: Dashboard, source: Source, settings: Settings) -> None:
        """The source must watch ``tables_of(project, dashboard, ...)``."""
        self.dashboard = dashboard
        self._project = project
        self._source = source
        self._database = settings.clickhouse_database
        self._tiles = {tile.name: tile for tile in dashboard.tiles}
        self._filters = {filter_.name: filter_ for filter_ in dashboard.filters}
        self._answers: Answers[dict[str, Any]] = Answers(KEPT_ANSWERS, settings.dashboard_query_timeout_s * 2)

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
        tile = self._named(self._tiles, name, "tile")
        for filter_ in values:
            self._named(self._filters, filter_, "filter")
        return self._answer(tile.query_with({**self.dashboard.defaults(), **values}).filtered(cross))

    def suggestions(self, name: str) -> dict[str, Any]:
        """The values that the field of a filter has, in order; ``is_cut``: there are more."""
        filter_: DashboardFilter = self._named(self._filters, name, "filter")
        field = filter_.field
        answer = self._answer(Query(filter_.explore, fields=(field,), sorts=(field,), limit=MAX_LIMIT))
        values = answer["data"][answer["columns"][0]["name"]]
        return {"values": [value for value in values if value not in (None, "")], "is_cut": answer["is_cut"]}

    def _answer(self, query: Query) -> dict[str, Any]:
        # No field is finer than an hour, so all viewers of a minute share the clock.
        now = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)
        compiled = compile_query(self._project, query, self._database, now)
        version = self._source.version()
        question = (version.fingerprint, compiled.sql, repr(compiled.parameters))
        try:
            return self._answers.get(question, lambda: self._ask(query, compiled, version.fingerprint))
        except TimeoutError:
            raise UnavailableError("ClickHouse gave no answer in time to another viewer's equal question.") from None

    def _ask(self, query: Query, compiled: Compiled, version: str) -> dict[str, Any]:
        answer = self._source.ask(compiled.sql, compiled.parameters)
        # Without rows clickhouse-connect has no columns, either.
        values = answer.columns or [[] for _ in compiled.columns]
        columns, data = _places(compiled.columns, [[_json(value) for value in column] for column in values])
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

    def _named(self, known: Mapping[str, Any], name: str, kind: str) -> Any:
        if name not in known:
            raise UnknownNameError(f"There is no {kind} {name!r} on this dashboard; it has {', '.join(known)}.")
        return known[name]


def tables_of(project: Project, dashboard: Dashboard, settings: Settings) -> set[str]:
    """The tables that the tiles read with the default filters."""
    queries = [tile.query_with(dashboard.defaults()) for tile in dashboard.tiles]
    return {compile_query(project, query, settings.clickhouse_database).table for query in queries}


def _places(columns: Sequence[Column], values: Sequence[list[Any]]) -> tuple[list[Column], dict[str, list[Any]]]:
    """Columns and their values by name, latitude and longitude of a location made into one: [latitude, longitude]."""
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
    """Whether the limit may have left rows out. A row of Looker has all pivots side by side.

    A limit below Looker's default is a choice: the largest ten.
    """
    keys = [data[column.name] for column in columns if not column.is_measure and column.field not in query.pivots]
    return query.limit >= DEFAULT_LIMIT and len(set(map(str, zip(*keys, strict=True)))) >= query.limit


def _json(value: object) -> object:
    """A value of ClickHouse in JSON: times without a zone (they are UTC or the site's clock), no NaN."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat(timespec="minutes")
    if isinstance(value, dt.date):
        return value.isoformat()
    return value
