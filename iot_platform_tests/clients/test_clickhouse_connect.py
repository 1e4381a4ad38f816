"""clickhouse-connect: async client, external data, parameters, frames (more in clickhouse_embedded/test_client.py)."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import clickhouse_connect
import pandas as pd
import pyarrow as pa
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, ProgrammingError
from clickhouse_connect.driver.external import ExternalData

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform_tests.clients.rows import HARD_TEXT, ROWS, TYPES, create_table

Work = Callable[[AsyncClient], Awaitable[None]]


@pytest.fixture
def run(server: Endpoint, database: str) -> Callable[[Work], None]:
    """Run a coroutine function with an asynchronous client of the database."""

    async def with_client(work: Work) -> None:
        client = await clickhouse_connect.get_async_client(
            host=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            database=database,
            autogenerate_session_id=False,
        )
        async with client:
            await work(client)

    return lambda work: asyncio.run(with_client(work))


def test_async_insert_and_read_back(run: Callable[[Work], None]) -> None:
    async def work(client: AsyncClient) -> None:
        await client.command(create_table("t"))
        summary = await client.insert("t", ROWS, column_names=list(TYPES))
        assert summary.written_rows == len(ROWS)
        result = await client.query("SELECT * FROM t ORDER BY id", tz_mode="aware")
        assert result.column_names == tuple(TYPES)
        assert result.result_rows == [tuple(row) for row in ROWS]

    run(work)


def test_async_queries_run_side_by_side(run: Callable[[Work], None]) -> None:
    async def work(client: AsyncClient) -> None:
        started = asyncio.Event()

        async def long_query() -> int:
            started.set()
            # sleepEachRow makes the short ones overlap with it; only their answers are compared, no times.
            rows = await client.query("SELECT sum(number + sleepEachRow(0.1)) FROM numbers(10)")
            return int(rows.result_rows[0][0])

        long_one = asyncio.create_task(long_query())
        await started.wait()
        answers = await asyncio.gather(*(client.command(f"SELECT {number} * 2") for number in range(20)))
        assert answers == [number * 2 for number in range(20)]
        assert await long_one == 45

    run(work)


def test_async_streams(run: Callable[[Work], None]) -> None:
    async def work(client: AsyncClient) -> None:
        query = "SELECT number, if(number % 2, NULL, 'ü') AS text FROM numbers(200000)"
        count = 0
        async with await client.query_rows_stream(query) as rows:
            async for number, text in rows:
                assert (number, text) == (count, None if count % 2 else "ü")
                count += 1
        assert count == 200_000
        async with await client.query_df_stream(query) as frames:
            assert sum([frame["text"].isna().sum() async for frame in frames]) == 100_000
        async with await client.query_arrow_stream(query) as batches:
            assert sum([batch.num_rows async for batch in batches]) == 200_000

    run(work)


def test_async_frames_and_arrow(run: Callable[[Work], None]) -> None:
    async def work(client: AsyncClient) -> None:
        await client.command("CREATE TABLE f (a UInt8, b Nullable(String)) ENGINE = MergeTree ORDER BY a")
        await client.insert_df("f", pd.DataFrame({"a": [1, 2], "b": [HARD_TEXT, None]}).astype({"a": "uint8"}))
        await client.insert_arrow("f", pa.table({"a": pa.array([3], pa.uint8()), "b": pa.array([None], pa.string())}))
        table = await client.query_arrow("SELECT * FROM f ORDER BY a", use_strings=True)
        assert table.to_pydict() == {"a": [1, 2, 3], "b": [HARD_TEXT, None, None]}

    run(work)


def test_async_errors(run: Callable[[Work], None]) -> None:
    async def work(client: AsyncClient) -> None:
        with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as error:
            await client.query("SELECT * FROM nope")
        assert error.value.code == 60
        await client.command("CREATE TABLE c (a Int8, CONSTRAINT p CHECK a > 0) ENGINE = MergeTree ORDER BY a")
        with pytest.raises(DatabaseError, match="VIOLATED_CONSTRAINT"):
            await client.insert("c", [[1], [-1]], column_names=["a"])
        assert await client.command("SELECT count() FROM c") == 0

    run(work)


def test_external_data_of_two_files_and_settings(client: Client, tmp_path: Path) -> None:
    meters = tmp_path / "meters.csv"
    meters.write_text('id,name\n1,"Grüße, ""x"""\n2,plain\nbroken,row\n')
    data = ExternalData(str(meters), fmt="CSVWithNames", structure=["id UInt32", "name String"])
    sink = pa.BufferOutputStream()
    usage = pa.table({"meter": pa.array([1, 1, 2], pa.uint32()), "kWh": pa.array([0.5, 0.25, 8.0])})
    with pa.ipc.new_file(sink, usage.schema) as writer:
        writer.write(usage)
    data.add_file(
        file_name="usage", fmt="Arrow", structure=["meter UInt32", "kWh Float64"], data=sink.getvalue().to_pybytes()
    )
    rows = client.query(
        "SELECT name, sum(kWh) FROM usage JOIN meters ON meter = id GROUP BY name ORDER BY name",
        external_data=data,
        settings={"input_format_allow_errors_num": 1},  # holds for the files as well
    ).result_rows
    assert rows == [('Grüße, "x"', 0.75), ("plain", 8.0)]


