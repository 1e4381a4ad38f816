"""A dashboard as read from LookML: its filters, and its tiles with their queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iot_platform.looker.query import Query


@dataclass(frozen=True)
class DashboardFilter:
    """A filter of a dashboard. ``default``: a filter expression; ``options``: the expressions it offers."""

    name: str
    title: str
    default: str
    field: str
    explore: str
    allow_multiple: bool
    is_required: bool
    options: tuple[str, ...]


@dataclass(frozen=True)
class Tile:
    """A tile. ``listen``: dashboard filter -> field it filters; ``row`` to ``height``: its place in 24 columns."""

    name: str
    title: str
    type: str
    query: Query
    listen: Mapping[str, str]
    row: int
    column: int
    width: int
    height: int
    options: Mapping[str, Any]
    note: str
    where: str

    def query_with(self, values: Mapping[str, str]) -> Query:
        """The query with values of dashboard filters (name -> filter expression); an empty one filters nothing."""
        return self.query.filtered({field: values[name] for name, field in self.listen.items() if values.get(name)})


@dataclass(frozen=True)
class Dashboard:
    """A dashboard, with its filters and tiles in the order of its ``file`` (relative to the project)."""

    name: str
    title: str
    filters: tuple[DashboardFilter, ...]
    tiles: tuple[Tile, ...]
    file: str
    where: str

    def defaults(self) -> dict[str, str]:
        """The value of each filter when the dashboard is opened."""
        return {each.name: each.default for each in self.filters}
