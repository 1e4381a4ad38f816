"""clickhouse-connect against the embedded server: the calls that the platform and its users make."""

from __future__ import annotations

import datetime as dt
import decimal
import ipaddress
import uuid
from collections.abc import Iterator

import clickhouse_connect
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData

from iot_platform_tests.clickhouse_embedded.http_queries import Server, connect


@pytest.fixture
def readings(client: Client) -> Iterator[Client]:
    client.command(
        "CREATE TABLE r (timestamp DateTime('UTC'), device_id UInt32, kWh Float64) "
        "ENGINE = MergeTree ORDER BY timestamp"
    )
    yield client


ROWS = [(dt.datetime(2026, 1, 1, hour, tzinfo=dt.UTC), hour, hour / 8) for hour in range(5)]
COLUMNS = ["timestamp", "device_id", "kWh"]


def frame() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=COLUMNS).astype({"device_id": "uint32"})


def stored(client: Client) -> list[tuple[dt.datetime, int, float]]:
    rows = client.query("SELECT * FROM r ORDER BY timestamp", tz_mode="aware").result_rows
    return [tuple(row) for row in rows]


def test_row_insert(readings: Client) -> None:
    assert readings.insert("r", ROWS, column_names=COLUMNS).written_rows == 5
    assert stored(readings) == ROWS


def test_column_insert(readings: Client) -> None:
    readings.insert("r", [list(column) for column in zip(*ROWS, strict=True)], COLUMNS, column_oriented=True)
    assert stored(readings) == ROWS


def test_frame_and_arrow_insert(readings: Client) -> None:
    readings.insert_df("r", frame())
    assert stored(readings) == ROWS
    readings.command("TRUNCATE TABLE r")
    readings.insert_arrow("r", pa.Table.from_pandas(frame()))
    assert stored(readings) == ROWS


def test_raw_insert(readings: Client) -> None:
    readings.raw_insert("r", COLUMNS, b"2026-01-01 00:00:00,0,0\n", fmt="CSV")
    readings.raw_insert("r", COLUMNS, "2026-01-01 01:00:00\t1\t0.125\n", fmt="TabSeparated")
    assert stored(readings) == ROWS[:2]
    context = readings.create_insert_context("r", COLUMNS)
    for row in ROWS[2:]:
        context.data = [row]
        readings.insert(context=context)
    assert stored(readings) == ROWS


def test_every_way_to_read(readings: Client) -> None:
    readings.insert_df("r", frame())
    query = "SELECT * FROM r ORDER BY timestamp"
    assert readings.query(query).result_rows[0][1:] == (0, 0.0)
    assert readings.query_df(query)["kWh"].tolist() == [row[2] for row in ROWS]
    assert list(readings.query_df_arrow(query)["device_id"]) == list(range(5))
    assert readings.query_arrow(query).column("device_id").to_pylist() == list(range(5))
    assert readings.query_np("SELECT device_id, device_id FROM r ORDER BY 1").shape == (5, 2)
    assert readings.raw_query("SELECT count() FROM r") == b"5\n"
    assert readings.command("SELECT count() FROM r") == 5
    assert readings.query("SELECT * FROM r LIMIT 0").column_names == ("timestamp", "device_id", "kWh")
    assert readings.query("SELECT * FROM r WHERE 0").result_rows == []
    assert readings.query_arrow("SELECT * FROM r WHERE 0").num_rows == 0
    assert readings.query_df("SELECT * FROM r WHERE 0").empty


def test_every_way_to_stream(client: Client) -> None:
    query = "SELECT number, toString(number) AS text FROM numbers(500000)"
    with client.query_row_block_stream(query) as blocks:
        assert sum(len(block) for block in blocks) == 500_000
    with client.query_column_block_stream(query) as blocks:
        assert sum(len(block[0]) for block in blocks) == 500_000
    with client.query_rows_stream(query) as rows:
        assert sum(row[0] for row in rows) == sum(range(500_000))
    with client.query_df_stream(query) as frames:
        assert sum(len(part) for part in frames) == 500_000
    with client.query_arrow_stream(query) as batches:
        assert sum(part.num_rows for part in batches) == 500_000
    with client.query_np_stream("SELECT number FROM numbers(500000)") as arrays:
        assert sum(len(part) for part in arrays) == 500_000
    with client.raw_stream(query, fmt="CSV") as raw:
        assert sum(chunk.count(b"\n") for chunk in raw) == 500_000


