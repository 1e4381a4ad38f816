"""Results over HTTP: streaming in every format, and errors after the first bytes."""

from __future__ import annotations

import httpx
import pytest

from iot_platform_tests.clickhouse_embedded.http_queries import post, rows

STREAMED = [
    "TabSeparated", "TabSeparatedWithNames", "TabSeparatedWithNamesAndTypes", "CSV", "CSVWithNames",
    "CSVWithNamesAndTypes", "JSONEachRow", "JSONCompactEachRow", "JSONCompactEachRowWithNames",
    "JSONCompactEachRowWithNamesAndTypes", "RowBinary", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes", "Native",
    "ArrowStream", "TSKV", "MsgPack", "JSON", "JSONCompact", "Parquet", "Arrow", "ORC",
]  # fmt: skip


@pytest.mark.parametrize("fmt", STREAMED)
def test_every_format_survives_streaming(http: httpx.Client, fmt: str) -> None:
    """What comes out in many chunks goes in again: headers appear once, nothing is cut off."""
    columns = '`a` UInt64, `b` String, `c "x\n` Nullable(Float64)'
    post(http, f"CREATE TABLE t ({columns}) ENGINE = MergeTree ORDER BY a")
    select = (
        'SELECT number AS a, toString(number) AS b, if(number % 3 = 0, NULL, number / 2) AS `c "x\n` FROM numbers({})'
    )
    for count in (200_000, 0):
        data = post(http, select.format(count) + f" FORMAT {fmt}").content
        if data:
            post(http, data, query=f"INSERT INTO t FORMAT {fmt}")
        wanted = rows(http, f"SELECT count(), sum(cityHash64(*)) FROM ({select.format(count)})")
        assert rows(http, "SELECT count(), sum(cityHash64(*)) FROM t") == wanted
        post(http, "TRUNCATE TABLE t")


def test_an_error_in_mid_stream_ends_the_response_early(http: httpx.Client) -> None:
    sql = "SELECT throwIf(number = 3000000), number FROM numbers(100000000) SETTINGS max_threads = 1"
    received = b""
    with http.stream("POST", "/", content=sql) as answer, pytest.raises(httpx.RemoteProtocolError):
        assert answer.status_code == 200
        for chunk in answer.iter_bytes():
            received = received[-4096:] + chunk
    tag = answer.headers["X-ClickHouse-Exception-Tag"]
    assert f"__exception__\r\n{tag}\r\nCode: 395. DB::Exception: ".encode() in received
    assert received.endswith(f" {tag}\r\n__exception__\r\n".encode())


def test_wait_end_of_query_gives_the_error_a_status(http: httpx.Client) -> None:
    sql = "SELECT throwIf(number = 3000000), number FROM numbers(10000000) SETTINGS max_threads = 1"
    post(http, sql, 500, wait_end_of_query=1)
    assert len(post(http, "SELECT number FROM numbers(3000000)", wait_end_of_query=1).content) == 22_888_890
