"""Times that are not ISO 8601, epoch seconds or milliseconds: which format a whole file has, and how to rewrite it.

A single text such as 01/02/2024 or 1301010130 can be read in several ways. The whole file decides, or the user.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from iot_platform.errors import SourceError
from iot_platform.readings.files.raw_rows import Column

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute

TimeFormat = Literal["", "day-first", "month-first", "YYMMDDhhmm", "YYYYMMDDhhmm", "YYYYMMDDhhmmss"]
# "iso" and "epoch" are what is read without any format.
TIME_FORMATS = ("iso", "epoch", "day-first", "month-first", "YYMMDDhhmm", "YYYYMMDDhhmm", "YYYYMMDDhhmmss")
_COMPACT: dict[int, TimeFormat] = {10: "YYMMDDhhmm", 12: "YYYYMMDDhhmm", 14: "YYYYMMDDhhmmss"}
_ISO = r"^\s*[0-9]{4}-"
_DATE = r"^\s*(?P<first>[0-9]{1,2})[./-](?P<second>[0-9]{1,2})[./-][0-9]{4}(?:[^0-9]|$)"
_DOTTED = r"^\s*[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}(?:[^0-9]|$)"
_YEARS = (1970, 2105)


@dataclass
class Digits:
    """Numbers of one length: how many there are, how many are a date and time, and how many a whole epoch minute."""

    rows: int = 0
    dates: int = 0
    whole_minutes: int = 0


@dataclass
class TimeForms:
    """Counts the forms of the times in a file."""

    rows: int = 0
    dotted: int = 0
    slashed: int = 0
    first_is_a_day: int = 0
    second_is_a_day: int = 0
    digits: dict[int, Digits] = field(default_factory=lambda: {length: Digits() for length in _COMPACT})

    def add(self, column: Column) -> None:
        """Count the times of a column, of which text is decoded."""
        self.rows += len(column) - column.null_count
        if pa.types.is_integer(column.type):
            self._add_numbers(column.drop_null().cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False))
        elif pa.types.is_string(column.type):
            others = column.filter(pc.invert(pc.fill_null(pc.match_substring_regex(column, _ISO), True)))
            if len(others):
                self._add_texts(others)

    def _add_texts(self, texts: Column) -> None:
        for length in _COMPACT:
            found = texts.filter(pc.match_substring_regex(texts, rf"^\s*[0-9]{{{length}}}\s*$"))
            numbers = pc.ascii_trim_whitespace(found).cast(pa.int64()).to_numpy(zero_copy_only=False)
            self._add_digits(length, numbers)
        self.dotted += pc.sum(pc.match_substring_regex(texts, _DOTTED), min_count=0).as_py()
        dates = texts.filter(pc.match_substring_regex(texts, _DATE))
        dates = dates.filter(pc.invert(pc.match_substring_regex(dates, _DOTTED)))
        if len(dates):
            self.slashed += len(dates)
            parts = pc.extract_regex(dates, _DATE)
            first, second = (pc.struct_field(parts, index).cast(pa.int32()) for index in (0, 1))
            self.first_is_a_day += pc.sum(pc.greater(first, 12), min_count=0).as_py()
            self.second_is_a_day += pc.sum(pc.greater(second, 12), min_count=0).as_py()

    def _add_numbers(self, numbers: npt.NDArray[np.int64]) -> None:
        # As a number, 0901010000 (2009) has lost its zero.
        for length, least in ((10, 9), (12, 12), (14, 14)):
            self._add_digits(length, numbers[(numbers >= 10 ** (least - 1)) & (numbers < 10**length)])

    def _add_digits(self, length: int, numbers: npt.NDArray[np.int64]) -> None:
        if len(numbers):
            digits = self.digits[length]
            digits.rows += len(numbers)
            digits.dates += int(_are_dates(numbers, length).sum())
            digits.whole_minutes += int((numbers % (60 if length == 10 else 60_000) == 0).sum())


def decide_time_format(forms: TimeForms, given: str | None) -> TimeFormat:
    """The format of the times in a file, by all its rows; "" for ISO 8601 and epoch times.

    A few rows in another form than the others are not readable; they do not decide. Raises SourceError when the
    file can be read in two ways.
    """
    if given is not None:
        return cast(TimeFormat, {"iso": "", "epoch": ""}.get(given, given))
    if forms.slashed * 2 > forms.rows:
        return _day_or_month_first(forms)
    if forms.dotted * 2 > forms.rows:
        return "day-first"
    for length, digits in forms.digits.items():
        if digits.rows * 2 > forms.rows:
            return _epoch_or_date(digits, length)
    return ""


def to_iso(texts: Column, time_format: TimeFormat) -> Column:
    """Texts (or whole numbers) of a format as ISO 8601; texts of another form stay as they are."""
    if pa.types.is_integer(texts.type):
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
    # Dates and hours without their leading zeros.
    texts = pc.replace_substring_regex(texts, "^([0-9][./-])", r"0\1")
    texts = pc.replace_substring_regex(texts, "^([0-9]{2}[./-])([0-9][./-])", r"\10\2")
    day_and_month = r"\2-\1" if time_format == "day-first" else r"\1-\2"
    texts = pc.replace_substring_regex(texts, f"^{two}[./-]{two}[./-]([0-9]{{4}})", rf"\3-{day_and_month}")
    texts = pc.replace_substring_regex(texts, r"^([0-9]{4}-[0-9]{2}-[0-9]{2}),?\s+", r"\1 ")
    return pc.replace_substring_regex(texts, r"^([0-9]{4}-[0-9]{2}-[0-9]{2} )([0-9]):", r"\10\2:")


def _are_dates(numbers: Any, length: int) -> Any:
    """Which numbers (of an array) are a date and time in their digits."""
    seconds = numbers % 100 if length == 14 else np.zeros_like(numbers)
    rest = numbers // 100 if length == 14 else numbers
    minute, hour, day, month = (rest // 100**place % 100 for place in range(4))
    year = rest // 100**4
    is_date = (seconds < 60) & (minute < 60) & (hour < 24) & (day >= 1) & (day <= 31) & (month >= 1) & (month <= 12)
    return is_date if length == 10 else is_date & (year >= _YEARS[0]) & (year <= _YEARS[1])


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
    compact = _COMPACT[length]
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
