"""ibis with its ClickHouse backend: expressions, creating and filling tables, raw SQL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform_tests.clients.installed import installed
from iot_platform_tests.clients.rows import HARD_TEXT, ROWS

ibis = installed("ibis")


@pytest.fixture
def backend(server: Endpoint, database: str) -> Iterator[Any]:
    connected = ibis.clickhouse.connect(
        host=server.host, port=server.port, user=server.username, password=server.password, database=database
    )
    yield connected
    connected.disconnect()


def test_schema_and_rows(filled: Client, backend: Any) -> None:
    assert sorted(backend.list_tables()) == ["empty", "t"]
    table = backend.table("t")
    assert list(table.schema().names) == list(ROWS[0]._fields)
    assert table.schema()["small"].nullable and not table.schema()["id"].nullable
    rows = table.select("id", "small", "name", "note", "day").order_by("id").to_pyarrow().to_pylist()
    assert [tuple(row.values()) for row in rows] == [(row.id, row.small, row.name, row.note, row.day) for row in ROWS]


def test_expressions(filled: Client, backend: Any) -> None:
    t = backend.table("t")
    assert t.filter(t.name == HARD_TEXT).id.execute().tolist() == [1]
    assert t.filter(t.note.isnull()).count().execute() == 1
    by_kind = t.group_by("kind").aggregate(n=t.count(), widest=t.ratio.max()).order_by("kind").to_pyarrow().to_pylist()
    assert by_kind == [{"kind": "", "n": 1, "widest": -0.1}, {"kind": "school", "n": 2, "widest": 1e300}]
    other = t.view()
    joined = t.join(other, t.id == other.id).count()
    assert t.mutate(rank=ibis.row_number().over(order_by=t.id))["rank"].execute().tolist() == [0, 1, 2]
    assert joined.execute() == 3
    assert t.at.truncate("D").name("d").execute().dt.day.tolist() == [1, 29, 7]


def test_create_insert_and_drop(backend: Any) -> None:
    frame = pd.DataFrame({"id": [1, 2], "name": [HARD_TEXT, "ü"], "kWh": [0.5, None]})
    made = backend.create_table("made", schema=ibis.schema({"id": "!int64", "name": "!string", "kWh": "float64"}))
    backend.insert("made", frame)
    backend.insert("made", pa.table({"id": [3], "name": [""], "kWh": pa.array([None], pa.float64())}).to_pandas())
    rows = made.order_by("id").to_pyarrow().to_pylist()
    assert rows == [
        {"id": 1, "name": HARD_TEXT, "kWh": 0.5},
        {"id": 2, "name": "ü", "kWh": None},
        {"id": 3, "name": "", "kWh": None},
    ]
    backend.create_view("seen", made.filter(made.id > 1))
    assert backend.table("seen").count().execute() == 2
    backend.raw_sql("DROP VIEW seen")  # drop_view and drop_table of ibis 12 write no name with sqlglot 30
    backend.truncate_table("made")
    assert made.count().execute() == 0
    backend.raw_sql("DROP TABLE made")
    assert backend.list_tables() == []


def test_a_frame_in_memory_joins_a_table(filled: Client, backend: Any) -> None:
    names = ibis.memtable({"id": [1, 2], "label": ["first", "Zürich"]})
    t = backend.table("t")
    rows = t.join(names, t.id == names.id).select(t.id, names.label).order_by("id").to_pyarrow().to_pylist()
    assert rows == [{"id": 1, "label": "first"}, {"id": 2, "label": "Zürich"}]


def test_batches(client: Client, backend: Any) -> None:
    client.command("CREATE TABLE n (number UInt64) ENGINE = MergeTree ORDER BY number")
    client.command("INSERT INTO n SELECT number FROM numbers(200000)")
    batches = list(backend.table("n").order_by("number").to_pyarrow_batches(chunk_size=50_000))
    assert [value for batch in batches for value in batch.column(0).to_pylist()] == list(range(200_000))


def test_sql_and_times(filled: Client, backend: Any) -> None:
    table = backend.sql("SELECT at, fine FROM t WHERE id = 2")
    assert table.to_pyarrow().to_pylist() == [{"at": ROWS[1].at, "fine": ROWS[1].fine}]
    moment = backend.raw_sql("SELECT toDateTime64('2026-03-29 01:30:00.123456', 6, 'UTC')").result_rows[0][0]
    assert moment.replace(tzinfo=dt.UTC) == ROWS[1].fine


def test_errors_are_errors(filled: Client, backend: Any) -> None:
    with pytest.raises(ibis.common.exceptions.TableNotFound):
        backend.table("nope")
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        backend.raw_sql("SELECT * FROM nope")
