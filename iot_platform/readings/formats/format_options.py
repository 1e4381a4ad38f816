"""The options that each format takes. All others are refused: ignored, they would promise what does not happen."""

from __future__ import annotations

from dataclasses import fields

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.option_values import option_of

_DEFAULTS = {field.name: field.default for field in fields(FileOptions)}
_ALL = frozenset(_DEFAULTS)
# Times that name their zone need none, whatever the format.
_ALWAYS = {"format", "timezone", "device_ids", "accept_last_line"}
_OF_COLUMNS = _ALL - {"encoding", "sheet"}
_TAKEN = {
    "csv": _OF_COLUMNS | {"encoding"},
    "parquet": _OF_COLUMNS,
    "ndjson": _OF_COLUMNS,
    **dict.fromkeys(("xlsx", "xls", "ods"), _OF_COLUMNS | {"sheet"}),
    "nem12": _ALWAYS | {"unit", "override_unit"},
    "espi": _ALWAYS | {"unit", "device"},
}
# What is made of the columns of wide files.
_MADE = {
    "one row per day": {"date_column", "time_column", "value_column"},
    "one column per meter": {"date_column", "time_column", "value_column", "device_column"},
}
# They say what the formats with fixed columns say themselves.
_AS_IT_IS: dict[str, object] = {"stamp": "start", "register": False}


def refuse_options(name: str, known_from: str, options: FileOptions) -> None:
    """Raise SourceError for options that a format does not take. ``name``: one of file_format.FORMATS."""
    _refuse(_ALL - _TAKEN.get(name, _ALL), options, f"A file in the format {name} ({known_from})")


def refuse_options_of_wide(layout: str, options: FileOptions) -> None:
    """Raise SourceError for options about columns that are made. ``layout``: how the file is wide."""
    _refuse(_MADE[layout], options, f"A file with {layout}")


def _refuse(names: set[str] | frozenset[str], options: FileOptions, what: str) -> None:
    values = {name: getattr(options, name) for name in _DEFAULTS if name in names}
    given = [name for name, value in values.items() if value not in (_DEFAULTS[name], _AS_IT_IS.get(name))]
    if given:
        listing = ", ".join(option_of(name) for name in given)
        raise SourceError(f"{what} does not take {listing}: it says this itself, or has no such thing. Leave it out.")
