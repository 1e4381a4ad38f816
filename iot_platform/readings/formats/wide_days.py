"""Files in which each row has the values of a day: made long, one row for each value.

Blank cells are no readings. day_times.py has the rules for the days on which clocks change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.file_format import MadeColumns
from iot_platform.readings.files.header_names import all_names, normal
from iot_platform.readings.files.parsing import decoded
from iot_platform.readings.files.raw_rows import Column, Places, RawRows, Reject, RowSource
from iot_platform.readings.files.time_formats import decide_time_format, to_iso
from iot_platform.readings.files.time_forms import TimeForms
from iot_platform.readings.files.wrapped_source import WrappedSource
from iot_platform.readings.formats.day_times import REASONS, DayTimes
from iot_platform.readings.formats.wide_cells import CellTexts, filled_cells, joined
from iot_platform.readings.formats.wide_header import DayColumns

pc: Any = compute

Indexes = npt.NDArray[np.int64]

TIME, VALUE = "interval_time", "interval_value"
OTHER_NUMBER = "day_with_other_number_of_intervals"
# Dates of a day that are no date of a reading elsewhere.
DATES_OF_DAYS = {"readdate", "settlement_date", "settlementdate", "service_date", "meter_date"}
# Days since 1970, so that none of their times is out of range.
DAYS = (1, 49_700)


class WideDaySource(WrappedSource):
    """A row for each value of the days in another source. Its other columns are repeated; places are those of the days.

    ``reopen`` opens the other source once more: if dates are not ISO 8601, all of them are read before.
    """

    def __init__(
        self, source: RowSource, days: DayColumns, options: FileOptions, reopen: Callable[[], RowSource]
    ) -> None:
        super().__init__(source)
        self._days = days
        self._options = options
        self._reopen = reopen
        self._times = DayTimes(days, options.timezone)
        names = source.column_names
        cells = set(days.indexes)
        _refuse_twice([names[index] for index in days.indexes])
        self._date = _date_column([name for index, name in enumerate(names) if index not in cells], options)
        self._cells = [names[index] for index in days.indexes]
        others = [name for index, name in enumerate(names) if index not in cells and name != self._date]
        unit = days.unit(needed=options.unit is None)
        self._value = f"{VALUE} ({unit})" if unit else VALUE
        self.column_names = [TIME, *others, self._value]
        step = f"{days.interval_min} min"
        self.format = replace(
            source.format,
            name=f"{source.format.name}, one row per day ({len(cells)} columns of {step})",
            key=f"{source.format.key} days".strip(),
            made=MadeColumns(TIME, self._value, is_end=days.stamp == "end"),
            time_zone=options.timezone or "",
            time_zone_from="given",
            counts=source.format.counts.copy(),
            remarks=[*source.format.remarks],
        )

    def rows(self, columns: list[str]) -> Iterator[RawRows]:
        """All values of all days, in the order of the file."""
        others = [name for name in columns if name not in (TIME, self._value)]
        time_format = None
        for rows in self._source.rows([self._date, *self._cells, *others]):
            if time_format is None:
                time_format = self._time_format(rows)
            yield self._long(rows, others, time_format)

    def _time_format(self, first: RawRows) -> Any:
        """The format of the dates, by all of them; if the first ones are ISO 8601, all others have to be as well."""
        if self._options.timestamp_format:
            return decide_time_format(TimeForms(), self._options.timestamp_format)
        dates = decoded(first.columns[self._date])[0]
        if None not in _days_since_1970(dates.drop_null(), ""):
            return ""
        forms = TimeForms()
        source = self._reopen()
        try:
            for rows in source.rows([self._date]):
                column, _ = decoded(rows.columns[self._date])
                forms.add(column)
        finally:
            source.close()
        return decide_time_format(forms, None)

    def _long(self, rows: RawRows, others: list[str], time_format: Any) -> RawRows:
        """The values of some days."""
        dates, reasons = decoded(rows.columns[self._date])
        days = _days_since_1970(dates, time_format)
        decoded_cells = [decoded(rows.columns[name]) for name in self._cells]
        cells, filled = [column for column, _ in decoded_cells], filled_cells(decoded_cells)
        malformed = list(rows.malformed)
        good = np.zeros(len(days), dtype=bool)
        for number, day in enumerate(days):
            reason = reasons[number] or ("unreadable_time" if day is None else "")
            if day is not None and not reason:
                reason = self._reason(day, filled[number])
            if reason:
                malformed.append(Reject(int(rows.places[number]), reason, rows.text_of(number)))
            good[number] = not reason
        which: Indexes = np.flatnonzero(good).astype(np.int64)
        seconds = self._times.of_days([day for number, day in enumerate(days) if good[number] and day is not None])
        is_value = filled[which]
        for value in REASONS:
            for day_number, cell in np.argwhere(is_value & (seconds == value)).tolist():
                line = int(which[day_number])
                text = f"{self._cells[cell]}: {cells[cell][line]} of {rows.text_of(line)}"
                malformed.append(Reject(int(rows.places[line]), REASONS[value], text))
        # Blank cells of intervals that the day has.
        blank = int((~is_value & (seconds >= 0)).sum())
        if blank:
            self.format.counts["blank values are no readings."] += blank
        index, column = np.nonzero(is_value & (seconds >= 0))
        row: Indexes = which[index]
        found = {name: rows.columns[name].take(pa.array(row)) for name in others}
        found[TIME] = self._time_column(seconds[index, column])
        # The columns one after the other, then in the order of the rows.
        found[self._value] = joined(cells).take(pa.array(column * len(days) + row))
        places: Places = rows.places[row]
        return RawRows(
            found,
            places,
            sorted(malformed, key=lambda reject: reject.place),
            CellTexts(rows, row, column, self._cells).text,
        )

    def _reason(self, day: int, is_filled: npt.NDArray[np.bool_]) -> str:
        """Why the values of a day cannot be read; "" if they can."""
        if not DAYS[0] <= day <= DAYS[1]:
            return "time_out_of_range"
        if self._days.minutes or not is_filled.any():
            return ""
        is_more = bool((is_filled & (self._times.of_day(day) < 0)).any())
        return OTHER_NUMBER if is_more or not self._times.has_all(day) else ""

    def _time_column(self, seconds: npt.NDArray[np.int64]) -> Column:
        if self._days.stamp == "end":
            seconds = seconds + self._days.interval_min * 60
        return pa.array(seconds).cast(pa.timestamp("s", "UTC" if self._options.timezone else None))


def _refuse_twice(names: list[str]) -> None:
    """Columns are addressed by their names: two of one name would both have the values of the first."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        listing = ", ".join(repr(name) for name in twice)
        raise SourceError(
            f"The columns {listing} of the day occur twice, as those of the hour that clocks repeat. Rename the second "
            f"ones, such as {twice[0] + '.1'!r}."
        )


