"""The names of the months in several languages, from month_names.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

import pyarrow as pa
from pyarrow import compute

from iot_platform.readings.files.header_names import normal, with_umlauts_apart
from iot_platform.readings.files.raw_rows import Column

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute


def month_numbers(names: Column) -> Column:
    """The numbers 01 to 12, as text, of names of months; NULL for other words."""
    known = _months()
    numbers = pa.array([f"{number:02}" for number in known.values()])
    return numbers.take(pc.index_in(pc.utf8_lower(names), pa.array(list(known))))


@cache
def _months() -> dict[str, int]:
    text = resources.files(__package__ or "").joinpath("month_names.toml").read_text(encoding="utf-8")
    found: dict[str, int] = {}
    for number, names in enumerate(tomllib.loads(text)["names"], start=1):
        for name in names:
            for spelling in (name, normal(name), with_umlauts_apart(name)):
                assert found.setdefault(spelling, number) == number, spelling
    return found
