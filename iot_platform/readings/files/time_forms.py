"""Count the forms that the times of a whole file have; time_formats.py decides by them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from iot_platform.readings.files.month_names import month_numbers
from iot_platform.readings.files.raw_rows import Column
from iot_platform.readings.files.written_times import AT_24, ISO_AM_PM, NAMED_DATES, TWELVE_HOURS, YEAR_FIRST

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute

COMPACT: dict[int, str] = {10: "YYMMDDhhmm", 12: "YYYYMMDDhhmm", 14: "YYYYMMDDhhmmss"}
_ISO = r"^\s*[0-9]{4}-"
_DATE = r"^\s*(?P<first>[0-9]{1,2})[./-](?P<second>[0-9]{1,2})[./-][0-9]{4}(?:[^0-9]|$)"
# Among them, those that are written as ISO 8601 has it, but for their clock.
_ISO_DATES = rf"^\s*[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[ T][0-9]{{2}}(?:[^0-9].*)?)?\s*$|{ISO_AM_PM}"
_FOUR_DIGITS = r"^\s*[0-9]{4}"
_DOTTED = r"^\s*[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}(?:[^0-9]|$)"
_MICROSECONDS, _NANOSECONDS = r"^\s*[0-9]{15,16}\s*$", r"^\s*[0-9]{18,19}\s*$"
_DAY_NUMBERS = r"^\s*[2-6][0-9]{4}(?:[.,][0-9]+)?\s*$"
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
    named: int = 0
    digits: dict[int, Digits] = field(default_factory=lambda: {length: Digits() for length in COMPACT})
    # Of the rows that cannot be read without a format:
    year_first: int = 0
    twelve_hours: int = 0
    at_24: int = 0
    microseconds: int = 0
    nanoseconds: int = 0
    day_numbers: int = 0
    example: str = ""

    def add(self, column: Column) -> None:
        """Count the times of a column, of which text is decoded."""
        self.rows += len(column) - column.null_count
        if pa.types.is_integer(column.type):
            self._add_numbers(column.drop_null().cast(pa.int64(), safe=False).to_numpy(zero_copy_only=False))
        elif pa.types.is_string(column.type):
            others = column.filter(pc.invert(pc.fill_null(pc.match_substring_regex(column, _ISO), True)))
            if len(others):
                self._add_texts(others)

    def add_unread(self, texts: Column) -> None:
        """Count the texts that cannot be read without a format."""
        if not pa.types.is_string(texts.type):
            return
        texts = texts.drop_null()
        # The plain searches come first: regular expressions on all texts of a large file take seconds.
        self.twelve_hours += _matching(texts.filter(pc.match_substring(texts, "m", ignore_case=True)), TWELVE_HOURS)
        self.at_24 += _matching(texts.filter(pc.match_substring(texts, "24:00")), AT_24)
        numbers = texts.filter(pc.match_substring_regex(texts, _FOUR_DIGITS))
        self.year_first += _matching(numbers, YEAR_FIRST) - _matching(numbers, _ISO_DATES)
        self.microseconds += _matching(numbers, _MICROSECONDS)
        self.nanoseconds += _matching(numbers, _NANOSECONDS)
        self.day_numbers += _matching(numbers, _DAY_NUMBERS)
        if not self.example and (found := texts.filter(pc.match_substring_regex(texts, "[0-9]"))):
            self.example = found[0].as_py()[:40]

    def _add_texts(self, texts: Column) -> None:
        for length in COMPACT:
            found = texts.filter(pc.match_substring_regex(texts, rf"^\s*[0-9]{{{length}}}\s*$"))
            numbers = pc.ascii_trim_whitespace(found).cast(pa.int64()).to_numpy(zero_copy_only=False)
            self._add_digits(length, numbers)
        self.dotted += _matching(texts, _DOTTED)
        if pc.any(pc.match_substring_regex(texts, r"\pL{3}"), min_count=0).as_py():
            for pattern in NAMED_DATES:
                names = pc.struct_field(pc.extract_regex(texts, pattern), "name").drop_null()
                self.named += len(names) - month_numbers(names).null_count
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


def _are_dates(numbers: Any, length: int) -> Any:
    """Which numbers (of an array) are a date and time in their digits."""
    seconds = numbers % 100 if length == 14 else np.zeros_like(numbers)
    rest = numbers // 100 if length == 14 else numbers
    minute, hour, day, month = (rest // 100**place % 100 for place in range(4))
    year = rest // 100**4
    is_date = (seconds < 60) & (minute < 60) & (hour < 24) & (day >= 1) & (day <= 31) & (month >= 1) & (month <= 12)
    return is_date if length == 10 else is_date & (year >= _YEARS[0]) & (year <= _YEARS[1])


def _matching(texts: Column, pattern: str) -> int:
    return int(pc.sum(pc.match_substring_regex(texts, pattern), min_count=0).as_py())