def _date_column(names: list[str], options: FileOptions) -> str:
    if options.timestamp_column is not None:
        if names.count(options.timestamp_column) != 1:
            raise SourceError(
                f"There is no column {options.timestamp_column!r} (--timestamp-column) beside the values."
            )
        return options.timestamp_column
    found = [name for name in names if normal(name) in all_names("date") | DATES_OF_DAYS]
    if len(found) == 1:
        return found[0]
    listing = ", ".join(repr(name) for name in names)
    raise SourceError(
        f"Each row has the values of a day, but {'several columns' if found else 'no column'} may be its date; set it "
        f"with --timestamp-column. Columns beside the values: {listing}."
    )


def _days_since_1970(dates: Column, time_format: Any) -> list[int | None]:
    """The days of a column of dates; None if it is no date, or has a time of day."""
    if pa.types.is_timestamp(dates.type) or pa.types.is_date(dates.type):
        seconds = dates.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    else:
        texts = to_iso(dates, time_format) if time_format else dates.cast(pa.string())
        texts = pc.utf8_trim_whitespace(texts)
        texts = pc.replace_substring_regex(texts, "^([0-9]{4})([0-9]{2})([0-9]{2})$", r"\1-\2-\3")
        texts = pc.replace_substring_regex(texts, "[ T]00:00(:00(\\.0+)?)?$", "")
        is_date = pc.fill_null(pc.match_substring_regex(texts, "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), False)
        seconds = pc.strptime(pc.if_else(is_date, texts, None), format="%Y-%m-%d", unit="s", error_is_null=True)
        seconds = seconds.cast(pa.int64())
    return [second // 86400 if second is not None and second % 86400 == 0 else None for second in seconds.to_pylist()]
