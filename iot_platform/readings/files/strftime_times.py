"""Times in a format that is given in strftime notation, such as %d.%m.%Y %H:%M, as ISO 8601."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pyarrow as pa
from pyarrow import compute

from iot_platform.readings.files.month_names import month_numbers
from iot_platform.readings.files.raw_rows import Column

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute

_SHORT = {"%T": "%H:%M:%S", "%R": "%H:%M", "%F": "%Y-%m-%d", "%D": "%m/%d/%y"}
_NUMBERS = {"Y": "year", "y": "year_of_century", "m": "month", "d": "day", "e": "day", "H": "hour", "k": "hour"} | {
    "I": "hour_of_12", "l": "hour_of_12", "M": "minute", "S": "second", "f": "fraction"
}  # fmt: skip
_TEXTS = {
    "b": r"(?P<month_name>\pL+)\.?",
    "p": r"(?P<half>[AaPp])\.?\s?[Mm]\.?",
    "z": r"(?P<zone>[Zz]|[+-][0-9]{2}:?[0-9]{2})",
    "a": r"\pL+\.?",
    "%": "%",
} | dict.fromkeys("Bh", r"(?P<month_name>\pL+)\.?") | {"A": r"\pL+\.?"}  # fmt: skip
# Two digits of a year: 00 to 68 are years from 2000 on, as in POSIX.
_FIRST_YEAR = 69


@cache
def pattern_of(time_format: str) -> str:
    """A regular expression with the parts of a time. Raises ValueError, with the reason, for an unusable format."""
    for short, long in _SHORT.items():
        time_format = time_format.replace(short, long)
    pieces = re.findall(r"%.|[^%]+", time_format)
    if "".join(pieces) != time_format:
        raise ValueError("it ends with a single %")
    pattern = "".join(_pattern(piece, pieces[n - 1 : n] + pieces[n + 1 : n + 2]) for n, piece in enumerate(pieces))
    names = re.findall(r"\(\?P<(\w+)>", pattern)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"it has the {twice[0].replace('_', ' ')} twice")
    for needed in (("year", "year_of_century"), ("month", "month_name"), ("day",)):
        if len(set(needed) & set(names)) != 1:
            raise ValueError(f"it needs the {needed[0]} once")
    if ("hour_of_12" in names) != ("half" in names):
        raise ValueError("%I (the hour from 1 to 12) and %p (AM or PM) belong together")
    if ("minute" in names) and not {"hour", "hour_of_12"} & set(names):
        raise ValueError("it has minutes, but no hour")
    return rf"^\s*{pattern}\s*$"


def by_strftime(texts: Column, time_format: str) -> Column:
    """Texts of a format as ISO 8601. Other texts become unreadable ones; those that stand for no value stay."""
    pattern = pattern_of(time_format)
    parts = pc.extract_regex(texts, pattern)
    found = {name: pc.struct_field(parts, name) for name in re.findall(r"\(\?P<(\w+)>", pattern)}
    date = pc.binary_join_element_wise(_year(found), _month(found), _two(found["day"]), "-")
    hour = _hour(found)
    iso = date
    if hour is not None:
        clock = [_two(found[name]) if name in found else "00" for name in ("minute", "second")]
        iso = pc.binary_join_element_wise(date, pc.binary_join_element_wise(hour, *clock, ":"), " ")
    if "fraction" in found:
        iso = pc.binary_join_element_wise(iso, found["fraction"], ".")
    if "zone" in found:
        iso = pc.binary_join_element_wise(iso, pc.utf8_upper(found["zone"]), "")
    is_other = pc.match_substring_regex(texts, r"^\s*[0-9]")
    other = pc.if_else(is_other, pc.binary_join_element_wise("not as given:", texts, " "), texts)
    return pc.coalesce(iso, other)


def _pattern(piece: str, beside: list[str]) -> str:
    if not piece.startswith("%"):
        return re.sub(r"(?:\\?\s)+", lambda _: r"\s+", re.escape(piece))
    if name := _NUMBERS.get(piece[1]):
        if piece[1] == "f":
            return r"(?P<fraction>[0-9]{1,9})"
        # Next to other digits, a number has all its digits.
        is_fixed = any(other.startswith("%") and other[1:] in _NUMBERS for other in beside)
        digits = "{4}" if piece[1] == "Y" else "{2}" if is_fixed or piece[1] == "y" else "{1,2}"
        return rf"(?P<{name}>[0-9]{digits})"
    if piece[1] not in _TEXTS:
        raise ValueError(f"{piece} is not known; known are %{' %'.join([*_NUMBERS, *_TEXTS])} %F %T %R %D")
    return _TEXTS[piece[1]]


def _two(digits: Column) -> Column:
    return pc.utf8_lpad(digits, 2, "0")


def _year(found: dict[str, Column]) -> Column:
    if "year" in found:
        return found["year"]
    short = found["year_of_century"]
    is_old = pc.greater_equal(short.cast(pa.int32()), _FIRST_YEAR)
    return pc.binary_join_element_wise(pc.if_else(is_old, "19", "20"), short, "")


def _month(found: dict[str, Column]) -> Column:
    return _two(found["month"]) if "month" in found else month_numbers(found["month_name"])


def _hour(found: dict[str, Column]) -> Column:
    if "hour" in found:
        return _two(found["hour"])
    return hour_of_24(found["hour_of_12"], found["half"]) if "hour_of_12" in found else None


def hour_of_24(hours: Column, halves: Column) -> Column:
    """The hours 00 to 23, as text, of hours from 0 to 12 with the letter A or P; NULL for others."""
    numbers = hours.cast(pa.int32())
    within = pc.if_else(pc.equal(numbers, 12), 0, numbers)
    full = pc.add(within, pc.if_else(pc.equal(pc.utf8_upper(halves), "P"), 12, 0))
    return _two(pc.if_else(pc.less_equal(numbers, 12), full, None).cast(pa.string()))