TYPES = [
    ("Int8", -128), ("UInt64", 2**64 - 1), ("Int128", -(2**100)), ("UInt256", 2**200), ("Float32", 0.5),
    ("Float64", 1e300), ("Bool", True), ("String", "Grüße\n\t'\\"), ("FixedString(3)", b"abc"),
    ("Decimal(38, 10)", decimal.Decimal("1.0000000001")), ("Date", dt.date(2026, 2, 28)),
    ("Date32", dt.date(1925, 1, 1)), ("UUID", uuid.UUID(int=7)), ("IPv4", ipaddress.IPv4Address("10.0.0.1")),
    ("IPv6", ipaddress.IPv6Address("::1")), ("Enum8('a' = 1, 'b' = 2)", "b"), ("LowCardinality(String)", "x"),
    ("Nullable(Int32)", None), ("LowCardinality(Nullable(String))", None), ("Array(Array(Int8))", [[1], [], [2, 3]]),
    ("Tuple(Int8, String)", (1, "a")), ("Map(String, UInt8)", {"a": 1}),
    ("SimpleAggregateFunction(sum, Float64)", 1.5),
    ("DateTime('UTC')", dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)),
    ("DateTime64(6, 'UTC')", dt.datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), TYPES)
def test_types_there_and_back(client: Client, kind: str, value: object) -> None:
    client.command(f"CREATE TABLE t (a {kind}) ENGINE = MergeTree ORDER BY tuple()")
    client.insert("t", [[value], [value]], column_names=["a"])
    assert client.query("SELECT a FROM t", tz_mode="aware").result_rows == [(value,), (value,)]


def test_parameters_are_bound(client: Client) -> None:
    moment = dt.datetime(2026, 1, 1, 12)
    query = "SELECT {a:String}, {b:Array(Int64)}, {c:DateTime('UTC')}, {d:Nullable(Int8)}, {e:Float64}"
    given = {"a": "x'y\\z\t\n{a}", "b": [1, -2], "c": moment, "d": None, "e": 0.1}
    row = client.query(query, parameters=given).result_rows[0]
    assert (row[0], row[1], row[3], row[4]) == (given["a"], given["b"], None, 0.1)
    assert client.query("SELECT %(x)s, %(y)s", parameters={"x": "it's", "y": 3}).first_row == ("it's", 3)
    client.command("CREATE TABLE {t:Identifier} (a Int8) ENGINE = Memory", parameters={"t": "odd name"})
    assert client.command("SELECT count() FROM {t:Identifier}", parameters={"t": "odd name"}) == 0


def test_errors_keep_code_and_name(client: Client) -> None:
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as error:
        client.query("SELECT * FROM nope")
    assert (error.value.code, error.value.name) == (60, "UNKNOWN_TABLE")
    with pytest.raises(DatabaseError, match="VIOLATED_CONSTRAINT"):
        client.command("CREATE TABLE c (a Int8, CONSTRAINT p CHECK a > 0) ENGINE = Memory")
        client.insert("c", [[-1]], column_names=["a"])
    with pytest.raises(StreamFailureError, match="throwIf"):
        result = client.query(
            "SELECT throwIf(number = 50), sleepEachRow(0.01), randomString(200000) FROM numbers(100)",
            settings={"max_threads": 1, "max_block_size": 5, "wait_end_of_query": 0},
        )
        assert result.result_set  # reading raises
    assert client.command("SELECT 1") == 1


def test_a_wrong_password(server: Server) -> None:
    with pytest.raises(DatabaseError) as error:
        clickhouse_connect.get_client(host=server.host, port=server.port, password="wrong")
    assert error.value.code == 516


def test_settings_query_id_and_log_comment(client: Client) -> None:
    settings = {"max_block_size": 1000, "log_comment": "asset l1", "max_partitions_per_insert_block": 7}
    result = client.query("SELECT getSetting('max_block_size')", settings={**settings, "query_id": "my-id"})
    assert (result.first_row, result.query_id) == ((1000,), "my-id")
    client.command("SYSTEM FLUSH LOGS")
    log = client.query(
        "SELECT log_comment, type::String FROM system.query_log AS q WHERE q.query_id = 'my-id' ORDER BY type"
    )
    assert log.result_rows == [("asset l1", "QueryStart"), ("asset l1", "QueryFinish")]
    assert client.command("SELECT getSetting('async_insert')") in ("false", 0, False)


