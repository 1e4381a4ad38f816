"""Read views from LookML: resolve each field's references, build its SQL, find its columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from iot_platform.errors import LookmlError
from iot_platform.looker import liquid
from iot_platform.looker.fields import TABLE, Field, View, columns_of
from iot_platform.looker.lookml_schema import check_parameters, flag, name_of
from iot_platform.looker.timeframes import TIMEFRAMES, Grammar, Kind

_REFERENCE = re.compile(r"\$\{([^}]*)\}")

_DIMENSIONS: Mapping[str, tuple[Kind, Grammar]] = {
    "string": ("string", "strings"),
    "number": ("number", "numbers"),
    "yesno": ("yesno", "yesno"),
    "location": ("location", "location"),
}
_AGGREGATES = {
    "sum": "sum({})",
    "max": "max({})",
    "min": "min({})",
    "count_distinct": "count(DISTINCT {})",
    "number": "{}",
}


def make_view(raw: Mapping[str, Any], file: str) -> View:
    """A view from lkml's dictionary. Raises LookmlError naming the file, the object, and what is wrong in it."""
    name = name_of(raw, file)
    where = f"{file}, view {name}"
    check_parameters("view", raw, where)
    if "sql_table_name" not in raw:
        raise LookmlError(f"{where}: sql_table_name is missing.")
    fields = {field.full_name: field for field in _Builder(name, raw, where).fields()}
    table = liquid.parse(raw["sql_table_name"], where)
    view = View(name, str(raw.get("label", _default_label(name))), table, fields, file, where)
    for unknown in sorted(view.table.fields() - fields.keys()):
        raise LookmlError(f"{where}: sql_table_name tests {unknown}, which is not a field of the view.")
    view.tables()
    _check_names(view)
    for raw_field in _raw_fields(raw):
        for drill in raw_field.get("drill_fields", []):
            if f"{name}.{drill}" not in fields:
                raise LookmlError(f"{where}, {raw_field['name']}: drill_fields names {drill}, which is not a field.")
    return view


def _check_names(view: View) -> None:
    """Raise LookmlError for a field that has the name of a column, but other SQL than that column.

    Looker names the result ``view.field``, which ClickHouse may resolve to the column ``field`` of the table ``view``.
    """
    columns = {column for field in view.fields.values() for column in field.columns}
    for field in view.fields.values():
        if field.name in columns and field.sql != f"{TABLE}.{field.name}":
            raise LookmlError(f"{field.where}: has the name of the column {field.name}, but other SQL; rename it.")


