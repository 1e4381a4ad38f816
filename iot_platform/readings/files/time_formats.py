"""Times that are not ISO 8601, epoch seconds or milliseconds: which format a whole file has, and how to rewrite it.

A single text such as 01/02/2024 or 1301010130 can be read in several ways. The whole file decides, or the user.

A format is "" (ISO 8601 or epoch times), one of the names below, or a text in strftime notation, which contains %.
A name (or "") may be followed by a clock: "month-first 12-hour", "24:00".
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow import compute

from iot_platform.errors import SourceError
from iot_platform.readings.files.raw_rows import Column
from iot_platform.readings.files.strftime_times import by_strftime, pattern_of
from iot_platform.readings.files.time_forms import COMPACT, Digits, TimeForms
from iot_platform.readings.files.written_times import (
    EPOCH_UNITS,
    from_12_hours,
    from_24_00,
    from_epoch,
    from_excel,
    named_dates,
    padded_hours,
    year_first,
)

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute

TimeFormat = str
# "iso" and "epoch" are what is read without any format.
TIME_FORMATS = ("iso", "epoch", "day-first", "month-first", "YYMMDDhhmm", "YYYYMMDDhhmm", "YYYYMMDDhhmmss") + (
    *("year-first", "month-name", "excel"),
    *EPOCH_UNITS,
)
CLOCK_12, CLOCK_24 = "12-hour", "24:00"
# From this share on, dates such as 2024-1-5 or 2024/01/05 are a format. Hours without their zero are 10 of 24.
_YEAR_FIRST_SHARE = 0.1


def check_time_format(text: str) -> str:
    """A format that a user gives. Raises ValueError, with the reason, if there is none such."""
    if text in TIME_FORMATS:
        return text
    if "%" not in text:
        raise ValueError(
            f"{text!r} is neither one of {', '.join(TIME_FORMATS)} nor in strftime notation, such as '%d.%m.%Y %H:%M'."
        )
    try:
        pattern_of(text)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}.") from error
    return text


def decide_time_format(forms: TimeForms, given: str | None) -> TimeFormat:
    """The format of the times in a file, by all its rows; "" for ISO 8601 and epoch times.

    A few rows in another form than the others are not readable; they do not decide. Raises SourceError when the
    file can be read in two ways.
    """
    if given is not None and ("%" in given or given in ("epoch", "excel", *EPOCH_UNITS)):
        return "" if given == "epoch" else given
    base = {"iso": ""}.get(given, given) if given is not None else _base_format(forms)
    clock = CLOCK_12 if forms.twelve_hours * 2 > forms.rows else CLOCK_24 if forms.at_24 else ""
    return " ".join(filter(None, (base, clock)))


def _base_format(forms: TimeForms) -> TimeFormat:
    if forms.slashed * 2 > forms.rows:
        return _day_or_month_first(forms)
    if forms.dotted * 2 > forms.rows:
        return "day-first"
    if forms.named * 2 > forms.rows:
        return "month-name"
    for length, digits in forms.digits.items():
        if digits.rows * 2 > forms.rows:
            return _epoch_or_date(digits, length)
    if forms.year_first > _YEAR_FIRST_SHARE * forms.rows:
        return "year-first"
    for count, unit in ((forms.microseconds, "epoch-us"), (forms.nanoseconds, "epoch-ns")):
        if count * 2 > forms.rows:
            return unit
    if forms.day_numbers * 2 > forms.rows:
        raise SourceError(
            f"The times are numbers such as {forms.example}. If they are Excel's numbers of days, say "
            "--timestamp-format excel; otherwise export the file again with times."
        )
    return ""


def to_iso(texts: Column, time_format: TimeFormat) -> Column:
    """Texts (or numbers) of a format as ISO 8601; texts of another form stay as they are, or become unreadable."""
    if time_format in EPOCH_UNITS:
        return from_epoch(texts, time_format)
    if time_format == "excel":
        return from_excel(texts)
    if "%" in time_format:
        return from_24_00(by_strftime(texts, time_format)) if pa.types.is_string(texts.type) else texts
    base, _, clock = ("", "", time_format) if time_format in (CLOCK_12, CLOCK_24) else time_format.partition(" ")
    texts = _to_iso_date(texts, base)
    if pa.types.is_string(texts.type) and clock:
        texts = pc.ascii_trim_whitespace(texts)
        texts = from_12_hours(texts) if clock == CLOCK_12 else from_24_00(texts)
    return texts


def _to_iso_date(texts: Column, time_format: TimeFormat) -> Column:
    if pa.types.is_integer(texts.type) and time_format in COMPACT.values():
        texts = texts.cast(pa.string())
        texts = pc.utf8_lpad(texts, 10, "0") if time_format == "YYMMDDhhmm" else texts
    if not pa.types.is_string(texts.type):
        return texts
    texts = pc.ascii_trim_whitespace(texts)
    two = "([0-9]{2})"
    if time_format == "YYMMDDhhmm":
        return pc.replace_substring_regex(texts, f"^{two * 5}$", r"20\1-\2-\3 \4:\5")
    if time_format == "YYYYMMDDhhmm":
        return pc.replace_substring_regex(texts, f"^{two * 6}$", r"\1\2-\3-\4 \5:\6")
    if time_format == "YYYYMMDDhhmmss":
        return pc.replace_substring_regex(texts, f"^{two * 7}$", r"\1\2-\3-\4 \5:\6:\7")
    if time_format == "month-name":
        return padded_hours(named_dates(texts))
    if time_format == "year-first":
        return padded_hours(year_first(texts))
    if not time_format:
        return texts
    # Dates and hours without their leading zeros.
    texts = pc.replace_substring_regex(texts, "^([0-9][./-])", r"0\1")
    texts = pc.replace_substring_regex(texts, "^([0-9]{2}[./-])([0-9][./-])", r"\10\2")
    day_and_month = r"\2-\1" if time_format == "day-first" else r"\1-\2"
    texts = pc.replace_substring_regex(texts, f"^{two}[./-]{two}[./-]([0-9]{{4}})", rf"\3-{day_and_month}")
    return padded_hours(texts)


def _day_or_month_first(forms: TimeForms) -> TimeFormat:
    if forms.first_is_a_day and not forms.second_is_a_day:
        return "day-first"
    if forms.second_is_a_day and not forms.first_is_a_day:
        return "month-first"
    found = "Some dates have the day first, others the month" if forms.first_is_a_day else "No date tells them apart"
    raise SourceError(
        f"The dates may have the day or the month first. {found}. Choose: --timestamp-format day-first or "
        "--timestamp-format month-first."
    )


def _epoch_or_date(digits: Digits, length: int) -> TimeFormat:
    """What most numbers of a file are: epoch times, or the digits of a date and time."""
    compact = COMPACT[length]
    if length == 14:
        return compact
    # One in 200 epoch times happens to be a date as well.
    if digits.dates * 2 < digits.rows:
        return ""
    # The intervals of meters begin at whole minutes.
    if digits.dates == digits.rows and digits.whole_minutes < digits.rows:
        return compact
    unit = "seconds" if length == 10 else "milliseconds"
    raise SourceError(
        f"The times are numbers of {length} digits: {unit} since 1970, or {compact}? {digits.dates:,} of "
        f"{digits.rows:,} are a date, {digits.whole_minutes:,} are whole minutes since 1970. Choose: "
        f"--timestamp-format epoch or --timestamp-format {compact}."
    )
