"""Insert a few rows of Python values. (Many rows go through clickhouse/blocks.py.)"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TypeVar

from clickhouse_connect.driver.client import Client

_T = TypeVar("_T", dt.datetime, dt.date, int)


# What DateTime and Date can hold. ClickHouse stores another day instead of refusing a time or a number out of range.
_TIMES = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime.fromtimestamp(2**32 - 1, dt.UTC)
_DAYS = dt.date(1970, 1, 1), dt.date(2149, 6, 6)
_INTEGERS = -(2**63), 2**64 - 1


def insert_rows(client: Client, table: str, rows: Iterable[Sequence[object]], columns: Sequence[str]) -> None:
    """Insert rows whose values stand in the order of ``columns``; times must have a time zone.

    Client.insert does the same, but imports pandas to see whether it was given a DataFrame: a second of CPU in each
    process, and a query for the columns' types. Raises ValueError for a time or number that no column can hold.
    """
    lines = [json.dumps([_plain(value) for value in row]) for row in rows]
    settings = {
        # ClickHouse reads times of the form YYYY-MM-DD hh:mm:ss.ffffff whatever the type's precision.
        "date_time_input_format": "best_effort",
        # None is refused, unless the column is Nullable.
        "input_format_null_as_default": 0,
    }
    client.raw_insert(table, columns, "\n".join(lines).encode(), settings=settings, fmt="JSONCompactEachRow")


def _plain(value: object) -> object:
    """The value as JSON can hold it."""
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise TypeError(f"{value} has no time zone.")
        return _within(_TIMES, value).astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, dt.date):
        return _within(_DAYS, value).isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, int):
        return _within(_INTEGERS, value)
    if isinstance(value, str):
        # Bytes of file names that are not UTF-8 are lone surrogates in Python, which no UTF-8 text can hold.
        return value.encode(errors="replace").decode()
    if value is None or isinstance(value, float | list | tuple):
        return value
    raise TypeError(f"{value!r} cannot be inserted.")


def _within(bounds: tuple[_T, _T], value: _T) -> _T:
    first, last = bounds
    if not first <= value <= last:
        raise ValueError(f"{value} is not between {first} and {last}.")
    return value
