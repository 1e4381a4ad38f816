"""The names of the options of a file, and the values that they may have, on the command line and in mapping files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from iot_platform.readings.files.csv_text import known_encoding
from iot_platform.readings.files.file_format import FORMATS
from iot_platform.readings.files.time_formats import check_time_format
from iot_platform.readings.files.units import UNITS
from iot_platform.readings.files.whole_file_meter import check_name_pattern

_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}

# A key says what it is by its value: interval = "30min".
_KEYS = {"interval_s": "interval"}
_OPTIONS = {"register": "--register/--interval-values"}


def key_of(field: str) -> str:
    """The key of a field of FileOptions in a mapping file."""
    return _KEYS.get(field, field)


def option_of(field: str) -> str:
    """The option of the command line for a field of FileOptions."""
    return _OPTIONS.get(field, "--" + key_of(field).replace("_", "-"))


def zone_of(text: str) -> str:
    """The name of a time zone. Raises ValueError when there is none of this name."""
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {text!r}. Use a name such as Europe/London.") from error
    return text


def seconds_of(text: str) -> int:
    """Seconds of an interval such as 30min. Raises ValueError for other texts."""
    found = re.fullmatch(r"([0-9]{1,6})\s*([a-z]+)", text.strip().lower())
    if found is None or found[2] not in _SECONDS or not int(found[1]):
        raise ValueError(f"{text!r} is not an interval. Use a number and s, min, h or d, such as 30min.")
    return int(found[1]) * _SECONDS[found[2]]


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is none of {', '.join(allowed)}.")
        return text

    return check


# By the field of FileOptions: the value that a text stands for. Fields whose type says which values they may have (true
# or false, one of some words) need none.
CHECKS: Mapping[str, Callable[[str], Any]] = {
    "timezone": zone_of,
    "interval_s": seconds_of,
    "unit": _one_of(UNITS),
    "timestamp_format": check_time_format,
    "device_from_name": check_name_pattern,
    "encoding": known_encoding,
    "format": _one_of(FORMATS),
}
