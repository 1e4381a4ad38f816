"""clickhouse-connect under load: many threads, large results, memory limits, KILL QUERY."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from iot_platform_tests.clickhouse_embedded.http_queries import Server, connect


def test_sixteen_threads_with_a_client_each(server: Server, database: str, client: Client) -> None:
    client.command("CREATE TABLE r (device_id UInt32, kWh Float64) ENGINE = MergeTree ORDER BY device_id")

    def work(number: int) -> int:
        with connect(server, database) as own:
            for _ in range(5):
                own.insert("r", [(number, 1.0)] * 100, column_names=["device_id", "kWh"])
            query = "SELECT count() FROM r WHERE device_id = {n:UInt32}"
            return int(own.query(query, parameters={"n": number}).result_rows[0][0])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(work, range(16))) == [500] * 16
    assert client.command("SELECT count() FROM r") == 8000


def server_process(server: Server) -> psutil.Process:
    for process in psutil.Process().children(recursive=True):
        if any(connection.laddr.port == server.port for connection in process.net_connections()):
            return process
    raise AssertionError("no child process listens on the port of the server")


def test_large_results_and_inserts_pass_through_in_little_memory(server: Server, client: Client) -> None:
    client.command("CREATE TABLE t (a UInt64, b UInt64) ENGINE = Null")
    process = server_process(server)
    before = process.memory_info().rss
    peak = before
    size = seen = 0
    with client.raw_stream("SELECT number, number FROM numbers(50000000)", fmt="RowBinary") as stream:
        for chunk in stream:
            size += len(chunk)
            if size - seen > 10_000_000:
                seen, peak = size, max(peak, process.memory_info().rss)
            if size > 200_000_000:
                break
    block = b"\x01" * 16_000_000
    for _ in range(2):
        client.raw_insert("t", ["a", "b"], (block for _ in range(10)), fmt="RowBinary")
        peak = max(peak, process.memory_info().rss)
    assert size > 200_000_000
    assert peak - before < 250_000_000


def test_a_query_that_needs_too_much_memory_fails_alone(client: Client) -> None:
    with pytest.raises(DatabaseError) as error:
        client.query("SELECT groupArray(number) FROM numbers(100000000)", settings={"max_memory_usage": 100_000_000})
    assert error.value.code == 241
    assert client.command("SELECT 1") == 1


def test_killing_by_query_id(server: Server, database: str, client: Client) -> None:
    def slow() -> int | None:
        with connect(server, database) as other:
            try:
                other.query("SELECT count() FROM numbers(1000000000000)", settings={"query_id": "slow one"})
            except DatabaseError as error:
                return error.code
        return 0

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(slow)
        while not client.command("SELECT count() FROM system.processes WHERE query_id = 'slow one'"):
            time.sleep(0.05)
        client.command("KILL QUERY WHERE query_id = 'slow one'")
        assert answer.result(timeout=20) == 394
