"""The LookML parameters that are supported here. Any other is refused by name, never ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from iot_platform.errors import LookmlError

# Named as in lkml's result: a parameter that may repeat is plural; each object has its name under "name".
_SHOWN = frozenset({"label", "description"})
_FIELD = _SHOWN | {"name", "type", "hidden", "group_label", "drill_fields"}
PARAMETERS: Mapping[str, frozenset[str]] = {
    "manifest": frozenset({"project_name", "constants"}),
    "constant": frozenset({"name", "value", "export"}),
    "model": frozenset({"connection", "label", "includes", "week_start_day", "datagroups", "persist_with", "explores"}),
    "datagroup": _SHOWN | {"name", "sql_trigger", "max_cache_age"},
    "explore": _SHOWN | {"name", "group_label"},
    "view": frozenset({"name", "label", "sql_table_name", "dimensions", "dimension_groups", "measures"}),
    "dimension": _FIELD | {"sql", "sql_latitude", "sql_longitude", "value_format"},
    "dimension_group": _FIELD | {"sql", "timeframes", "convert_tz", "datatype"},
    "measure": _FIELD | {"sql", "value_format"},
}

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_parameters(kind: str, raw: Mapping[str, Any], where: str) -> None:
    """Raise LookmlError when an object has a parameter that its kind does not support."""
    unknown = sorted(raw.keys() - PARAMETERS[kind])
    if unknown:
        raise LookmlError(
            f"{where}: {kind} has {', '.join(unknown)}, which is not supported. "
            f"Supported: {', '.join(sorted(PARAMETERS[kind]))}."
        )


def name_of(raw: Mapping[str, Any], where: str) -> str:
    """The name of an object. Looker allows a-z, 0-9 and _."""
    name = str(raw.get("name", ""))
    if not _NAME.fullmatch(name):
        raise LookmlError(f"{where}: the name {name!r} must begin with a-z and contain only a-z, 0-9 and _.")
    return name


def flag(raw: Mapping[str, Any], parameter: str, where: str) -> bool:
    """The value of a yes/no parameter; no when it is missing."""
    value = raw.get(parameter, "no")
    if value not in ("yes", "no"):
        raise LookmlError(f"{where}: {parameter} must be yes or no, not {value}.")
    return bool(value == "yes")
