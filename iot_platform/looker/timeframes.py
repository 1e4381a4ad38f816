"""The timeframes of a LookML dimension_group that are known here, and what each is in ClickHouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["time", "date", "string", "number", "yesno", "location"]

# How an expression of a filter on the field is read.
Grammar = Literal["hours", "days", "numbers", "strings", "yesno", "location"]


@dataclass(frozen=True)
class Timeframe:
    """A timeframe: the SQL of it for an expression ``{}`` of type DateTime, its kind of values and of filters.

    ``hours`` and ``days`` filter the time itself, but by whole hours or days only: the tables know nothing finer.
    """

    sql: str
    kind: Kind
    grammar: Grammar
    label: str


# Weeks and days of the week begin on Monday: the model must say so (week_start_day: monday).
TIMEFRAMES = {
    "raw": Timeframe("{}", "time", "hours", "Raw"),
    "hour": Timeframe("toStartOfHour({})", "time", "hours", "Hour"),
    "date": Timeframe("toDate({})", "date", "days", "Date"),
    "week": Timeframe("toMonday({})", "date", "days", "Week"),
    "month": Timeframe("toStartOfMonth({})", "date", "days", "Month"),
    "quarter": Timeframe("toStartOfQuarter({})", "date", "days", "Quarter"),
    "year": Timeframe("toYear({})", "number", "days", "Year"),
    "hour_of_day": Timeframe("toHour({})", "number", "numbers", "Hour of Day"),
    "day_of_week": Timeframe("dateName('weekday', {})", "string", "strings", "Day of Week"),
    "day_of_week_index": Timeframe("toDayOfWeek({}) - 1", "number", "numbers", "Day of Week Index"),
}
WEEK_START_DAY = "monday"
