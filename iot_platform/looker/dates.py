"""Looker's filter expressions for times: a time matches if it lies in any of the intervals of an expression.

Grammar: https://cloud.google.com/looker/docs/filter-expressions (date and time). All times are UTC.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from iot_platform.errors import FilterError

UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
_STEPS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 7 * 86_400}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}

# The whole years that a DateTime of ClickHouse can hold.
FIRST_YEAR, LAST_YEAR = 1970, 2105

_UNIT = rf"({'|'.join(UNITS)})s?"
_LAST_N = re.compile(rf"(\d+) {_UNIT}")
_AGO = re.compile(rf"(\d+) {_UNIT} ago(?: for (\d+) {_UNIT})?")
_NAMED = re.compile(rf"(this|last|next) {_UNIT}")
_DATE = re.compile(r"(\d{4})(?:[-/](\d\d?)(?:[-/](\d\d?)(?:[ T](\d\d?)(?::(\d\d)(?::(\d\d))?)?)?)?)?")
_DATE_UNITS = ("year", "month", "day", "hour", "minute", "second")
_DAYS = {"today": 0, "yesterday": -1, "tomorrow": 1}


@dataclass(frozen=True)
class Interval:
    """Times from ``start`` (included) to ``end`` (not included), naive UTC; None: no bound on that side."""

    start: dt.datetime | None
    end: dt.datetime | None


def parse_dates(expression: str, now: dt.datetime) -> list[Interval]:
    """The intervals of an expression; an empty list: any time. ``now``: with a time zone.

    "N units" is the current unit and the N - 1 before it, "N units ago" that one unit; "A to B" excludes B; weeks begin
    on Monday. Raises FilterError naming what it cannot parse.
    """
    clock = now.astimezone(dt.UTC).replace(tzinfo=None)
    if not expression.strip() or expression.strip().lower() == "any time":
        return []
    return [_interval(" ".join(term.lower().split()), clock, expression) for term in expression.split(",")]


def is_finer(expression: str, interval: Interval, unit: str) -> bool:
    """True if a bound of the interval is not aligned to ``unit`` at every time of day.

    So "24 hours" is always too fine for days, although in the last hour of a day it happens to be that whole day.
    """
    smaller = UNITS[: UNITS.index(unit)]
    if any(re.search(rf"\b{each}s?\b", expression, re.IGNORECASE) for each in smaller):
        return True
    return any(bound and _floor(bound, unit) != bound for bound in (interval.start, interval.end))


def _interval(term: str, now: dt.datetime, expression: str) -> Interval:
    try:
        interval = _bounds(term, now)
        if interval.start and interval.end and interval.start >= interval.end:
            raise ValueError("its end is not after its start")
        for bound in (interval.start, interval.end):
            if bound and not FIRST_YEAR <= bound.year <= LAST_YEAR:
                raise ValueError(f"it is not within {FIRST_YEAR} to {LAST_YEAR}")
    except (ValueError, OverflowError) as error:
        raise FilterError(
            f"The time filter {expression!r} cannot be used: {error}. Examples: 7 days, 24 hours, "
            "2 days ago, 3 months ago for 2 days, today, yesterday, this month, last week, 2026, 2026/01, 2026/01/05, "
            "2026/01/05 13, 2026/01/01 to 2026/02/01, before 2026/01/01, after 3 days ago."
        ) from error
    return interval


def _bounds(term: str, now: dt.datetime) -> Interval:
    if term.startswith("before "):
        return Interval(None, _moment(term.removeprefix("before "), now).start)
    if term.startswith("after "):
        return Interval(_moment(term.removeprefix("after "), now).start, None)
    start, to, end = term.partition(" to ")
    first = _moment(start, now)
    return Interval(first.start, _moment(end, now).start) if to else first


def _moment(term: str, now: dt.datetime) -> Interval:
    """The interval that a term names; for before, after and to, its start counts."""
    if term in _DAYS:
        start = _shift(_floor(now, "day"), "day", _DAYS[term])
        return Interval(start, _shift(start, "day", 1))
    if match := _NAMED.fullmatch(term):
        word, unit = match.groups()
        start = _shift(_floor(now, unit), unit, {"this": 0, "last": -1, "next": 1}[word])
        return Interval(start, _shift(start, unit, 1))
    if match := _LAST_N.fullmatch(term):
        current = _floor(now, match[2])
        return Interval(_shift(current, match[2], 1 - int(match[1])), _shift(current, match[2], 1))
    if match := _AGO.fullmatch(term):
        count, unit, length, length_unit = match.groups()
        start = _shift(_floor(now, unit), unit, -int(count))
        return Interval(start, _shift(start, length_unit or unit, int(length or 1)))
    if match := _DATE.fullmatch(term):
        numbers = [int(number) for number in match.groups() if number is not None]
        year, month, day, hour, minute, second = (numbers + [1, 1, 0, 0, 0][len(numbers) - 1 :])[:6]
        start = dt.datetime(year, month, day, hour, minute, second)
        return Interval(start, _shift(start, _DATE_UNITS[len(numbers) - 1], 1))
    raise ValueError(f"{term!r} is not a time")


def _floor(moment: dt.datetime, unit: str) -> dt.datetime:
    """The start of the unit that contains a moment."""
    moment = moment.replace(microsecond=0)
    if unit in _MONTHS:
        months = _MONTHS[unit]
        return dt.datetime(moment.year, (moment.month - 1) // months * months + 1, 1)
    if unit == "week":
        return _floor(moment, "day") - dt.timedelta(days=moment.weekday())
    seconds = (moment - dt.datetime.combine(moment, dt.time())).seconds
    return moment - dt.timedelta(seconds=seconds % _STEPS[unit])


def _shift(moment: dt.datetime, unit: str, count: int) -> dt.datetime:
    """A moment plus some units. Raises ValueError if the resulting month lacks the day."""
    if unit in _STEPS:
        return moment + dt.timedelta(seconds=count * _STEPS[unit])
    months = moment.year * 12 + moment.month - 1 + count * _MONTHS[unit]
    return moment.replace(year=months // 12, month=months % 12 + 1)
