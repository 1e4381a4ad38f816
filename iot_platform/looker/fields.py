"""A view and its fields as read from LookML: their SQL refers to nothing but columns of ``${TABLE}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from iot_platform.errors import LookmlError
from iot_platform.looker import liquid
from iot_platform.looker.timeframes import Grammar, Kind

TABLE = "${TABLE}"
_COLUMN = re.compile(r"\$\{TABLE\}\.(\w+)")
_TABLE_NAME = re.compile(r"@\{database\}\.([A-Za-z_][A-Za-z0-9_]*)")


def columns_of(sql: str) -> set[str]:
    """The columns of ``${TABLE}`` that an SQL expression reads."""
    return set(_COLUMN.findall(sql))


@dataclass(frozen=True)
class Field:
    """One field of a view.

    ``parts``: its SQL by part; a location has latitude and longitude, any other field one part named "". ``base``: the
    SQL that a filter on a timeframe compares. ``columns``: the columns of the table that the SQL reads.
    """

    view: str
    name: str
    kind: Kind
    grammar: Grammar
    is_measure: bool
    parts: Mapping[str, str]
    base: str
    columns: frozenset[str]
    label: str
    description: str
    value_format: str
    is_hidden: bool
    where: str

    @property
    def full_name(self) -> str:
        """``view.field``, as queries name it."""
        return f"{self.view}.{self.name}"

    @property
    def sql(self) -> str:
        """The SQL to show to people; for a location: latitude, longitude."""
        return ", ".join(self.parts.values())


@dataclass(frozen=True)
class View:
    """One view; ``fields`` by their full names ``view.field``. ``file``: relative to the project."""

    name: str
    label: str
    table: liquid.Template
    fields: Mapping[str, Field]
    file: str
    where: str

    def table_for(self, in_query: frozenset[str]) -> str:
        """The table that a query reads if it selects or filters on these fields."""
        return self._table_name(self.table.render(in_query))

    def tables(self) -> set[str]:
        """All tables that the view may read."""
        return {self._table_name(text) for text in self.table.texts()}

    def _table_name(self, text: str) -> str:
        match = _TABLE_NAME.fullmatch(text)
        if not match:
            raise LookmlError(f"{self.where}: sql_table_name is {text!r}; it must be @{{database}}.TABLE.")
        return match.group(1)
