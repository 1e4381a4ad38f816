"""Parse the columns of a file, vectorised, with a reason for each row that is not a reading.

The result for a value depends only on that value, not on other rows: the fast paths accept nothing that the slow paths
reject.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from iot_platform.readings.files.decimals import Decimal, plain_numbers
from iot_platform.readings.files.id_texts import id_texts, without_nan
from iot_platform.readings.files.local_times import SKIPPED, TWICE, to_utc
from iot_platform.readings.files.raw_rows import Column
from iot_platform.readings.files.time_formats import TimeFormat, to_iso
from iot_platform.readings.files.units import to_base

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute

NUMBER = r"(?i)^[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|nan(?:\([0-9a-z_]*\))?|inf(?:inity)?)$"
DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
CLOCK = r"[0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?"
LOCAL_TIME = rf"^{DATE}(?:[ T]{CLOCK})?$"
ZONED_TIME = rf"^{DATE}[ T]{CLOCK}(?:Z|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)$"
EPOCH_NUMBER = r"^[0-9]{9,10}$|^[0-9]{12,13}$"
# Smaller numbers are seconds; larger ones are milliseconds (1973 and later; as seconds this would be the year 5138).
FIRST_EPOCH_MS = 100_000_000_000
LAST_EPOCH_S = 2**32 - 1
TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
DAY_S = 86400
MISSING = ["", "null", "none", "na", "n/a", "\\n", "-", "nat"]


@dataclass
class Parsed:
    """The values of one column (NULL: none), and for each row the reason for its NULL ('' for a value)."""

    values: Column
    reasons: npt.NDArray[np.object_]


def parse_timestamps(column: Column, timezone: str, time_format: TimeFormat = "", *, encoding: str = "") -> Parsed:
    """UTC seconds (uint32) from times with or without a zone, or from epoch seconds or milliseconds.

    Times without a zone are in ``timezone``. Fractions of a second are dropped.
    """
    column, reasons = decoded(column, encoding)
    if time_format:
        column = to_iso(column, time_format)
    if pa.types.is_string(column.type):
        seconds = _seconds_of_text(column, timezone, reasons)
    elif pa.types.is_integer(column.type):
        seconds = _seconds_of_epoch(column)
    elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        seconds = _seconds_of_times(column, timezone, reasons)
    else:
        return _all_bad(column, "unreadable_time")
    in_range = pc.and_(pc.greater_equal(seconds, 0), pc.less_equal(seconds, LAST_EPOCH_S))
    _explain(reasons, pc.invert(pc.fill_null(in_range, True)), "time_out_of_range")
    seconds = pc.if_else(in_range, seconds, None)
    _explain_missing(reasons, column, seconds, "unreadable_time")
    return Parsed(seconds.cast(pa.uint32()), reasons)


def parse_energy(column: Column, unit: str, decimal: Decimal = ".", *, encoding: str = "") -> Parsed:
    """kWh (of power: kW; float64) from numbers in ``unit``.

    NaN, infinite and negative values are kept: L2 quarantines them.
    """
    column, reasons = decoded(column, encoding)
    if decimal != ".":
        column = plain_numbers(column, decimal)
    if pa.types.is_string(column.type):
        values = _cast_text(column, pa.float64(), NUMBER)
    elif _is_number(column.type):
        values = column.cast(pa.float64(), safe=False)
    else:
        return _all_bad(column, "unreadable_value")
    _explain_missing(reasons, column, values, "unreadable_value")
    return Parsed(to_base(values, unit), reasons)


def parse_ids(column: Column, *, by_older_rule: bool = False, encoding: str = "") -> Parsed:
    """Meter ids as text without spaces around it; whole numbers as decimal digits.

    ``by_older_rule``: as versions did for which NaN, written as text, was an id.
    """
    column, reasons = decoded(column, encoding)
    column = column if by_older_rule else without_nan(column)
    texts = id_texts(column, MISSING)
    if texts is None:
        return _all_bad(column, "unreadable_device_id")
    _explain_missing(reasons, column, texts, "unreadable_device_id")
    return Parsed(texts, reasons)


def reasons_of(*parsed: Parsed) -> npt.NDArray[np.object_]:
    """The first reason of each row in several columns; '' for a row without one."""
    reasons = parsed[0].reasons.copy()
    for other in parsed[1:]:
        reasons = np.where(reasons == "", other.reasons, reasons)
    return reasons


def decoded(column: Column, encoding: str = "") -> tuple[Column, npt.NDArray[np.object_]]:
    """The column with any type of text as string, and reasons: text that is not UTF-8 becomes NULL with a reason.

    ``encoding``: that of texts that are not UTF-8.
    """
    reasons = np.full(len(column), "", dtype=object)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type) or pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        try:
            return column.cast(pa.string()), reasons
        except pa.ArrowInvalid:
            texts = [_decode(value.as_py(), encoding) for value in column]
        decoded = pa.array(texts, pa.string())
        _explain(reasons, pc.and_(pc.is_null(decoded), pc.is_valid(column)), "broken_encoding")
        return decoded, reasons
    return column, reasons


def _decode(value: bytes | None, encoding: str) -> str | None:
    if value is None:
        return None
    for name in ("utf-8", encoding):
        try:
            return value.decode(name) if name else None
        except UnicodeDecodeError:
            continue
    return None


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _all_bad(column: Column, reason: str) -> Parsed:
    return Parsed(pa.nulls(len(column), pa.string()), np.full(len(column), reason, dtype=object))


def _explain(reasons: npt.NDArray[np.object_], condition: Column, reason: str) -> None:
    if pc.any(condition, min_count=0).as_py():
        applies = np.asarray(pc.fill_null(condition, False).to_numpy(zero_copy_only=False), dtype=bool)
        reasons[applies & (reasons == "")] = reason


def _explain_missing(reasons: npt.NDArray[np.object_], column: Column, values: Column, otherwise: str) -> None:
    """Set the reason of each NULL in ``values``: the file has no value there, or ``otherwise``."""
    if not values.null_count:
        return
    missing = pc.is_null(column)
    if pa.types.is_string(column.type):
        texts = pc.utf8_lower(pc.ascii_trim_whitespace(column))
        missing = pc.or_(missing, pc.fill_null(pc.is_in(texts, pa.array(MISSING)), True))
    unexplained = pc.is_null(values)
    _explain(reasons, pc.and_(unexplained, missing), "missing_" + otherwise.partition("_")[2])
    _explain(reasons, unexplained, otherwise)


def _cast_text(texts: Column, kind: pa.DataType, pattern: str) -> Column:
    """Cast what can be cast; the rest becomes NULL. ``pattern`` must match all that the cast accepts."""
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        texts = pc.ascii_trim_whitespace(texts)
    plausible = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    return _cast_by_halves(pc.if_else(plausible, texts, None), kind)


def _cast_by_halves(texts: Column, kind: pa.DataType) -> Column:
    """Cast a column in which only a few values fail (such as 30 February); these become NULL."""
    if texts.null_count == len(texts):
        return pa.array([None] * len(texts), kind)
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return pa.array([None], kind)
    halves = texts[: len(texts) // 2], texts[len(texts) // 2 :]
    return pa.concat_arrays([_cast_by_halves(half, kind) for half in halves])


def _seconds_of_text(texts: Column, timezone: str, reasons: npt.NDArray[np.object_]) -> Column:
    # The fast path: most files have only one kind of time, and then one cast parses the whole column.
    for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
        try:
            return _seconds_of_times(texts.cast(kind), timezone, reasons)
        except pa.ArrowInvalid:
            continue
    texts = pc.ascii_trim_whitespace(texts)
    texts = pc.replace_substring_regex(texts, r"\s*(?:UTC|GMT|[Zz])$", "Z")
    texts = pc.replace_substring_regex(texts, r"\s+([+-][0-9]{2}:?[0-9]{2})$", r"\1")
    # Whole seconds can hold a time of any year; nanoseconds end in 2262.
    whole = pc.replace_substring_regex(texts, r"\.[0-9]+", "", max_replacements=1)
    zoned = _cast_matching(texts, ZONED_TIME, whole, pa.timestamp("s", "UTC"))
    local = _cast_matching(texts, LOCAL_TIME, whole, pa.timestamp("s"))
    epoch = _cast_matching(texts, EPOCH_NUMBER, whole, pa.int64())
    return pc.coalesce(
        _seconds_of_times(zoned, timezone, reasons),
        _seconds_of_times(local, timezone, reasons),
        _seconds_of_epoch(epoch),
    )


def _cast_matching(texts: Column, pattern: str, values: Column, kind: pa.DataType) -> Column:
    """Cast those ``values`` whose text matches the pattern; all others become NULL."""
    matches = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    return _cast_by_halves(pc.if_else(matches, values, None), kind)


def _seconds_of_epoch(numbers: Column) -> Column:
    numbers = numbers.cast(pa.int64(), safe=False)
    return pc.if_else(pc.less(numbers, FIRST_EPOCH_MS), numbers, pc.divide(numbers, 1000))


def _seconds_of_times(times: Column, timezone: str, reasons: npt.NDArray[np.object_]) -> Column:
    if not pa.types.is_timestamp(times.type):
        times = times.cast(pa.timestamp("s"), safe=False)
    per_second = TICKS_PER_SECOND[times.type.unit]
    ticks = times.cast(pa.int64())
    seconds = pc.divide(ticks, per_second)
    if (pc.min(ticks).as_py() or 0) < 0:
        # Integer division rounds towards zero: half a second before 1970 would become 1970.
        seconds = pc.if_else(pc.less(ticks, pc.multiply(seconds, per_second)), pc.subtract(seconds, 1), seconds)
    if times.type.tz is not None or timezone == "UTC":
        return seconds
    # Times that are out of range are not converted: pandas cannot apply a time zone to them.
    known = pc.and_(pc.greater_equal(seconds, -DAY_S), pc.less_equal(seconds, LAST_EPOCH_S + DAY_S))
    utc, skipped, twice = to_utc(pc.if_else(known, seconds, None), timezone)
    _explain(reasons, pa.array(skipped), SKIPPED)
    _explain(reasons, pa.array(twice), TWICE)
    return pc.if_else(known, utc, seconds)
