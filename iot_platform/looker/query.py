"""A query of one explore, as in Looker: its fields, filters, pivots and sorts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

# Looker's own limits: rows of a query without a limit, rows of a tile at most, columns of a pivot at most.
DEFAULT_LIMIT, MAX_LIMIT, MAX_COLUMNS = 500, 5000, 200


@dataclass(frozen=True)
class Query:
    """A query of an explore. Fields are given as ``view.field``. ``filters``: field -> filter expression.

    ``sorts``: "view.field" or "view.field desc". ``limit``: most rows; with pivots, most rows of the pivoted table.
    """

    explore: str
    fields: tuple[str, ...]
    filters: Mapping[str, str] = field(default_factory=dict)
    pivots: tuple[str, ...] = ()
    sorts: tuple[str, ...] = ()
    limit: int = DEFAULT_LIMIT

    def filtered(self, filters: Mapping[str, str]) -> Query:
        """The query with more filters. A new filter replaces an existing one on the same field."""
        return replace(self, filters={**self.filters, **filters})
