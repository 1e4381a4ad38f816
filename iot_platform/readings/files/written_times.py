"""Times as people write them, as ISO 8601: names of months, the clock of 12 hours, 24:00, day numbers, epoch times."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
from pyarrow import compute

from iot_platform.readings.files.month_names import month_numbers
from iot_platform.readings.files.raw_rows import Column
from iot_platform.readings.files.strftime_times import hour_of_24

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute

_YEAR = r"(?P<year>[0-9]{4})"
_DAY = r"(?P<day>[0-9]{1,2})(?:\.|st|nd|rd|th|er)?"
_NAME = r"(?:de\s+)?(?P<name>\pL+)\.?"
_REST = r"(?P<rest>(?:,|\s|T|$).*)$"
_BETWEEN = r"[-./,\s]+"
NAMED_DATES = (
    rf"^\s*(?:\pL{{2,4}}\.?,?\s+)?{_DAY}{_BETWEEN}{_NAME}{_BETWEEN}(?:de\s+)?{_YEAR}{_REST}",
    rf"^\s*{_NAME}{_BETWEEN}{_DAY}{_BETWEEN}{_YEAR}{_REST}",
    rf"^\s*{_YEAR}{_BETWEEN}{_NAME}{_BETWEEN}{_DAY}{_REST}",
)
# 12:30 PM, 12 p.m.
TWELVE_HOURS = r"[0-9]\s*[AaPp]\.?\s?[Mm]\.?(?:\s*(?:[Zz]|UTC|[+-][0-9]{2}:?[0-9]{2}))?\s*$"
ISO_AM_PM = r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2},?[ T]\s*[0-9][0-9:.]*\s*[AaPp]\.?\s?[Mm].*$"
AT_24 = r"(?:^|[^0-9:])24:00(?::00(?:\.0+)?)?(?:[^0-9:.]|$)"
AT_0 = r"(?:^|[^0-9:])0?0:00(?::00(?:\.0+)?)?(?:[^0-9:.]|$)|(?:^|[^0-9:])12(?::00){1,2}\s*[Aa]\.?\s?[Mm]"
# Without its leading zeros, with other separators, or without any.
YEAR_FIRST = r"^\s*[0-9]{4}[-./][0-9]{1,2}[-./][0-9]{1,2}(?:[^0-9]|$)|^\s*[0-9]{8}[T ][0-9]{1,2}:?[0-9]{2}"
_ISO_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK_12 = (
    rf"^(?P<date>{_ISO_DATE}),?[ T]\s*(?P<hour>[0-9]{{1,2}})(?P<rest>(?::[0-9]{{2}}){{0,2}}(?:\.[0-9]+)?)\s*"
    r"(?P<half>[AaPp])\.?\s?[Mm]\.?\s*(?P<zone>.*)$"
)
EPOCH_UNITS = {"epoch-s": 1, "epoch-ms": 10**3, "epoch-us": 10**6, "epoch-ns": 10**9}
_WHOLE = r"^\s*(?P<whole>[0-9]{1,18}|[1-8][0-9]{18})(?:\.[0-9]*)?\s*$"
_DAY_NUMBER = r"^\s*[0-9]{1,6}(?:[.,](?P<decimals>[0-9]*))?\s*$"
# Day 0 of Excel, for days from 1900-03-01 on.
EXCEL_DAY_0 = -25569
DAY_S = 86400


def named_dates(texts: Column) -> Column:
    """Dates with the name of the month, such as 1 Jan 2024 00:30 or Jan 1, 2024; other texts stay."""
    found = texts
    for pattern in NAMED_DATES:
        parts = pc.extract_regex(texts, pattern)
        year, name, day, rest = (pc.struct_field(parts, field) for field in ("year", "name", "day", "rest"))
        date = pc.binary_join_element_wise(year, month_numbers(name), pc.utf8_lpad(day, 2, "0"), "-")
        clock = pc.replace_substring_regex(rest, r"^(?:,|\s|T)+", " ")
        found = pc.coalesce(pc.binary_join_element_wise(date, clock, ""), found)
    return found


def year_first(texts: Column) -> Column:
    """Dates that begin with the year, such as 2024/1/5 0:30 or 20240105T0030, with all their zeros and dashes."""
    two = "([0-9]{2})"
    texts = pc.replace_substring_regex(
        texts, rf"^\s*([0-9]{{4}}){two}{two}[T ]([0-9]{{1,2}}):?{two}", r"\1-\2-\3 \4:\5"
    )
    texts = pc.replace_substring_regex(texts, rf"^({_ISO_DATE} [0-9]{{1,2}}:[0-9]{{2}}){two}", r"\1:\2")
    texts = pc.replace_substring_regex(texts, r"^\s*([0-9]{4})[-./]([0-9]{1,2})[-./]([0-9]{1,2})", r"\1-\2-\3")
    texts = pc.replace_substring_regex(texts, r"^([0-9]{4})-([0-9])-", r"\1-0\2-")
    return pc.replace_substring_regex(texts, r"^([0-9]{4}-[0-9]{2})-([0-9])([^0-9]|$)", r"\1-0\2\3")


def padded_hours(texts: Column) -> Column:
    """ISO dates with one blank before the clock, and with two digits of the hour."""
    texts = pc.replace_substring_regex(texts, rf"^({_ISO_DATE}),?\s+", r"\1 ")
    return pc.replace_substring_regex(texts, rf"^({_ISO_DATE}[ T])([0-9]):", r"\10\2:")


def from_12_hours(texts: Column) -> Column:
    """ISO dates with AM or PM in 24 hours. A clock without AM or PM becomes unreadable; a date alone is midnight."""
    parts = pc.extract_regex(texts, _CLOCK_12)
    date, hours, rest, half, zone = (pc.struct_field(parts, name) for name in ("date", "hour", "rest", "half", "zone"))
    rest = pc.if_else(pc.equal(rest, ""), ":00", rest)
    clock = pc.binary_join_element_wise(hour_of_24(hours, half), rest, zone, "")
    is_unclear = pc.match_substring_regex(texts, r"[0-9]:[0-9]")
    other = pc.if_else(is_unclear, pc.binary_join_element_wise("neither AM nor PM:", texts, " "), texts)
    return pc.coalesce(pc.binary_join_element_wise(date, clock, " "), other)


def from_24_00(texts: Column) -> Column:
    """ISO dates at 24:00 as 00:00 of the next day."""
    pattern = rf"^({_ISO_DATE})[ T]24:00(?::00(?:\.0+)?)?(.*)$"
    mask = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    found = texts.filter(mask)
    if not len(found):
        return texts
    rest = pc.replace_substring_regex(found, pattern, r"\2").to_pylist()
    moved = [_next_day(text[:10], text) + tail for text, tail in zip(found.to_pylist(), rest, strict=True)]
    return pc.replace_with_mask(texts, mask, pa.array(moved, pa.string()))


def from_epoch(column: Column, unit: str) -> Column:
    """Numbers of seconds, milliseconds, microseconds or nanoseconds since 1970 as ISO 8601; other texts stay."""
    if not pa.types.is_string(column.type):
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_finite(column), column, None).cast(pa.decimal128(38, 6), safe=False)
        column = column.cast(pa.string())
    whole = pc.struct_field(pc.extract_regex(column, _WHOLE), "whole").cast(pa.int64())
    return pc.coalesce(_iso(pc.divide(whole, EPOCH_UNITS[unit]), "Z"), column)


def from_excel(column: Column) -> Column:
    """Excel's numbers of days, such as 45292.5, as local times in ISO 8601; other texts stay.

    With four decimals, a time is rounded to the minute. With fewer, it must be a whole minute: 0.5 is, 0.021 is none.
    """
    texts = column if pa.types.is_string(column.type) else column.cast(pa.string())
    parts = pc.extract_regex(texts, _DAY_NUMBER)
    decimals = pc.utf8_length(pc.struct_field(parts, "decimals"))
    is_number = pc.is_valid(decimals)
    number = pc.if_else(is_number, pc.replace_substring(pc.utf8_trim_whitespace(texts), ",", "."), None)
    seconds = pc.multiply(pc.add(number.cast(pa.float64()), float(EXCEL_DAY_0)), float(DAY_S))
    to_second, to_minute = pc.round(seconds), pc.multiply(pc.round(pc.divide(seconds, 60.0)), 60.0)
    is_minute = pc.less(pc.abs(pc.subtract(seconds, to_minute)), 0.5)
    is_coarse = pc.less_equal(decimals, 4)
    is_known = pc.or_(pc.invert(is_coarse), pc.or_(pc.equal(decimals, 4), is_minute))
    rounded = pc.if_else(is_known, pc.if_else(is_coarse, to_minute, to_second), None)
    return pc.coalesce(_iso(rounded.cast(pa.int64()), ""), texts)


def _iso(seconds: Column, zone: str) -> Column:
    is_time = pc.and_(pc.greater_equal(seconds, 0), pc.less(seconds, 1 << 34))
    times = pc.if_else(is_time, seconds, None).cast(pa.timestamp("s")).cast(pa.string())
    return pc.binary_join_element_wise(times, zone, "")


def _next_day(date: str, text: str) -> str:
    try:
        return f"{dt.date.fromisoformat(date) + dt.timedelta(days=1)} 00:00"
    except (ValueError, OverflowError):
        return f"no date: {text}"
