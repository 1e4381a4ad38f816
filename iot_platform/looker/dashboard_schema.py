"""The parameters of LookML dashboards that are supported here. Any other is refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iot_platform.errors import LookmlError

# Parameter -> type of its value; [type]: a list of such values.
Shapes = Mapping[str, type | list[type]]

DASHBOARD: Shapes = {
    "dashboard": str,
    "title": str,
    "description": str,
    "preferred_viewer": str,
    "layout": str,
    "crossfilter_enabled": bool,
    "filters_location_top": bool,
    "refresh": str,
    "filters": [dict],
    "elements": [dict],
}
FILTER: Shapes = {
    "name": str,
    "title": str,
    "type": str,
    "default_value": str,
    "allow_multiple_values": bool,
    "required": bool,
    "ui_config": dict,
    "model": str,
    "explore": str,
    "field": str,
}
UI_CONFIG: Shapes = {"type": str, "display": str, "options": [str]}
UI_WORDS = {
    "type": {"relative_timeframes", "tag_list", "advanced", "checkboxes", "dropdown_menu"},
    "display": {"inline", "popover"},
}
TILE: Shapes = {
    "name": str,
    "title": str,
    "type": str,
    "note": dict,
    "model": str,
    "explore": str,
    "fields": [str],
    "pivots": [str],
    "filters": dict,
    "sorts": [str],
    "limit": int,
    "column_limit": int,
    "listen": dict,
    "row": int,
    "col": int,
    "width": int,
    "height": int,
}
NOTE: Shapes = {"text": str, "state": str, "display": str}
# Display options of each visualization: Looker and the preview use them; the SQL does not depend on them.
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


def check_shape(raw: Mapping[str, Any], known: Shapes, where: str) -> None:
    """Raise LookmlError for a parameter that is not in ``known``, or whose value has another type."""
    unknown = sorted(map(str, raw.keys() - known.keys()))
    if unknown:
        raise LookmlError(f"{where}: {', '.join(unknown)} is not supported. Supported: {', '.join(sorted(known))}.")
    for name, value in raw.items():
        shape = known[name]
        if not fits(value, shape):
            kind = f"a list of {shape[0].__name__}" if isinstance(shape, list) else shape.__name__
            raise LookmlError(f"{where}: {name} must be {kind}, not {value!r}; text may need quotation marks.")


def fits(value: object, shape: type | list[type]) -> bool:
    """Whether a value has a type, or is a list of values of it."""
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(each, shape[0]) for each in value)
    # In Python, True is an int; in Looker it is no number.
    return isinstance(value, shape) and not (shape is int and isinstance(value, bool))
