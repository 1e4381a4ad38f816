"""A date and a time of day in two columns, joined to one column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from pyarrow import compute

from iot_platform.errors import SourceError
from iot_platform.readings.files.header_names import Subject, all_names, normal, tiers
from iot_platform.readings.files.parsing import decoded
from iot_platform.readings.files.raw_rows import Column, Fact, RawRows, RowSource
from iot_platform.readings.files.wrapped_source import WrappedSource

# pyarrow's type stubs need the type of each array, which depends on the file.
pc: Any = compute

_MIDNIGHT = r"[ T]00:00(?::00(?:\.0+)?)?$"
# Spreadsheets write a time of day as one of their first day.
_FIRST_DAY = r"^1(?:899-12-3[01]|900-01-0[01])[ T]"
_RANGE = r"^([^ ]+(?:\s*[AaPp]\.?[Mm]\.?)?)\s+[-\x{2013}]\s+[0-9].*$"
_CLOCK = (
    r"^[0-9]{1,2}(?::[0-9]{2}){1,2}(?:[.,][0-9]+)?(?:\s*[AaPp]\.?\s?[Mm]\.?)?"
    r"(?:\s*(?:[Zz]|[+-][0-9]{2}:?[0-9]{2}))?$|^[0-9]{1,2}\s*[AaPp]\.?\s?[Mm]\.?$"
)
_COMPACT_CLOCK = r"^([0-9]{2})([0-9]{2})$"
_ANY_CLOCK = r"[0-9]:[0-9]{2}"


@dataclass(frozen=True)
class DateAndTime:
    """The columns of the date and of the time of day. ``is_end``: by its name, the time is the end of the interval.

    ``is_given``: the user has named them, so what they contain need not show it.
    """

    date: str
    time: str
    is_end: bool
    is_given: bool

    @property
    def name(self) -> str:
        """The name of the joined column."""
        return f"{self.date} + {self.time}"


def find_date_and_time(header: Sequence[str], date: str | None, time: str | None) -> DateAndTime | None:
    """The two columns, given or found by their names; None: there is no such pair.

    There is none if another column is named as a date and time. Raises SourceError if only one of two given ones can be
    found.
    """
    for name, option in ((date, "--date-column"), (time, "--time-column")):
        if name is not None and header.count(name) != 1:
            listing = ", ".join(repr(name) for name in header)
            raise SourceError(f"There is no single column {name!r} ({option}). Columns: {listing}.")
    others = [name for name in header if name not in (date, time)]
    found_date = date or _only(others, "date")
    others = [name for name in others if name != found_date]
    has_start = any(normal(name) in all_names("clock") for name in others)
    found_time = time or _only(others, "clock" if has_start else "clock_end")
    if date or time:
        if not found_date or not found_time:
            missing = "--time-column" if date else "--date-column"
            raise SourceError(f"The date and the time of day are in two columns: set {missing}, too.")
    elif not found_date or not found_time or _has_full_time(header, found_date):
        return None
    return DateAndTime(found_date, found_time, normal(found_time) in all_names("clock_end"), bool(date or time))


def is_date_and_time(rows: RawRows, pair: DateAndTime) -> bool:
    """Whether most rows have a date without a time of day in the one column, and only a time of day in the other."""
    dates, times = _parts(rows.columns[pair.date], rows.columns[pair.time])
    are_dates = pc.and_(pc.match_substring_regex(dates, "[0-9]"), pc.invert(pc.match_substring_regex(dates, ":")))
    are_parts = pc.and_(are_dates, pc.match_substring_regex(times, _CLOCK))
    return bool(pc.sum(are_parts, min_count=0).as_py() * 2 > len(dates) - dates.null_count)


class JoinedDateAndTime(WrappedSource):
    """A file with one more column: date and time, joined. Rows without one of them have NULL there."""

    def __init__(self, source: RowSource, pair: DateAndTime) -> None:
        super().__init__(source)
        self._pair = pair

    @property
    def column_names(self) -> list[str]:
        """The columns of the file and the new one. It is the last if the last one of the file is a part of it."""
        names, name = self._source.column_names, self._pair.name
        return [*names, name] if names[-1] in (self._pair.date, self._pair.time) else [name, *names]

    @property
    def facts(self) -> Sequence[Fact]:
        """What the file was taken for."""
        how = "given" if self._pair.is_given else "columns' names"
        return [*self._source.facts, Fact("date and time", self._pair.name, how)]

    def rows(self, columns: list[str]) -> Iterator[RawRows]:
        """All rows of the file, with only these columns."""
        pair = self._pair
        of_file = [name for name in columns if name != pair.name]
        of_file += [name for name in (pair.date, pair.time) if name not in of_file]
        for rows in self._source.rows(of_file):
            dates, times = _parts(rows.columns[pair.date], rows.columns[pair.time])
            joined = pc.binary_join_element_wise(dates, times, " ")
            yield replace(rows, columns={**rows.columns, pair.name: joined})


def _only(names: Sequence[str], subject: Subject) -> str | None:
    """The column with a name of a subject, if there is exactly one."""
    for tier in tiers(subject):
        if found := [name for name in names if normal(name) in tier]:
            return found[0] if len(found) == 1 else None
    return None


def _has_full_time(header: Sequence[str], date: str) -> bool:
    parts = all_names("clock", "clock_end", "date", "date_end")
    return any(normal(name) in all_names("time", "end") - parts for name in header if name != date)


def _parts(dates: Column, times: Column) -> tuple[Column, Column]:
    """The dates and times of day as text without what does not belong to them; NULL: there is none."""
    date, time = _text(dates), _text(times)
    date = pc.replace_substring_regex(date, _MIDNIGHT, "")
    time = pc.replace_substring_regex(time, _FIRST_DAY, "")
    time = pc.replace_substring_regex(time, _RANGE, r"\1")
    time = pc.replace_substring_regex(time, _COMPACT_CLOCK, r"\1:\2")
    # The number of an hour: 1 may be from 00:00 or from 01:00. As a part of a time it must not be read.
    time = pc.replace_substring_regex(time, "^([0-9]{1,2})$", r"hour \1")
    time = pc.replace_substring_regex(time, "^([0-9])(:|[^0-9]*$)", r"0\1\2")
    return pc.if_else(pc.equal(date, ""), None, date), pc.if_else(pc.equal(time, ""), None, time)


def _text(column: Column) -> Column:
    column = decoded(column)[0]
    return pc.utf8_trim_whitespace(column if pa.types.is_string(column.type) else column.cast(pa.string()))
