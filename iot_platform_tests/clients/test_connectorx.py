"""connectorx, and polars with it: reads through the Rust client, which requests ClickHouse's own compressed blocks."""

from __future__ import annotations

import datetime as dt

import pytest
from clickhouse_connect.driver.client import Client

from iot_platform_tests.clients.installed import installed
from iot_platform_tests.clients.rows import HARD_TEXT, ROWS

cx = installed("connectorx")
pl = installed("polars")

COLUMNS = "id, small, big, ratio, price::Float64 AS price, flag, name, note, day, at, fine"


def plain(rows: list[dict[str, object]]) -> list[tuple[object, ...]]:
    """The rows without the time zone: connectorx gives times in UTC, as they are stored, without one."""
    return [
        tuple(
            value.replace(tzinfo=None) if isinstance(value, dt.datetime) else value
            for value in row.values()
        )
        for row in rows
    ]  # fmt: skip


def wanted() -> list[tuple[object, ...]]:
    found = []
    for row in ROWS:
        values = row._asdict() | {
            "price": float(row.price),
            "at": row.at.replace(tzinfo=None),
            "fine": row.fine.replace(tzinfo=None),
        }
        found.append(tuple(value for name, value in values.items() if name != "kind"))
    return found


@pytest.fixture
def url(login: str) -> str:
    return f"clickhouse://{login}"


def test_every_type_as_arrow(filled: Client, url: str) -> None:
    table = cx.read_sql(url, f"SELECT {COLUMNS} FROM t ORDER BY id", return_type="arrow")
    assert plain(table.to_pylist()) == wanted()


def test_every_type_in_polars(filled: Client, url: str) -> None:
    frame = pl.read_database_uri(f"SELECT {COLUMNS} FROM t ORDER BY id", url, engine="connectorx")
    assert plain(frame.to_dicts()) == wanted()


def test_pandas(filled: Client, url: str) -> None:
    frame = cx.read_sql(url, "SELECT id, name, note FROM t ORDER BY id")
    assert frame["id"].tolist() == [row.id for row in ROWS]
    assert frame["name"].tolist() == [row.name for row in ROWS]
    assert frame["note"].isna().tolist() == [row.note is None for row in ROWS]


def test_an_empty_result(filled: Client, url: str) -> None:
    frame = pl.read_database_uri("SELECT id, name FROM empty", url, engine="connectorx")
    assert (frame.columns, frame.height) == (["id", "name"], 0)


def test_many_rows_in_partitions(client: Client, url: str) -> None:
    client.command("CREATE TABLE n (number UInt64, text String) ENGINE = MergeTree ORDER BY number")
    client.command("INSERT INTO n SELECT number, concat('ü', toString(number)) FROM numbers(300000)")
    query = "SELECT number, text FROM n"
    frame = cx.read_sql(url, query, partition_on="number", partition_num=3, return_type="polars").sort("number")
    assert frame["number"].to_list() == list(range(300_000))
    assert frame["text"].to_list() == [f"ü{number}" for number in range(300_000)]


def test_a_literal_that_needs_escapes(filled: Client, url: str) -> None:
    escaped = HARD_TEXT.replace("\\", "\\\\").replace("'", "\\'")
    frame = cx.read_sql(url, f"SELECT id FROM t WHERE name = '{escaped}'", return_type="polars")
    assert frame["id"].to_list() == [1]


def test_errors_are_errors(url: str) -> None:
    with pytest.raises(RuntimeError, match="UNKNOWN_TABLE"):
        cx.read_sql(url, "SELECT * FROM nope", return_type="polars")
    with pytest.raises(RuntimeError, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"):
        cx.read_sql(url, "SELECT throwIf(number = 999999) AS a FROM numbers(1000000)", return_type="polars")
    wrong = url.replace(url.split("@")[0], "clickhouse://default:wrong")
    with pytest.raises(RuntimeError, match="516|AUTHENTICATION_FAILED"):
        cx.read_sql(wrong, "SELECT 1 AS a", return_type="polars")