def _raw_fields(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for group in ("dimensions", "dimension_groups", "measures"):
        yield from raw.get(group, [])


class _Builder:
    """Builds the fields of one view and resolves their references to one another."""

    def __init__(self, view: str, raw: Mapping[str, Any], where: str) -> None:
        self._view = view
        self._where = where
        self._measures = list(raw.get("measures", []))
        # Field name -> (kind of LookML object, the object, its timeframe or "").
        self._raw: dict[str, tuple[str, Mapping[str, Any], str]] = {}
        for dimension in raw.get("dimensions", []):
            self._add(name_of(dimension, where), "dimension", dimension)
        for measure in raw.get("measures", []):
            self._add(name_of(measure, where), "measure", measure)
        for group in raw.get("dimension_groups", []):
            for timeframe in self._timeframes(group):
                self._add(f"{group['name']}_{timeframe}", "dimension_group", group, timeframe)

    def fields(self) -> Iterator[Field]:
        for name in self._raw:
            yield self._field(name)

    def _add(self, name: str, kind: str, raw: Mapping[str, Any], timeframe: str = "") -> None:
        check_parameters(kind, raw, f"{self._where}, {kind} {raw['name']}")
        if name in self._raw:
            raise LookmlError(f"{self._where}: two fields are named {name}.")
        self._raw[name] = (kind, raw, timeframe)

    def _timeframes(self, group: Mapping[str, Any]) -> list[str]:
        where = f"{self._where}, dimension_group {name_of(group, self._where)}"
        for parameter, wanted in (("type", "time"), ("datatype", "datetime"), ("convert_tz", "no")):
            if group.get(parameter) != wanted:
                raise LookmlError(f"{where}: {parameter} must be {wanted}, not {group.get(parameter)}.")
        for timeframe in group.get("timeframes", []):
            if timeframe not in TIMEFRAMES:
                raise LookmlError(
                    f"{where}: timeframe {timeframe} is not supported. Supported: {', '.join(TIMEFRAMES)}."
                )
        if not group.get("timeframes"):
            raise LookmlError(f"{where}: timeframes are missing.")
        return list(group["timeframes"])

    def _field(self, name: str) -> Field:
        kind, raw, timeframe = self._raw[name]
        where = f"{self._where}, {kind} {raw['name']}"
        label = str(raw.get("label", _default_label(raw["name"])))
        base = ""
        if kind == "dimension_group":
            frame = TIMEFRAMES[timeframe]
            base = self._sql(raw, "sql", where)
            parts, values, grammar = {"": frame.sql.format(base)}, frame.kind, frame.grammar
            label = f"{label} {frame.label}"
        elif kind == "dimension":
            values, grammar = _DIMENSIONS[self._known_type(raw, _DIMENSIONS, where)]
            suffixes = (
                {"latitude": "sql_latitude", "longitude": "sql_longitude"} if values == "location" else {"": "sql"}
            )
            parts = {part: self._sql(raw, parameter, where) for part, parameter in suffixes.items()}
        else:
            pattern = _AGGREGATES[self._known_type(raw, _AGGREGATES, where)]
            parts, values, grammar = {"": pattern.format(self._sql(raw, "sql", where))}, "number", "numbers"
        return Field(
            view=self._view,
            name=name,
            kind=values,
            grammar=grammar,
            is_measure=kind == "measure",
            parts=parts,
            base=base or next(iter(parts.values())),
            columns=frozenset(column for sql in parts.values() for column in columns_of(sql)),
            label=label,
            description=str(raw.get("description", "")),
            value_format=str(raw.get("value_format", "")).replace('\\"', '"'),
            is_hidden=flag(raw, "hidden", where),
            where=where,
        )

    def _known_type(self, raw: Mapping[str, Any], known: Iterable[str], where: str) -> str:
        name = str(raw.get("type", "string"))
        if name not in known:
            raise LookmlError(f"{where}: type {name} is not supported. Supported: {', '.join(known)}.")
        return name

    def _sql(self, raw: Mapping[str, Any], parameter: str, where: str, path: tuple[str, ...] = ()) -> str:
        """The parameter's SQL with every reference but ${TABLE} resolved."""
        if parameter not in raw:
            raise LookmlError(f"{where}: {parameter} is missing.")
        text = str(raw[parameter]).strip()
        if "{%" in text or "{{" in text or "@{" in text:
            raise LookmlError(f"{where}: Liquid and constants are not supported in {parameter}.")
        return _REFERENCE.sub(lambda match: self._resolved(match.group(1), raw, where, path), text)

    def _resolved(self, name: str, raw: Mapping[str, Any], where: str, path: tuple[str, ...]) -> str:
        if name == "TABLE":
            return TABLE
        if name not in self._raw:
            raise LookmlError(f"{where}: ${{{name}}} is not a field of view {self._view}.")
        if name in path:
            raise LookmlError(f"{where}: ${{{name}}} refers to itself through {' -> '.join(path)}.")
        kind, target, timeframe = self._raw[name]
        # Only a measure of type number may refer to other measures.
        may_use_measures = raw.get("type") == "number" and any(raw is measure for measure in self._measures)
        if (kind == "measure") != may_use_measures or target.get("type") == "location":
            raise LookmlError(
                f"{where}: ${{{name}}} is a {kind} of type {target.get('type')}, which cannot be used there."
            )
        sql = self._sql(target, "sql", where, (*path, name))
        if kind == "measure":
            sql = _AGGREGATES[self._known_type(target, _AGGREGATES, where)].format(sql)
        return f"({TIMEFRAMES[timeframe].sql.format(sql) if timeframe else sql})"


def _default_label(name: str) -> str:
    return name.replace("_", " ").title()
