"""INSERTs over HTTP: every way to send the data, and how they fail."""

from __future__ import annotations

import json
from typing import cast

import httpx
import pytest

from iot_platform.clickhouse_embedded.handle import Handle
from iot_platform.clickhouse_embedded.pipes import Inserter
from iot_platform.clickhouse_embedded.statement import InsertHead
from iot_platform_tests.clickhouse_embedded.http_queries import post, rows


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("INSERT INTO t FORMAT CSV", "1,a\n2,b\n"),
        ("INSERT INTO t (a, b) SETTINGS max_insert_threads = 1 FORMAT CSV", "1,a\n2,b\n"),
        ("", "INSERT INTO t FORMAT CSV\n1,a\n2,b\n"),
        ("", '/* c */ INSERT INTO t -- x\n FORMAT JSONEachRow {"a":1,"b":"a"}\n{"a":2,"b":"b"}'),
        ("", "INSERT INTO t VALUES (1, 'a'), (1 + 1, concat('', 'b'));"),
        ("INSERT INTO t VALUES", "(1, 'a'), (2, 'b')"),
        ("INSERT INTO t (b, a)", "VALUES ('a', 1), ('b', 2)"),
        ("", "INSERT INTO t SELECT number + 1, char(97 + number) FROM numbers(2)"),
        ("INSERT INTO t FORMAT TabSeparated", "1\ta\n2\tb\n"),
        ("INSERT INTO t FORMAT Values", "(1, 'a'), (2, 'b')"),
    ],
)
def test_inserts(http: httpx.Client, url: str, body: str) -> None:
    post(http, "CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    response = post(http, body, query=url)
    assert json.loads(response.headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    assert rows(http, "SELECT a, b FROM t ORDER BY a") == "1\ta\n2\tb"


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("INSERT INTO t FORMAT CSV\n1\nx\n", 117),
        ("INSERT INTO t FORMAT CSV\n-1\n", 469),
        ("INSERT INTO t VALUES (-1)", 469),
        ("INSERT INTO t FORMAT RowBinary\n" + "\x01\x00\x00\x00" * 3 + "\x01", 33),
        ("INSERT INTO nope FORMAT CSV\n1\n", 60),
        ("INSERT INTO many FORMAT CSV\n" + "".join(f"{n}\n" for n in range(200)), 252),
        ("INSERT INTO seen FORMAT CSV\n13\n", 395),
    ],
)
def test_failed_inserts_are_reported_and_store_nothing(http: httpx.Client, sql: str, code: int) -> None:
    """The engine's own streaming insert reports success for most of these."""
    post(http, "CREATE TABLE t (a Int32, CONSTRAINT positive CHECK a > 0) ENGINE = MergeTree ORDER BY a")
    post(http, "CREATE TABLE many (a Int32) ENGINE = MergeTree ORDER BY a PARTITION BY a")
    post(http, "CREATE TABLE seen (a Int32) ENGINE = Null")
    post(http, "CREATE MATERIALIZED VIEW v TO t AS SELECT a + throwIf(a = 13) AS a FROM seen")
    response = http.post("/", content=sql)
    assert response.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert "/dev/fd" not in response.text
    assert rows(http, "SELECT (SELECT count() FROM t) + (SELECT count() FROM many)") == "0"


def test_a_large_insert_of_values_takes_literals_only(http: httpx.Client) -> None:
    post(http, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    post(http, "INSERT INTO t VALUES " + ",".join(f"({n})" for n in range(300_000)))
    assert rows(http, "SELECT count() FROM t") == "300000"
    many = ",".join(f"({n})" for n in range(300_000))
    for session in ({}, {"session_id": "values"}):
        for value in ("length(file('/etc/passwd'))", "length(assumeNotNull(file('/etc/passwd')))", "1 + 1"):
            answer = http.post("/", content=f"INSERT INTO t VALUES {many},({value})", params={**http.params, **session})
            assert answer.headers["X-ClickHouse-Exception-Code"] == "344"
        override = f"INSERT INTO t SETTINGS input_format_values_interpret_expressions = 1 VALUES {many}"
        assert http.post("/", content=override).headers["X-ClickHouse-Exception-Code"] == "497"
        assert rows(http, "SELECT getSetting('input_format_values_interpret_expressions')", **session) == "true"


@pytest.mark.parametrize(
    ("fmt", "data", "count"),
    [("TSV", "a\n\nDROP TABLE t\n", 3), ("CSV", '"a"\n"x;\n\nDROP TABLE t"\n', 2), ("VALUES", "('a')\n\n, ('b')", 2)],
)
def test_blank_lines_in_the_data_of_an_insert_with_parameters(
    http: httpx.Client, fmt: str, data: str, count: int
) -> None:
    post(http, "CREATE TABLE t (s String) ENGINE = Memory")
    clause = fmt if fmt == "VALUES" else f"FORMAT {fmt}"
    for params in ({}, {"param_t": "t"}):
        post(http, f"INSERT INTO t {clause}\n{data}", **params)
    post(http, f"INSERT INTO {{t:Identifier}} {clause}\n{data}", param_t="t")
    assert rows(http, "SELECT count() FROM t") == str(3 * count)


def test_a_statement_may_end_before_its_data() -> None:
    """The broken pipe is then no error, and the rest of the data is dropped."""

    class Rows:
        def query_one(self, sql: str, fmt: str, params: dict[str, str]) -> str:
            return "done"

    inserter = Inserter(cast(Handle, Rows()), InsertHead("INSERT INTO t", "CSV", 0), {})
    for _ in range(3):
        inserter.append(b"x" * 3_000_000)
    assert inserter.finish() == "done"