def test_external_data_beside_parameters_in_the_form(server: Endpoint, database: str) -> None:
    with clickhouse_connect.get_client(
        host=server.host,
        port=server.port,
        username=server.username,
        password=server.password,
        database=database,
        form_encode_query_params=True,
    ) as client:
        data = ExternalData(file_name="ext.tsv", fmt="TSV", structure="a UInt8, b String", data=b"1\tx\n2\ty\n")
        query = "SELECT b FROM ext WHERE a = {a:UInt8} AND b != {text:String}"
        given = {"a": 2, "text": HARD_TEXT * 1000}
        assert client.query(query, parameters=given, external_data=data).result_rows == [("y",)]


def test_parameters_of_many_types(client: Client) -> None:
    given = {
        "text": HARD_TEXT,
        "texts": [HARD_TEXT, "", "NULL"],
        "day": dt.date(2026, 2, 28),
        "fine": dt.datetime(2026, 1, 1, 12, 0, 0, 123456),
        "id": UUID(int=7),
        "pair": (1, "a'b"),
        "none": None,
    }
    query = (
        "SELECT {text:String}, {texts:Array(String)}, {day:Date}, {fine:DateTime64(6)}, {id:UUID}, "
        "{pair:Tuple(Int8, String)}, {none:Nullable(String)}"
    )
    assert client.query(query, parameters=given).first_row == tuple(given.values())
    assert client.query("SELECT %(text)s", parameters={"text": HARD_TEXT}).first_row == (HARD_TEXT,)
    assert client.query("SELECT %s, %s", parameters=(HARD_TEXT, 1)).first_row == (HARD_TEXT, 1)


def test_bytes_that_are_not_utf8_in_a_query(client: Client) -> None:
    every_byte = bytes(range(1, 256))
    digits = client.query("SELECT hex($every$) AS digits", parameters={"$every$": every_byte}).result_rows[0][0]
    assert bytes.fromhex(digits) == every_byte


def test_bytes_that_are_not_utf8_in_data(client: Client) -> None:
    every_byte = bytes(range(256))
    client.command("CREATE TABLE b (a String, f FixedString(256)) ENGINE = MergeTree ORDER BY a")
    client.insert(
        "b", [[every_byte, every_byte]], column_names=["a", "f"], column_type_names=["String", "FixedString(256)"]
    )
    assert client.query("SELECT * FROM b", query_formats={"String": "bytes"}).result_rows == [(every_byte, every_byte)]


def test_a_stream_that_is_left_early(client: Client) -> None:
    with client.query_row_block_stream("SELECT number FROM numbers(1000000000)") as blocks:
        assert next(iter(blocks))[0] == (0,)
    assert client.command("SELECT 1") == 1


def test_frames_with_nulls_categories_and_times(client: Client) -> None:
    client.command(
        "CREATE TABLE f (at DateTime64(6, 'UTC'), kind LowCardinality(String), kWh Nullable(Float64), "
        "n Nullable(Int64)) ENGINE = MergeTree ORDER BY at"
    )
    frame = pd.DataFrame(
        {
            "at": pd.to_datetime(["2026-01-01 00:00:00.000001", "2026-01-01 00:15"], format="ISO8601", utc=True),
            "kind": pd.Categorical(["Büro", "Schule"]),
            "kWh": [0.5, None],
            "n": pd.array([None, 2**53 + 1], dtype="Int64"),
        }
    )
    client.insert_df("f", frame)
    stored = client.query("SELECT * FROM f ORDER BY at", tz_mode="aware").result_rows
    assert stored == [
        (dt.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC), "Büro", 0.5, None),
        (dt.datetime(2026, 1, 1, 0, 15, tzinfo=dt.UTC), "Schule", None, 2**53 + 1),
    ]
    back = client.query_df("SELECT * FROM f ORDER BY at")
    assert back["at"].tolist() == frame["at"].dt.tz_localize(None).tolist()
    assert back["kWh"].isna().tolist() == [False, True]


def test_arrow_both_ways(filled: Client) -> None:
    table = filled.query_arrow("SELECT * FROM t ORDER BY id", use_strings=True)
    filled.insert_arrow("empty", table)
    assert filled.query("SELECT * FROM empty ORDER BY id", tz_mode="aware").result_rows == [tuple(row) for row in ROWS]


def test_a_client_that_is_used_wrongly_hears_it(client: Client) -> None:
    client.command("CREATE TABLE w (a UInt8) ENGINE = MergeTree ORDER BY a")
    with pytest.raises(ProgrammingError, match="nope"):
        client.insert("w", [[1]], column_names=["nope"])
    with pytest.raises(DatabaseError, match="UNKNOWN_SETTING"):
        client.query("SELECT 1 SETTINGS no_such_setting = 1")
    with pytest.raises(DatabaseError, match="BAD_QUERY_PARAMETER|UNKNOWN_QUERY_PARAMETER|456|457"):
        client.query("SELECT {a:UInt8}", parameters={"a": "x"})
