"""The HTTP interface: paths, headers, statuses, parameters and read-only requests."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from iot_platform_tests.clickhouse_embedded.http_queries import Server, post, rows


@pytest.mark.parametrize("path", ["/ping", "/replicas_status", "/"])
def test_health_needs_no_password(server: Server, path: str) -> None:
    response = httpx.get(server.url + path)
    assert (response.status_code, response.text) == (200, "Ok.\n")


def test_unknown_paths_and_methods(server: Server) -> None:
    assert httpx.get(server.url + "/nothing").status_code == 404
    assert httpx.delete(server.url + "/?query=SELECT+1").status_code == 405


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELECT * FROM nope", 404, 60),
        ("SELECT * FROM nowhere.nope", 404, 81),
        ("SELECT nope", 404, 47),
        ("SELECT nope()", 404, 46),
        ("SELCT 1", 400, 62),
        ("SELECT 1; SELECT 2", 400, 62),
        ("", 400, 62),
        ("SELECT throwIf(1)", 500, 395),
        ("SELECT 1 FORMAT Nope", 404, 73),
        ("SELECT 1 SETTINGS nope = 1", 404, 115),
        ("SELECT toUInt8('x')", 400, 6),
        ("SELECT * FROM numbers(1e9) SETTINGS max_rows_to_read = 10", 500, 158),
        ("SELECT sleep(3) SETTINGS max_execution_time = 0.2", 408, 159),
    ],
)
def test_errors_have_clickhouse_codes_and_statuses(http: httpx.Client, sql: str, status: int, code: int) -> None:
    response = post(http, sql, status)
    assert response.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert response.text.startswith(f"Code: {code}. DB::Exception: ")
    assert re.search(r"\([A-Z_]+\) \(version 2\d\.\d+\.\d+\.\d+ \(official build\)\)\n$", response.text)


def test_response_headers(http: httpx.Client) -> None:
    response = post(http, "SELECT number FROM numbers(10)", query_id="mine", default_format="JSONEachRow")
    headers = response.headers
    assert headers["X-ClickHouse-Query-Id"] == "mine"
    assert headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert headers["X-ClickHouse-Timezone"] == "UTC"
    assert headers["X-ClickHouse-Server-Display-Name"]
    assert headers["Content-Type"].startswith("application/x-ndjson")
    summary = json.loads(headers["X-ClickHouse-Summary"])
    assert (summary["read_rows"], summary["result_rows"]) == ("10", "10")
    assert summary["result_bytes"] == "80"
    assert "X-ClickHouse-Format" not in post(http, "CREATE TABLE t (a Int8) ENGINE = Memory").headers


def test_headers_may_replace_parameters_of_the_url(http: httpx.Client, plain: httpx.Client, database: str) -> None:
    headers = {"X-ClickHouse-Database": database, "X-ClickHouse-Format": "CSV", "X-ClickHouse-Query-Id": "by header"}
    params = {"database": "system", "default_format": "TSVWithNames"}
    answer = plain.post("/", content="SELECT currentDatabase()", headers=headers, params=params)
    assert answer.text == f'"{database}"\n'
    assert answer.headers["X-ClickHouse-Query-Id"] == "by header"
    answer = plain.post("/", content="SELECT 1", headers=headers, params={"query_id": "by url"})
    assert answer.headers["X-ClickHouse-Query-Id"] == "by url"


def test_a_statement_may_be_split_between_url_and_body(http: httpx.Client) -> None:
    assert rows(http, "1", query="SELECT") == "1"
    assert http.get("/", params={**http.params, "query": "SELECT 2"}).text == "2\n"


def test_get_must_not_change_anything(http: httpx.Client) -> None:
    response = http.get("/", params={**http.params, "query": "CREATE TABLE t (a Int8) ENGINE = Memory"})
    assert response.headers["X-ClickHouse-Exception-Code"] == "164"


@pytest.mark.parametrize("session", [{}, {"session_id": "readonly-session"}])
def test_readonly(http: httpx.Client, session: dict[str, str]) -> None:
    post(http, "CREATE TABLE IF NOT EXISTS t (a Int8) ENGINE = Memory", **session)
    for sql in ("INSERT INTO t VALUES (1)", "INSERT INTO t FORMAT CSV\n1\n", "DROP TABLE t"):
        for level in (1, 2):
            answer = post(http, sql, 500, readonly=level, **session)
            assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
    assert rows(http, "SELECT count() FROM t", readonly=1, **session) == "0"
    # It does not hold for the next request of the session.
    post(http, "INSERT INTO t VALUES (1)", **session)
    assert rows(http, "SELECT count() FROM t", **session) == "1"


def test_query_parameters(http: httpx.Client) -> None:
    answer = rows(
        http,
        "SELECT {a:String}, {b:Array(UInt8)}, {c:Nullable(String)}",
        param_a="x\\ty'z",
        param_b="[1,2]",
        param_c="\\N",
    )
    assert answer == "x\\ty\\'z\t[1,2]\t\\N"
    post(http, "CREATE TABLE t (a Int8) ENGINE = Memory")
    post(http, "INSERT INTO {t:Identifier} VALUES ({v:Int8})", param_t="t", param_v="5")
    post(http, "INSERT INTO {t:Identifier} FORMAT CSV\n6\n", param_t="t")
    assert rows(http, "SELECT groupArray(a) FROM (SELECT * FROM t ORDER BY a)") == "[5,6]"
    assert post(http, "SELECT {nope:Int8}", 500).headers["X-ClickHouse-Exception-Code"] == "456"


def test_roles_are_refused_clearly(http: httpx.Client) -> None:
    assert "not supported" in post(http, "SELECT 1", 501, role="admin").text


BAD_FORMAT = "TabSeparated; DROP TABLE t"


def test_the_name_of_a_format_cannot_contain_sql(http: httpx.Client) -> None:
    post(http, "CREATE TABLE t (a Int8) ENGINE = Memory")
    files = {"x": ("x", b"1\n")}
    answers = [
        http.post("/", content="SELECT 1", params={**http.params, "default_format": BAD_FORMAT}),
        http.post("/", content="SELECT 1", headers={"X-ClickHouse-Format": BAD_FORMAT}),
        http.post(
            "/",
            files=files,
            params={**http.params, "query": "SELECT * FROM x", "x_structure": "a Int8", "x_format": BAD_FORMAT},
        ),
        http.post(
            "/",
            files=files,
            data={"x_structure": "a Int8", "x_format": BAD_FORMAT},
            params={**http.params, "query": "SELECT * FROM x"},
        ),
    ]
    assert [answer.headers["X-ClickHouse-Exception-Code"] for answer in answers] == ["73"] * 4
    assert rows(http, "EXISTS TABLE t") == "1"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS {a:Identifier}",
        "SELECT 1 {a:Identifier}",
        "SELECT * FROM (SELECT 1 AS {a:Identifier}) AS t",
    ],
)
def test_a_parameter_may_name_a_column(http: httpx.Client, sql: str) -> None:
    answer = post(http, f"{sql} -- {{b:Identifier}}\nFORMAT TSVWithNames", param_a="a `b\\")
    assert answer.text.splitlines()[0].split("\t")[-1] == "a `b\\\\"
    missing = post(http, sql, 500)
    assert missing.headers["X-ClickHouse-Exception-Code"] == "456"
