"""insert_rows stores each value as it is, whatever its type."""

from __future__ import annotations

import datetime as dt
import math
import os
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


# What names, ids and error messages may contain.
HOSTILE_TEXTS = [
    "\0",
    "\\N",
    "NULL",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "\x7f\x80\u2028\u202e\ufeff\uffff\U0010ffff",
    "'); DROP TABLE all_types; --",
    "a\tb\nc\r\n]\n[",
    "x" * 1_000_000,
]


def utc(year: int, month: int, day: int, *time: int) -> dt.datetime:
    hour, minute, second, microsecond = [*time, 0, 0, 0, 0][:4]
    return dt.datetime(year, month, day, hour, minute, second, microsecond, dt.UTC)


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


EDGES: list[tuple[str, object]] = [
    *(("number", value) for value in (1e308, -1e308, 5e-324, -0.0, math.inf, 2**53)),
    *(("exact", value) for value in (Decimal("99999999999999999999999999999.999999999"), Decimal("-1E-9"))),
    *(("day", value) for value in (dt.date(1970, 1, 1), dt.date(2149, 6, 6))),
    *(("second", utc(*day)) for day in ((1970, 1, 1), (2106, 2, 7, 6, 28, 15))),
    *(("instant", utc(*day)) for day in ((1970, 1, 1), (2106, 2, 7, 6, 28, 14, 999_999))),
    *(("text", text) for text in HOSTILE_TEXTS),
    *(("kind", text) for text in HOSTILE_TEXTS),
    ("list", list(HOSTILE_TEXTS)),
]


@pytest.mark.parametrize(("column", "value"), EDGES)
def test_extreme_values_are_stored_as_they_are(table: Client, column: str, value: object) -> None:
    insert_rows(table, "all_types", [[value]], [column])
    [(found,)] = table.query(f"SELECT {column} FROM all_types").result_rows
    assert seen(found) == seen(value)
    if isinstance(value, float):
        assert math.copysign(1, found) == math.copysign(1, value)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("count", 2**64), ("count", -1), ("count", 1.5), ("exact", Decimal("1E30"))),
        *(("exact", Decimal("NaN")), ("day", dt.date(2149, 6, 7)), ("day", dt.date(1969, 12, 31)), ("state", "gone")),
        *(("second", utc(*day)) for day in ((1969, 12, 31), (2106, 2, 7, 6, 28, 16), (9999, 1, 1))),
        *(("instant", utc(*day)) for day in ((1, 1, 1), (2300, 1, 1))),
        ("list", [{1}]),
        *(("number", 10**400), ("number", "1; DROP TABLE all_types"), ("text", None)),
    ],
)
def test_what_a_column_cannot_hold_is_refused(table: Client, column: str, value: object) -> None:
    try:
        insert_rows(table, "all_types", [[value]], [column])
    except (DatabaseError, TypeError, ValueError):
        pass
    else:
        pytest.fail(f"stored as {table.query(f'SELECT {column} FROM all_types').result_rows}")
    assert table.query("SELECT count() FROM all_types").result_rows == [(0,)]


def test_a_file_name_that_is_not_utf8_is_stored_with_question_marks(table: Client) -> None:
    name = os.fsdecode(b"/data/\xff\xfe.csv")
    insert_rows(table, "all_types", [[name]], ["text"])
    assert table.query("SELECT text FROM all_types").result_rows == [("/data/??.csv",)]


def test_a_time_without_zone_and_a_value_of_another_type_are_refused(table: Client) -> None:
    with pytest.raises(TypeError, match="has no time zone"):
        insert_rows(table, "all_types", [[dt.datetime(2026, 1, 5)]], ["instant"])
    with pytest.raises(TypeError, match="cannot be inserted"):
        insert_rows(table, "all_types", [[{1}]], ["list"])
    with pytest.raises(DatabaseError):
        insert_rows(table, "all_types", [["many"]], ["count"])
    assert table.query("SELECT count() FROM all_types").result_rows == [(0,)]
