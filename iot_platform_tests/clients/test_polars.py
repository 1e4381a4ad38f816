"""polars with clickhouse-connect: reading and writing frames through Arrow and SQLAlchemy."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
import sqlalchemy as sa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from iot_platform_tests.clients.installed import installed
from iot_platform_tests.clients.rows import HARD_TEXT, ROWS

pl = installed("polars")


def test_read_through_arrow(filled: Client) -> None:
    frame = pl.from_arrow(filled.query_arrow("SELECT * FROM t ORDER BY id", use_strings=True))
    # ClickHouse's Arrow has DateTime as a number of seconds.
    assert frame.rows() == [tuple((row._asdict() | {"at": int(row.at.timestamp())}).values()) for row in ROWS]


def test_query_df_arrow_gives_a_polars_frame(filled: Client) -> None:
    frame = filled.query_df_arrow("SELECT id, note, fine FROM t ORDER BY id", dataframe_library="polars")
    assert isinstance(frame, pl.DataFrame)
    assert frame.rows() == [(row.id, row.note, row.fine.replace(tzinfo=None)) for row in ROWS]


def test_a_written_frame_comes_back(client: Client) -> None:
    frame = pl.DataFrame(
        {
            "id": pl.Series([1, 2], dtype=pl.UInt32),
            "name": [HARD_TEXT, ""],
            "note": [None, "ü"],
            "kWh": pl.Series([Decimal("0.0001"), None], dtype=pl.Decimal(18, 4)),
            "at": pl.Series([dt.datetime(2026, 1, 1), None], dtype=pl.Datetime("us", "UTC")),
        }
    )
    client.command(
        "CREATE TABLE p (id UInt32, name String, note Nullable(String), kWh Nullable(Decimal(18, 4)), "
        "at Nullable(DateTime64(6, 'UTC'))) ENGINE = MergeTree ORDER BY id"
    )
    client.insert_df_arrow("p", frame)
    back = pl.from_arrow(client.query_arrow("SELECT * FROM p ORDER BY id", use_strings=True))
    assert back.rows() == frame.rows()


def test_streamed_batches(client: Client) -> None:
    with client.query_df_arrow_stream("SELECT number FROM numbers(300000)", dataframe_library="polars") as frames:
        numbers = pl.concat(list(frames))["number"]
    assert numbers.to_list() == list(range(300_000))


def test_read_database_with_an_engine(filled: Client, login: str) -> None:
    engine = sa.create_engine(f"clickhousedb://{login}")
    try:
        query = sa.text("SELECT id, name, note, small FROM t WHERE name != :name ORDER BY id")
        frame = pl.read_database(query, engine, execute_options={"parameters": {"name": HARD_TEXT}})
        assert frame.rows() == [(row.id, row.name, row.note, row.small) for row in ROWS[1:]]
    finally:
        engine.dispose()


def test_errors_are_errors(client: Client) -> None:
    client.command("CREATE TABLE p (id UInt32) ENGINE = MergeTree ORDER BY id")
    with pytest.raises(DatabaseError, match="CANNOT_PARSE|CANNOT_CONVERT|TYPE_MISMATCH|INCORRECT_DATA|Cannot"):
        client.insert_df_arrow("p", pl.DataFrame({"id": ["no number"]}))
    assert client.command("SELECT count() FROM p") == 0
