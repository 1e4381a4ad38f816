"""Windows of arrivals: which stretch of time one ingestion run asks the source for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

# A reading arrives at the end of its interval, the last one of a day on the stroke of midnight. The arrivals of a day
# therefore end one second after it: [00:00:01, 00:00:01 of the next day).
_EDGE = dt.timedelta(seconds=1)
_DAY = dt.timedelta(days=1)

# Bounds of the catch-up after a downtime: a run is short enough to be repeated, a tick leaves room for other runs.
MAX_WINDOW = dt.timedelta(hours=6)
MAX_RUNS_PER_TICK = 4

Window = tuple[dt.datetime, dt.datetime]


def day_window(first: dt.date, last: dt.date, now: dt.datetime) -> Window:
    """The arrivals of the days ``first`` .. ``last``, up to now. Starts at midnight, to overlap rather than to miss."""
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


def next_windows(start: dt.datetime, now: dt.datetime, interval_s: int) -> Iterator[Window]:
    """Cut the time since ``start`` into windows, oldest first, none beyond a midnight and at most MAX_RUNS_PER_TICK.

    The last one ends just after the newest reading that has arrived, so a tick without a new reading has no window.
    """
    newest_s = int((now - _EDGE).timestamp()) // interval_s * interval_s
    until = dt.datetime.fromtimestamp(newest_s, dt.UTC) + _EDGE
    for _ in range(MAX_RUNS_PER_TICK):
        if start >= until:
            return
        end = min(start + MAX_WINDOW, start_of_day(start) + _DAY, until)
        yield start, end
        start = end
