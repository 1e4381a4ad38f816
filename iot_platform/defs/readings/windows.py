"""Windows of arrivals: the period that one ingestion run requests from the source."""

from __future__ import annotations

import datetime as dt

# A reading arrives at the end of its interval, the last one of a day exactly at midnight. The arrivals of a day are
# therefore [00:00:01, 00:00:01 of the next day).
_EDGE = dt.timedelta(seconds=1)
_DAY = dt.timedelta(days=1)

# Bound of the catch-up after a downtime: a run is short enough to be repeated.
MAX_WINDOW = dt.timedelta(days=1)

Window = tuple[dt.datetime, dt.datetime]


def day_window(first: dt.date, last: dt.date, now: dt.datetime) -> Window:
    """The arrivals of the days ``first`` .. ``last``, up to now. It begins at midnight: an overlap is harmless."""
    start = dt.datetime.combine(first, dt.time(), dt.UTC)
    end = dt.datetime.combine(last, dt.time(), dt.UTC) + _DAY + _EDGE
    return start, max(start, min(end, now))


def day_of_window(start: dt.datetime) -> dt.date:
    """The day whose arrivals a window that begins at ``start`` holds."""
    return (start - _EDGE).date()


def start_of_arrivals(day: dt.date) -> dt.datetime:
    """When the arrivals of a day begin."""
    return dt.datetime.combine(day, dt.time(), dt.UTC) + _EDGE


def start_of_day(now: dt.datetime) -> dt.datetime:
    """When the arrivals of the current day began."""
    return start_of_arrivals(day_of_window(now))


def next_window(start: dt.datetime, now: dt.datetime, interval_s: int, min_length_s: int = 0) -> Window | None:
    """The oldest window since ``start``: at most MAX_WINDOW long, and not beyond a midnight.

    The newest one ends just after the newest reading that has arrived (``interval_s``: the time between two readings).
    None while less than ``min_length_s`` has arrived since ``start``: a later window covers it.
    """
    newest_s = int((now - _EDGE).timestamp()) // interval_s * interval_s
    until = dt.datetime.fromtimestamp(newest_s, dt.UTC) + _EDGE
    if start >= until or until - start < dt.timedelta(seconds=min_length_s):
        return None
    return start, min(start + MAX_WINDOW, start_of_day(start) + _DAY, until)
