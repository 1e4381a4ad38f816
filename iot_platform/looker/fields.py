"""What a view and its fields are, once read: SQL with ``${TABLE}`` as the only reference left."""

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
    """One field as a query names it.

    ``parts`` is its SQL by part: one without a name, or latitude and longitude. ``base`` is what a filter on a
    timeframe compares. ``columns`` are the columns of the table that the SQL reads.
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
    group_label: str
    value_format: str
    is_hidden: bool
    where: str

    @property
    def full_name(self) -> str:
        return f"{self.view}.{self.name}"

    @property
    def sql(self) -> str:
        """The SQL for reading; of a location: latitude, longitude."""
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
        """The table that a query with these fields (selected or filtered on) reads."""
        return self._table_name(self.table.render(in_query))

    def tables(self) -> set[str]:
        """All tables that the view can read."""
        return {self._table_name(text) for text in self.table.texts()}

    def _table_name(self, text: str) -> str:
        match = _TABLE_NAME.fullmatch(text)
        if not match:
            raise LookmlError(f"{self.where}: sql_table_name is {text!r}; it must be @{{database}}.TABLE.")
        return match.group(1)
