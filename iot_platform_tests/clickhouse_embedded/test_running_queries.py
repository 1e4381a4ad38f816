"""Running queries: ids, KILL QUERY, replacement, clients that disconnect, many queries at once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from iot_platform_tests.clickhouse_embedded.http_queries import Server, post, rows


def test_a_running_query_is_seen_and_killed_by_the_clients_id(http: httpx.Client) -> None:
    answers: list[httpx.Response] = []
    sql = "SELECT sleepEachRow(0.1) FROM numbers(300) SETTINGS max_block_size = 1"
    thread = threading.Thread(
        target=lambda: answers.append(http.post("/", content=sql, params={"query_id": "long one"}))
    )
    thread.start()
    time.sleep(0.5)
    assert post(http, "SELECT 1", 500, query_id="long one").headers["X-ClickHouse-Exception-Code"] == "216"
    assert rows(http, "SELECT count() FROM system.processes WHERE query_id = 'long one'") == "1"
    assert "sleepEachRow" in rows(http, "KILL QUERY WHERE query_id = 'long one' SYNC")
    thread.join(timeout=10)
    assert answers[0].headers["X-ClickHouse-Exception-Code"] == "394"


def test_a_query_replaces_the_running_one_of_its_id(http: httpx.Client) -> None:
    answers: list[httpx.Response] = []
    sql = "SELECT sleepEachRow(0.1) FROM numbers(300) SETTINGS max_block_size = 1"
    params = {**http.params, "query_id": "replaced"}
    thread = threading.Thread(target=lambda: answers.append(http.post("/", content=sql, params=params)))
    thread.start()
    while rows(http, "SELECT count() FROM system.processes WHERE query_id = 'replaced'") == "0":
        time.sleep(0.05)
    assert rows(http, "SELECT 1", query_id="replaced", replace_running_query=1) == "1"
    thread.join(timeout=30)
    assert answers[0].headers["X-ClickHouse-Exception-Code"] == "394"
    assert rows(http, "SELECT 2", query_id="replaced", replace_running_query=1) == "2"


def test_a_query_that_cannot_be_replaced_in_time(http: httpx.Client) -> None:
    """The engine cannot end an INSERT that waits for more data of its client."""
    more = threading.Event()

    def data() -> Iterator[bytes]:
        yield b"INSERT INTO t FORMAT CSV\n" + b"1\n" * 1_000_000
        more.wait(30)
        yield b"2\n"

    post(http, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    params = {**http.params, "query_id": "stays"}
    thread = threading.Thread(target=lambda: http.post("/", content=data(), params=params))
    thread.start()
    while rows(http, "SELECT count() FROM system.processes WHERE query_id = 'stays'") == "0":
        time.sleep(0.05)
    wait = {"replace_running_query": 1, "replace_running_query_max_wait_ms": 300}
    answer = post(http, "SELECT 1", 500, query_id="stays", **wait)
    assert answer.headers["X-ClickHouse-Exception-Code"] == "216"
    more.set()
    thread.join(timeout=30)


def test_requests_that_replace_each_other_do_not_stop_the_server(server: Server, http: httpx.Client) -> None:
    """Each waits in a thread; they must leave threads for the query that they wait for."""
    wanted: dict[str, str | int] = {
        "query_id": "same",
        "replace_running_query": 1,
        "replace_running_query_max_wait_ms": 60_000,
    }
    same = http.params.merge(wanted)

    def ask(_: int) -> int:
        headers = {"X-ClickHouse-Key": server.password}
        return httpx.post(server.url, params=same, content="SELECT 1", headers=headers, timeout=60).status_code

    with ThreadPoolExecutor(140) as pool:
        codes = pool.map(ask, range(140))
        assert rows(http, "SELECT 1") == "1"
        assert 200 in set(codes)


def test_a_query_ends_when_its_client_goes_away(http: httpx.Client) -> None:
    sql = "SELECT count() FROM numbers(1000000000000) SETTINGS max_threads = 1"
    with pytest.raises(httpx.ReadTimeout):
        http.post("/", content=sql, params={"query_id": "left alone"}, timeout=0.5)
    for _ in range(50):
        if rows(http, "SELECT count() FROM system.processes WHERE query_id = 'left alone'") == "0":
            return
        time.sleep(0.1)
    pytest.fail("the query still runs")


def test_an_insert_whose_client_goes_away_stores_nothing(server: Server, http: httpx.Client) -> None:
    post(http, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")

    def data() -> Iterator[bytes]:
        yield b"INSERT INTO t FORMAT CSV\n"
        for _ in range(30):
            yield b"1\n" * 50_000
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        http.post("/", content=data(), params={**http.params, "query_id": "gone insert"})
    for _ in range(50):
        if rows(http, "SELECT count() FROM system.processes WHERE query_id = 'gone insert'") == "0":
            break
        time.sleep(0.1)
    assert int(rows(http, "SELECT count() FROM t")) in (0, 1_048_449)  # whole blocks only


def test_query_log_knows_the_clients_id_and_comment(http: httpx.Client) -> None:
    for session in ({}, {"session_id": "logged"}):
        query_id = f"logged {session}"
        post(http, "SELECT 12345", query_id=query_id, log_comment="run 7", **session)
        post(http, "SELECT 1", **session)
        post(http, "SYSTEM FLUSH LOGS")
        log = rows(
            http,
            "SELECT type, query, log_comment FROM system.query_log WHERE query_id = {id:String} ORDER BY type",
            param_id=query_id,
        )
        assert log == "QueryStart\tSELECT 12345\trun 7\nQueryFinish\tSELECT 12345\trun 7"


def test_sixteen_clients_at_once(http: httpx.Client) -> None:
    post(http, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    began = time.monotonic()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            assert rows(http, "SELECT sleep(1)") == "0"
            post(http, f"INSERT INTO t SELECT number FROM numbers({1000 * number}, 1000)")
        except BaseException as error:  # noqa: BLE001 - carried into the main thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert time.monotonic() - began < 8
    assert rows(http, "SELECT uniqExact(a) FROM t") == "16000"


def test_slow_bodies_do_not_count_as_running_queries(server: Server, http: httpx.Client) -> None:
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-ClickHouse-Key: {server.password}\r\nContent-Length: 10\r\n\r\nS"
    with ExitStack() as stack:
        for _ in range(120):
            connection = stack.enter_context(socket.create_connection((server.host, server.port), timeout=30))
            connection.sendall(head.encode())
        assert rows(http, "SELECT 1") == "1"
        assert post(http, "KILL QUERY WHERE query_id = 'none'").status_code == 200
