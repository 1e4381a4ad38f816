"""Insert a few rows of Python values. (Many rows go through clickhouse/blocks.py.)"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from decimal import Decimal

from clickhouse_connect.driver.client import Client


def insert_rows(client: Client, table: str, rows: Iterable[Sequence[object]], columns: Sequence[str]) -> None:
    """Insert rows whose values stand in the order of ``columns``; times must have a time zone.

    Client.insert does the same, but imports pandas to see whether it was given a DataFrame: a second of CPU in each
    process, and a query for the columns' types.
    """
    lines = [json.dumps(list(row), default=_json) for row in rows]
    # ClickHouse reads times of the form YYYY-MM-DD hh:mm:ss.ffffff whatever the type's precision.
    settings = {"date_time_input_format": "best_effort"}
    client.raw_insert(table, columns, "\n".join(lines).encode(), settings=settings, fmt="JSONCompactEachRow")


def _json(value: object) -> str:
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise TypeError(f"{value} has no time zone.")
        return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"{value!r} cannot be inserted.")
