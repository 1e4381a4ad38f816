"""LookML dashboards: YAML read strictly into filters and tiles."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from iot_platform.errors import LookmlError
from iot_platform.looker.query import DEFAULT_LIMIT, MAX_COLUMNS, MAX_LIMIT, Query

_DASHBOARD = frozenset(
    {"dashboard", "title", "description", "preferred_viewer", "layout", "crossfilter_enabled", "filters_location_top"}
    | {"refresh", "filters", "elements"}
)
_FILTER = frozenset(
    {"name", "title", "type", "default_value", "allow_multiple_values", "required", "ui_config", "model", "explore"}
    | {"field"}
)
_UI_CONFIG = {
    "type": {"relative_timeframes", "tag_list", "advanced", "checkboxes", "dropdown_menu"},
    "display": {"inline", "popover"},
}
_TILE = frozenset(
    {"name", "title", "type", "note", "model", "explore", "fields", "pivots", "filters", "sorts", "limit"}
    | {"column_limit", "listen", "row", "col", "width", "height"}
)
_PLACE = ("row", "col", "width", "height")
_COLUMNS = 24  # of the newspaper layout

# Options of each visualization: shown by Looker, known to the preview, without effect on the SQL.
_AXES = {
    "x_axis_gridlines",
    "y_axis_gridlines",
    "show_view_names",
    "show_x_axis_label",
    "show_y_axis_labels",
    "x_axis_label",
    "x_axis_scale",
    "y_axis_scale_mode",
    "stacking",
    "show_value_labels",
    "legend_position",
    "series_colors",
    "series_labels",
}
OPTIONS: Mapping[str, frozenset[str]] = {
    "single_value": frozenset({"show_single_value_title", "single_value_title"}),
    "looker_area": frozenset(_AXES | {"interpolation", "point_style", "show_null_points"}),
    "looker_line": frozenset(_AXES | {"interpolation", "point_style", "show_null_points"}),
    "looker_column": frozenset(_AXES),
    "looker_bar": frozenset(_AXES),
    "looker_google_map": frozenset(
        {"map_plot_mode", "map_position", "map_marker_type", "map_marker_radius_mode", "map_marker_units"}
        | {"map_marker_radius_min", "map_marker_radius_max", "map_marker_proportional_scale_type"}
        | {"map_marker_color_mode", "map_marker_color", "show_legend", "show_view_names"}
    ),
}

# (explore, field, where): raises LookmlError when the explore has no such field.
FieldCheck = Callable[[str, str, str], None]


@dataclass(frozen=True)
class DashboardFilter:
    """A filter of a dashboard; ``default``: a filter expression; ``options``: expressions that are offered."""

    name: str
    title: str
    type: str
    default: str
    field: str
    explore: str
    allow_multiple: bool
    is_required: bool
    options: tuple[str, ...]


@dataclass(frozen=True)
class Tile:
    """One tile: its query, the dashboard filters it listens to (name -> field), its place in 24 columns, its look."""

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
        """The query under values of dashboard filters (name -> filter expression); empty: no filter."""
        return self.query.filtered({field: values[name] for name, field in self.listen.items() if values.get(name)})


@dataclass(frozen=True)
class Dashboard:
    """A dashboard, with its filters and tiles in the order of the file."""

    name: str
    title: str
    description: str
    filters: tuple[DashboardFilter, ...]
    tiles: tuple[Tile, ...]
    is_crossfiltered: bool
    where: str

    def defaults(self) -> dict[str, str]:
        """The value of each filter when the dashboard is opened."""
        return {each.name: each.default for each in self.filters}


def read_dashboards(file: Path, where: str, model: str, check_field: FieldCheck) -> list[Dashboard]:
    """The dashboards of a .dashboard.lookml file. Raises LookmlError naming what is not known or not right."""
    try:
        raw = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except yaml.YAMLError as error:
        raise LookmlError(f"{where}: cannot be read as YAML: {error}") from error
    if not isinstance(raw, list) or not all(isinstance(each, dict) for each in raw):
        raise LookmlError(f"{where}: must be a list of dashboards.")
    return [_Reader(where, model, check_field).dashboard(each) for each in raw]


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, which YAML's loader lets pass."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


class _Reader:
    def __init__(self, where: str, model: str, check_field: FieldCheck) -> None:
        self._where, self._model, self._check_field = where, model, check_field

    def dashboard(self, raw: Mapping[str, Any]) -> Dashboard:
        self._where = f"{self._where}, dashboard {raw.get('dashboard')}"
        _known(raw, _DASHBOARD, self._where)
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
            description=str(raw.get("description", "")),
            filters=filters,
            tiles=tiles,
            is_crossfiltered=raw.get("crossfilter_enabled") is True,
            where=self._where,
        )

    def _filter(self, raw: Mapping[str, Any]) -> DashboardFilter:
        where = f"{self._where}, filter {raw.get('name')}"
        _known(raw, _FILTER, where)
        _one_of(raw, "type", {"field_filter"}, where)
        _one_of(raw, "model", {self._model}, where)
        ui = raw.get("ui_config", {})
        _known(ui, _UI_CONFIG.keys() | {"options"}, where)
        for parameter, words in _UI_CONFIG.items():
            if parameter in ui:
                _one_of(ui, parameter, words, where)
        explore, field = _text(raw, "explore", where), _text(raw, "field", where)
        self._check_field(explore, field, where)
        return DashboardFilter(
            name=_text(raw, "name", where),
            title=_text(raw, "title", where),
            type=_text(raw, "type", where),
            default=str(raw.get("default_value", "")),
            field=field,
            explore=explore,
            allow_multiple=raw.get("allow_multiple_values") is True,
            is_required=raw.get("required") is True,
            options=tuple(map(str, ui.get("options", []))),
        )

    def _tile(self, raw: Mapping[str, Any], filters: Mapping[str, DashboardFilter]) -> Tile:
        where = f"{self._where}, tile {raw.get('name')}"
        _one_of(raw, "type", set(OPTIONS), where)
        _known(raw, _TILE | OPTIONS[raw["type"]], where)
        _one_of(raw, "model", {self._model}, where)
        if "limit" not in raw:
            raise LookmlError(f"{where}: limit is missing; Looker would cut it at {DEFAULT_LIMIT} rows.")
        listen = {str(name): str(field) for name, field in raw.get("listen", {}).items()}
        query = self._query(raw, where)
        for name, field in listen.items():
            if name not in filters:
                raise LookmlError(f"{where}: listens to {name}, which is no filter of the dashboard.")
            self._check_field(query.explore, field, where)
            if field in query.filters:
                raise LookmlError(f"{where}: has a filter on {field} and listens to {name} for it.")
        return Tile(
            name=_text(raw, "name", where),
            title=_text(raw, "title", where),
            type=raw["type"],
            query=query,
            listen=listen,
            **_place(raw, where),
            options={name: value for name, value in raw.items() if name not in _TILE},
            note=_note(raw.get("note", {}), where),
            where=where,
        )

    def _query(self, raw: Mapping[str, Any], where: str) -> Query:
        explore = _text(raw, "explore", where)
        filters = {str(field): expression for field, expression in raw.get("filters", {}).items()}
        names = [*raw.get("fields", []), *raw.get("pivots", []), *filters]
        names += [str(sort).partition(" ")[0] for sort in raw.get("sorts", [])]
        for name in names:
            self._check_field(explore, name, where)
        for field, expression in filters.items():
            if not isinstance(expression, str):
                raise LookmlError(
                    f"{where}: the filter on {field} must be a text; put {expression} in quotation marks."
                )
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
    if not all(isinstance(raw.get(name), int) for name in _PLACE) or raw["col"] + raw["width"] > _COLUMNS:
        raise LookmlError(f"{where}: {', '.join(_PLACE)} must be whole numbers within {_COLUMNS} columns.")
    return {"row": raw["row"], "column": raw["col"], "width": raw["width"], "height": raw["height"]}


def _note(raw: Mapping[str, Any], where: str) -> str:
    _known(raw, frozenset({"text", "state", "display"}), f"{where}, note")
    return str(raw.get("text", ""))


def _known(raw: Mapping[str, Any], known: frozenset[str] | set[str], where: str) -> None:
    unknown = sorted(map(str, raw.keys() - known))
    if unknown:
        raise LookmlError(f"{where}: {', '.join(unknown)} is not known here. Known: {', '.join(sorted(known))}.")


def _one_of(raw: Mapping[str, Any], parameter: str, words: set[str], where: str) -> None:
    if raw.get(parameter) not in words:
        raise LookmlError(f"{where}: {parameter} is {raw.get(parameter)}; known: {', '.join(sorted(words))}.")


def _text(raw: Mapping[str, Any], parameter: str, where: str) -> str:
    if not isinstance(raw.get(parameter), str) or not raw[parameter]:
        raise LookmlError(f"{where}: {parameter} must be a text, not {raw.get(parameter)!r}.")
    return str(raw[parameter])