def test_a_session_of_the_client(server: Server, database: str) -> None:
    with connect(server, database) as client, connect(server, database) as other:
        client.command("CREATE TEMPORARY TABLE x (a Int8)")
        client.insert("x", [[1], [2]], column_names=["a"])
        assert client.command("SELECT sum(a) FROM x") == 3
        with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
            other.query("SELECT * FROM x")


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", "br", False])
def test_each_compression(server: Server, database: str, compress: str | bool) -> None:
    with connect(server, database, compress=compress) as client:
        client.command("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
        numbers = np.arange(50_000, dtype="uint64")
        client.insert_df("t", pd.DataFrame({"a": numbers, "b": numbers.astype(str)}))
        assert client.query_df("SELECT * FROM t ORDER BY a")["b"].tolist() == numbers.astype(str).tolist()


def test_external_data(client: Client) -> None:
    data = ExternalData(file_name="ext.csv", fmt="CSV", structure=["a UInt8", "b String"], data=b"1,x\n2,y\n")
    assert client.query("SELECT b FROM ext WHERE a = 2", external_data=data).result_rows == [("y",)]


def test_one_batch_is_one_block(readings: Client) -> None:
    big = frame().loc[np.arange(5).repeat(100_000)]
    readings.insert_df("r", big)
    parts = "SELECT rows FROM system.parts WHERE database = currentDatabase() AND table = 'r' AND level = 0"
    assert readings.query(parts).result_rows == [(500_000,)]


def test_a_retry_with_a_token_is_stored_once(client: Client) -> None:
    client.command(
        "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"
    )
    for _ in range(2):
        client.insert("t", [[1]], column_names=["a"], settings={"insert_deduplication_token": "batch 1"})
    assert client.command("SELECT count() FROM t") == 1


def test_materialized_views_fire(client: Client) -> None:
    client.command("CREATE TABLE raw (a Int64) ENGINE = MergeTree ORDER BY a")
    client.command("CREATE TABLE sums (a Int64) ENGINE = SummingMergeTree ORDER BY tuple()")
    client.command("CREATE MATERIALIZED VIEW v TO sums AS SELECT sum(a) AS a FROM raw")
    client.insert("raw", [[n] for n in range(1000)], column_names=["a"])
    assert client.command("SELECT sum(a) FROM sums") == sum(range(1000))


@pytest.mark.parametrize("scheme", ["clickhousedb", "clickhousedb+connect"])
def test_sqlalchemy(server: Server, database: str, scheme: str) -> None:
    url = sa.URL.create(scheme, server.username, server.password, server.host, server.port, database)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (a UInt32, b String) ENGINE = MergeTree ORDER BY a"))
        connection.execute(sa.text("INSERT INTO t VALUES (:a, :b)"), [{"a": 1, "b": "it's; x"}, {"a": 2, "b": "y"}])
        table = sa.Table("t", sa.MetaData(), autoload_with=connection)
        rows = connection.execute(sa.select(table.c.b).where(table.c.a > 0).order_by(table.c.a)).fetchall()
        assert [row[0] for row in rows] == ["it's; x", "y"]
        assert sa.inspect(connection).get_table_names(database) == ["t"]
    engine.dispose()


def test_a_dictionary_may_be_defined_with_the_clients_login(server: Server, client: Client) -> None:
    client.command("CREATE TABLE named (id UInt64, name String) ENGINE = MergeTree ORDER BY id")
    client.insert("named", [[1, "one"]], column_names=["id", "name"])
    login = f"USER 'default' PASSWORD '{server.password}'"
    client.command(
        f"CREATE DICTIONARY names (id UInt64, name String) PRIMARY KEY id "
        f"SOURCE(CLICKHOUSE({login} DB '{client.database}' TABLE 'named')) LAYOUT(FLAT()) LIFETIME(0)"
    )
    assert client.command("SELECT dictGet('names', 'name', toUInt64(1))") == "one"
    assert server.password not in str(client.command("SHOW CREATE DICTIONARY names"))
