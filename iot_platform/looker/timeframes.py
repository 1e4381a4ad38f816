"""The supported timeframes of a LookML dimension_group, and the ClickHouse SQL of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["time", "date", "string", "number", "yesno", "location"]

# The grammar of filter expressions on the field.
Grammar = Literal["hours", "days", "numbers", "strings", "yesno", "location"]


@dataclass(frozen=True)
class Timeframe:
    """A timeframe: its SQL over a DateTime expression ``{}``, the kind of its values, the grammar of its filters.

    The grammars ``hours`` and ``days`` filter the time itself, by whole hours or days: the tables hold nothing finer.
    """

    sql: str
    kind: Kind
    grammar: Grammar
    label: str


# Weeks begin on Monday, so the model must say week_start_day: monday.
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
