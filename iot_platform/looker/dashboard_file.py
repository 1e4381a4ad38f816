"""Read LookML dashboards from YAML, strictly."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from iot_platform.errors import LookmlError
from iot_platform.looker.dashboard import Dashboard, DashboardFilter, Tile
from iot_platform.looker.dashboard_schema import (
    DASHBOARD,
    FILTER,
    NOTE,
    OPTIONS,
    TILE,
    UI_CONFIG,
    UI_WORDS,
    check_shape,
    fits,
)
from iot_platform.looker.query import DEFAULT_LIMIT, MAX_COLUMNS, MAX_LIMIT, Query

_PLACE = ("row", "col", "width", "height")
_COLUMNS = 24  # width of the newspaper layout

# (explore, field, where): raises LookmlError when the explore has no such field.
FieldCheck = Callable[[str, str, str], None]


def read_dashboards(path: Path, file: str, model: str, check_field: FieldCheck) -> list[Dashboard]:
    """The dashboards of a .dashboard.lookml file; ``file`` is its path relative to the project.

    Raises LookmlError naming what is unknown or wrong.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except yaml.YAMLError as error:
        raise LookmlError(f"{file}: cannot be read as YAML: {error}") from error
    if not fits(raw, [dict]):
        raise LookmlError(f"{file}: must be a list of dashboards.")
    return [_Reader(file, model, check_field).dashboard(each) for each in raw]


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice; PyYAML's own loader accepts it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


class _Reader:
    def __init__(self, file: str, model: str, check_field: FieldCheck) -> None:
        self._file, self._where, self._model, self._check_field = file, file, model, check_field

    def dashboard(self, raw: Mapping[str, Any]) -> Dashboard:
        self._where = f"{self._file}, dashboard {raw.get('dashboard')}"
        check_shape(raw, DASHBOARD, self._where)
        for parameter, wanted in (("layout", "newspaper"), ("preferred_viewer", "dashboards-next")):
            _one_of(raw, parameter, {wanted}, self._where)
        filters = tuple(self._filter(each) for each in raw.get("filters", []))
        by_name = {each.name: each for each in filters}
        tiles = tuple(self._tile(each, by_name) for each in raw.get("elements", []))
        for names in ([each.name for each in filters], [each.name for each in tiles]):
            if len(set(names)) < len(names):
                raise LookmlError(f"{self._where}: a name is given twice among {', '.join(names)}.")
        return Dashboard(
            name=_text(raw, "dashboard", self._where),
            title=_text(raw, "title", self._where),
            filters=filters,
            tiles=tiles,
            file=self._file,
            where=self._where,
        )

    def _filter(self, raw: Mapping[str, Any]) -> DashboardFilter:
        where = f"{self._where}, filter {raw.get('name')}"
        check_shape(raw, FILTER, where)
        _one_of(raw, "type", {"field_filter"}, where)
        _one_of(raw, "model", {self._model}, where)
        ui = raw.get("ui_config", {})
        check_shape(ui, UI_CONFIG, where)
        for parameter, words in UI_WORDS.items():
            if parameter in ui:
                _one_of(ui, parameter, words, where)
        explore, field = _text(raw, "explore", where), _text(raw, "field", where)
        self._check_field(explore, field, where)
        return DashboardFilter(
            name=_text(raw, "name", where),
            title=_text(raw, "title", where),
            default=raw.get("default_value", ""),
            field=field,
            explore=explore,
            allow_multiple=raw.get("allow_multiple_values") is True,
            is_required=raw.get("required") is True,
            options=tuple(ui.get("options", [])),
        )

    def _tile(self, raw: Mapping[str, Any], filters: Mapping[str, DashboardFilter]) -> Tile:
        where = f"{self._where}, tile {raw.get('name')}"
        _one_of(raw, "type", set(OPTIONS), where)
        check_shape(raw, {**TILE, **dict.fromkeys(OPTIONS[raw["type"]], object)}, where)
        _one_of(raw, "model", {self._model}, where)
        if "limit" not in raw:
            raise LookmlError(f"{where}: limit is missing; Looker would cut the tile off at {DEFAULT_LIMIT} rows.")
        listen = _texts(raw, "listen", where)
        query = self._query(raw, where)
        for name, field in listen.items():
            if name not in filters:
                raise LookmlError(f"{where}: listens to {name}, which is not a filter of the dashboard.")
            self._check_field(query.explore, field, where)
            if field in query.filters:
                raise LookmlError(f"{where}: has a filter on {field} and also listens to {name} for it.")
        return Tile(
            name=_text(raw, "name", where),
            title=_text(raw, "title", where),
            type=raw["type"],
            query=query,
            listen=listen,
            **_place(raw, where),
            options={name: value for name, value in raw.items() if name not in TILE},
            note=_note(raw.get("note", {}), where),
            where=where,
        )

    def _query(self, raw: Mapping[str, Any], where: str) -> Query:
        explore = _text(raw, "explore", where)
        filters = _texts(raw, "filters", where)
        names = [*raw.get("fields", []), *raw.get("pivots", []), *filters]
        names += [sort.partition(" ")[0] for sort in raw.get("sorts", [])]
        for name in names:
            self._check_field(explore, name, where)
        if not 0 < raw.get("column_limit", MAX_COLUMNS) <= MAX_COLUMNS or not 0 < raw["limit"] <= MAX_LIMIT:
            raise LookmlError(f"{where}: limit must be 1 to {MAX_LIMIT}, column_limit 1 to {MAX_COLUMNS}.")
        return Query(
            explore=explore,
            fields=tuple(raw.get("fields", [])),
            filters=filters,
            pivots=tuple(raw.get("pivots", [])),
            sorts=tuple(raw.get("sorts", [])),
            limit=raw["limit"],
        )


def _place(raw: Mapping[str, Any], where: str) -> dict[str, int]:
    if not raw.keys() >= set(_PLACE) or raw["col"] + raw["width"] > _COLUMNS or min(raw[name] for name in _PLACE) < 0:
        raise LookmlError(f"{where}: {', '.join(_PLACE)} are required and must lie within {_COLUMNS} columns.")
    return {"row": raw["row"], "column": raw["col"], "width": raw["width"], "height": raw["height"]}


def _note(raw: Mapping[str, Any], where: str) -> str:
    check_shape(raw, NOTE, f"{where}, note")
    return str(raw.get("text", ""))


def _texts(raw: Mapping[str, Any], parameter: str, where: str) -> dict[str, str]:
    """A parameter that maps names to strings."""
    texts: dict[str, str] = raw.get(parameter, {})
    for name, text in texts.items():
        if not fits([name, text], [str]):
            raise LookmlError(f"{where}: {parameter} of {name} must be a string: put {text} in quotation marks.")
    return texts


def _one_of(raw: Mapping[str, Any], parameter: str, words: set[str], where: str) -> None:
    if not isinstance(raw.get(parameter), str) or raw[parameter] not in words:
        raise LookmlError(f"{where}: {parameter} is {raw.get(parameter)}; supported: {', '.join(sorted(words))}.")


def _text(raw: Mapping[str, Any], parameter: str, where: str) -> str:
    if not isinstance(raw.get(parameter), str) or not raw[parameter]:
        raise LookmlError(f"{where}: {parameter} must be a string, not {raw.get(parameter)!r}.")
    return str(raw[parameter])
