"""Progress headers of the HTTP interface, which also keep a connection alive while a long query runs."""

from __future__ import annotations

import json
import re
import time

import httpx
import pytest

from iot_platform_tests.clickhouse_embedded.http_queries import Server, everything, post, raw, rows

SLOW = "SELECT+sleepEachRow(0.1)+FROM+numbers(12)+SETTINGS+max_block_size=1,max_threads=1"
PROGRESS = re.compile(rb"^X-ClickHouse-Progress: (\{.*\})\r$", re.MULTILINE)


def _answer(server: Server, query: str, **params: object) -> tuple[bytes, bytes, list[dict[str, str]]]:
    """Head and body as they came, and what the progress headers say."""
    given = "".join(f"&{name}={value}" for name, value in params.items())
    line = f"GET /?query={query}&send_progress_in_http_headers=1{given} HTTP/1.1\r\nHost: localhost\r\n"
    key = f"X-ClickHouse-Key: {server.password}\r\nConnection: close\r\n\r\n"
    head, _, body = everything(raw(server, (line + key).encode())).partition(b"\r\n\r\n")
    return head, body, [json.loads(found) for found in PROGRESS.findall(head + b"\r\n")]


@pytest.mark.parametrize("wait", [0, 1])
def test_progress_comes_while_the_query_runs(server: Server, wait: int) -> None:
    head, body, progress = _answer(server, SLOW, wait_end_of_query=wait)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(progress) >= 3
    counts = [int(each["read_rows"]) for each in progress]
    assert counts == sorted(counts)
    assert counts[-1] > 0
    assert progress[-1]["total_rows_to_read"] == "12"
    assert all(isinstance(value, str) for value in progress[-1].values())
    for name in (b"X-ClickHouse-Query-Id", b"X-ClickHouse-Summary", b"X-ClickHouse-Format", b"Content-Type"):
        assert head.count(b"\r\n" + name + b": ") == 1, head
    assert body == b"0\n" * 12


def test_the_first_header_comes_before_the_end(server: Server) -> None:
    line = f"GET /?query={SLOW}&send_progress_in_http_headers=1&wait_end_of_query=1 HTTP/1.1\r\nHost: localhost\r\n"
    connection = raw(server, (line + f"Connection: close\r\nX-ClickHouse-Key: {server.password}\r\n\r\n").encode())
    first = connection.recv(65536)
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in first
    assert everything(connection).endswith(b"\r\n\r\n" + b"0\n" * 12)


def test_the_client_sets_the_interval(server: Server) -> None:
    began = time.monotonic()
    progress = _answer(server, SLOW, http_headers_progress_interval_ms=500)[2]
    assert 1 <= len(progress) <= (time.monotonic() - began) / 0.5
    assert _answer(server, "SELECT+1", http_headers_progress_interval_ms=5000)[2] == []


def test_an_error_after_progress_ends_the_response_early(server: Server) -> None:
    query = (
        "SELECT+throwIf(number=7)+FROM+numbers(20)+WHERE+sleepEachRow(0.1)=0+SETTINGS+max_block_size=1,max_threads=1"
    )
    head, body, progress = _answer(server, query, wait_end_of_query=1)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert progress
    assert b"\r\nX-ClickHouse-Exception-Code: 395\r\n" in head
    tag = re.findall(rb"X-ClickHouse-Exception-Tag: (\w+)", head)[0]
    assert b"__exception__\r\n" + tag + b"\r\nCode: 395. DB::Exception: " in body
    assert not body.endswith(b"0\r\n\r\n")  # the chunks have no end


def test_without_the_setting_no_progress_is_sent(http: httpx.Client) -> None:
    assert "X-ClickHouse-Progress" not in post(http, SLOW.replace("+", " "), wait_end_of_query=1).headers


def test_inserts_report_progress(http: httpx.Client) -> None:
    post(http, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    post(http, "CREATE TABLE arriving (a UInt64) ENGINE = Null")
    post(http, "CREATE MATERIALIZED VIEW v TO t AS SELECT a + sleepEachRow(0.01) AS a FROM arriving")
    params = {"send_progress_in_http_headers": 1, "http_headers_progress_interval_ms": 50, "wait_end_of_query": 1}
    data = "".join(f"{n}\n" for n in range(100))
    answer = post(http, f"INSERT INTO arriving FORMAT TSV\n{data}", **params)
    assert len(answer.headers.get_list("X-ClickHouse-Progress")) >= 1
    assert rows(http, "SELECT count() FROM t") == "100"
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "200"
