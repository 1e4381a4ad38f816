"""How a file is read: each option of files, its value for this file, and where that is known from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.inspected import Inspection
from iot_platform.readings.files.option_values import key_of
from iot_platform.readings.mapping_files import NOT_IN_FILES, ResolvedOptions

# Field, value, and origin, as they are shown.
Line = tuple[str, str, str]

_IN_HEADER, _IN_FILE, _ASSUMED, _UNSET = "column's name", "found in the file", "assumed", "not set"
# What an inspection finds for options that are not set.
_FOUND: Mapping[str, Callable[[Inspection], tuple[str, str]]] = {
    "timestamp_column": lambda found: _column(found, found.columns.timestamp, "date and time"),
    "device_column": lambda found: _column(found, found.columns.device, "meter"),
    "value_column": lambda found: _column(found, found.columns.value, ""),
    "unit": lambda found: (found.unit, found.unit_from),
    "timezone": lambda found: (found.time_zone, found.time_zone_from),
    "stamp": lambda found: (found.stamp, found.stamp_from),
    "interval_s": lambda found: (found.interval, _IN_FILE),
    "timestamp_format": lambda found: (found.time_format, _IN_FILE),
    "decimal": lambda found: (found.decimal, _IN_FILE),
    "register": lambda found: ("false", _ASSUMED),
    "format": lambda found: (found.format, found.format_from),
    "encoding": lambda found: next(
        ((fact.taken_as, fact.known_from) for fact in found.facts if fact.name == "encoding"), ("", _UNSET)
    ),
}


def explain(found: Inspection, resolved: ResolvedOptions) -> list[Line]:
    """The options of a file that was inspected, in the order of FileOptions."""
    lines = []
    for field in fields(FileOptions):
        if field.name in NOT_IN_FILES:
            continue
        if field.name in resolved.origins:
            value: str = _text(field.name, getattr(resolved.options, field.name))
            origin = resolved.origins[field.name]
        elif field.name in _FOUND:
            value, origin = _FOUND[field.name](found)
        else:
            value, origin = _text(field.name, field.default), _UNSET
        lines.append((key_of(field.name), value, origin))
    return lines


def _column(found: Inspection, name: str, made: str) -> tuple[str, str]:
    """A column, and where it is known from; ``made``: the fact of a column that was made from others or an option."""
    return name, next((fact.known_from for fact in found.facts if fact.name == made), _IN_HEADER)


def _text(field: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value} s" if field == "interval_s" else str(value)
