"""A query as Looker asks it: the fields, filters, pivots and sorts of one explore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

# Looker's own limits: rows of a query without a limit, rows of a tile at most, columns of a pivot at most.
DEFAULT_LIMIT, MAX_LIMIT, MAX_COLUMNS = 500, 5000, 200


@dataclass(frozen=True)
class Query:
    """What is asked of an explore; fields by full name. ``filters``: field -> filter expression.

    ``sorts``: "view.field" or "view.field desc". ``limit``: most rows; with pivots, most rows of the pivoted table.
    """

    explore: str
    fields: tuple[str, ...]
    filters: Mapping[str, str] = field(default_factory=dict)
    pivots: tuple[str, ...] = ()
    sorts: tuple[str, ...] = ()
    limit: int = DEFAULT_LIMIT

    def filtered(self, filters: Mapping[str, str]) -> Query:
        """The query with more filters; those on the same field are replaced."""
        return replace(self, filters={**self.filters, **filters})
