"""insert_rows stores each value as it is, whatever its type."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from iot_platform.clickhouse.rows import insert_rows

HOUR = dt.timezone(dt.timedelta(hours=1))
TYPES = {
    "text": "String",
    "kind": "LowCardinality(String)",
    "state": "Enum8('open' = 1, 'done' = 2)",
    "count": "UInt64",
    "number": "Float64",
    "exact": "Decimal(38, 9)",
    "flag": "UInt8",
    "day": "Date",
    "second": "DateTime('UTC')",
    "instant": "DateTime64(6, 'UTC')",
    "maybe": "Nullable(Float64)",
    "list": "Array(String)",
}
ROWS: list[list[Any]] = [
    [
        'it\'s "quoted", a\\b\n\t\0 é 🏠 {x:String}',
        "office",
        "done",
        2**64 - 1,
        0.1 + 0.2,
        Decimal("12345678901234567890.123456789"),
        True,
        dt.date(2026, 1, 5),
        dt.datetime(2026, 1, 5, 13, 30, 1, tzinfo=HOUR),
        dt.datetime(2026, 1, 5, 13, 30, 1, 654321, tzinfo=dt.UTC),
        None,
        ["a,b", "'c'"],
    ],
    [
        *("", "", "open", 0, -math.inf, Decimal(0), False, dt.date(1970, 1, 1)),
        *(dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(1970, 1, 1, tzinfo=dt.UTC), 1e-300, []),
    ],
]


def seen(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return int(value) if isinstance(value, bool) else value


@pytest.fixture
def table(client: Client) -> Client:
    columns = ", ".join(f"{name} {type_}" for name, type_ in TYPES.items())
    client.command(f"CREATE TABLE all_types ({columns}) ENGINE = MergeTree ORDER BY count")
    return client


def test_values_of_each_type_are_stored_as_they_are(table: Client) -> None:
    insert_rows(table, "all_types", ROWS, list(TYPES))
    found = table.query("SELECT * FROM all_types ORDER BY count DESC").result_rows
    assert [list(map(seen, row)) for row in found] == [list(map(seen, row)) for row in ROWS]


def test_not_a_number_is_stored(table: Client) -> None:
    insert_rows(table, "all_types", [[math.nan, math.nan]], ["number", "maybe"])
    [(number, maybe)] = table.query("SELECT number, maybe FROM all_types").result_rows
    assert math.isnan(number) and math.isnan(maybe)


def test_a_time_without_zone_and_a_value_of_another_type_are_refused(table: Client) -> None:
    with pytest.raises(TypeError, match="has no time zone"):
        insert_rows(table, "all_types", [[dt.datetime(2026, 1, 5)]], ["instant"])
    with pytest.raises(TypeError, match="cannot be inserted"):
        insert_rows(table, "all_types", [[{1}]], ["list"])
    with pytest.raises(DatabaseError):
        insert_rows(table, "all_types", [["many"]], ["count"])
    assert table.query("SELECT count() FROM all_types").result_rows == [(0,)]
