"""The HTTP interface as raw HTTP clients see it."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform_tests.clickhouse_embedded.http_queries import post, rows


@pytest.mark.parametrize("path", ["/ping", "/replicas_status", "/"])
def test_health_needs_no_password(server: Endpoint, path: str) -> None:
    response = httpx.get(server.url + path)
    assert (response.status_code, response.text) == (200, "Ok.\n")


def test_unknown_paths_and_methods(server: Endpoint) -> None:
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


def test_answer_headers(http: httpx.Client) -> None:
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


def test_headers_stand_for_parameters_of_the_url(http: httpx.Client, plain: httpx.Client, database: str) -> None:
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
    # The next request of the session is not bound by it.
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


def test_an_error_in_mid_stream_breaks_the_answer(http: httpx.Client) -> None:
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
    """An INSERT whose client sends no more is not under the engine's control."""
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


def test_a_query_ends_when_its_client_goes_away(http: httpx.Client) -> None:
    sql = "SELECT count() FROM numbers(1000000000000) SETTINGS max_threads = 1"
    with pytest.raises(httpx.ReadTimeout):
        http.post("/", content=sql, params={"query_id": "left alone"}, timeout=0.5)
    for _ in range(50):
        if rows(http, "SELECT count() FROM system.processes WHERE query_id = 'left alone'") == "0":
            return
        time.sleep(0.1)
    pytest.fail("the query still runs")


def test_an_insert_whose_client_goes_away_stores_nothing(server: Endpoint, http: httpx.Client) -> None:
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


def test_roles_are_refused_clearly(http: httpx.Client) -> None:
    assert "not supported" in post(http, "SELECT 1", 501, role="admin").text


BAD_FORMAT = "TabSeparated; DROP TABLE t"


def test_the_name_of_a_format_is_no_sql(http: httpx.Client) -> None:
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
    missing = post(http, sql, status=500)
    assert missing.headers["X-ClickHouse-Exception-Code"] == "456"


def test_requests_that_replace_each_other_do_not_stop_the_server(server: Endpoint, http: httpx.Client) -> None:
    """Each waited in a thread until there was none left for the one that they waited for."""
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


def test_slow_bodies_take_no_place_of_a_query(server: Endpoint, http: httpx.Client) -> None:
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-ClickHouse-Key: {server.password}\r\nContent-Length: 10\r\n\r\nS"
    with ExitStack() as stack:
        for _ in range(120):
            connection = stack.enter_context(socket.create_connection((server.host, server.port), timeout=30))
            connection.sendall(head.encode())
        assert rows(http, "SELECT 1") == "1"
        assert post(http, "KILL QUERY WHERE query_id = 'none'").status_code == 200
