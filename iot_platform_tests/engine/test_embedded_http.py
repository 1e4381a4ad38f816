"""The HTTP interface as raw HTTP clients see it."""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator

import brotli
import httpx
import lz4.frame
import pytest
import zstandard

from iot_platform.clickhouse.embedded.compression import Decompressor
from iot_platform.clickhouse.server import Endpoint


@pytest.fixture
def http(server: Endpoint, database: str) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=server.url,
        headers={"X-ClickHouse-User": server.username, "X-ClickHouse-Key": server.password},
        params={"database": database},
        timeout=60,
    ) as client:
        yield client


def post(http: httpx.Client, sql: str | bytes, status: int = 200, **params: object) -> httpx.Response:
    response = http.post("/", content=sql, params={**http.params, **params})
    assert response.status_code == status, response.text
    return response


def rows(http: httpx.Client, sql: str, **params: object) -> str:
    return post(http, sql, **params).text.rstrip("\n")


@pytest.mark.parametrize("path", ["/ping", "/replicas_status", "/"])
def test_health_needs_no_password(server: Endpoint, path: str) -> None:
    response = httpx.get(server.url + path)
    assert (response.status_code, response.text) == (200, "Ok.\n")


def test_unknown_paths_and_methods(server: Endpoint) -> None:
    assert httpx.get(server.url + "/nothing").status_code == 404
    assert httpx.delete(server.url + "/?query=SELECT+1").status_code == 405


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_every_way_to_give_the_password(server: Endpoint) -> None:
    query = {"query": "SELECT 1"}
    ways = [
        httpx.get(server.url, params=query, headers={"Authorization": _basic("default", server.password)}),
        httpx.get(server.url, params=query, headers={"X-ClickHouse-Key": server.password}),
        httpx.get(server.url, params={**query, "user": "default", "password": server.password}),
    ]
    assert [way.text for way in ways] == ["1\n"] * 3


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-ClickHouse-Key": "wrong"},
        {"X-ClickHouse-User": "somebody", "X-ClickHouse-Key": "PASSWORD"},
        {"Authorization": _basic("default", "wrong")},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Bearer x"},
        {"Authorization": _basic("default", "x"), "X-ClickHouse-Key": "PASSWORD"},
    ],
)
def test_strangers_get_516(server: Endpoint, headers: dict[str, str]) -> None:
    given = {name: value.replace("PASSWORD", server.password) for name, value in headers.items()}
    response = httpx.post(server.url, content="SELECT 1", headers=given)
    assert response.status_code == 403
    assert response.headers["X-ClickHouse-Exception-Code"] == "516"
    assert server.password not in response.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:8123", 200),
        ("evil.example.com", 403),
        ("[abc", 403),
        ("127.0.0.1.nip.io", 403),
    ],
)
def test_the_host_header_is_checked(http: httpx.Client, host: str, status: int) -> None:
    assert http.get("/", params={"query": "SELECT 1"}, headers={"Host": host}).status_code == status


@pytest.mark.parametrize("origin", ["https://evil.example.com", "http://[x", "null"])
def test_web_pages_are_refused(http: httpx.Client, origin: str) -> None:
    assert http.post("/", content="SELECT 1", headers={"Origin": origin}).status_code == 403


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
    assert "X-ClickHouse-Format" not in post(http, "CREATE TABLE t (a Int8) ENGINE = Memory").headers


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


_PACKERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "lz4": lz4.frame.compress,
    "br": brotli.compress,
}
_UNPACKERS = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "lz4": lz4.frame.decompress,
    "br": brotli.decompress,
}


@pytest.mark.parametrize("encoding", _PACKERS)
def test_compression_both_ways(http: httpx.Client, encoding: str) -> None:
    post(http, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    pack = _PACKERS[encoding]
    data = "".join(f"{n}\n" for n in range(100_000)).encode()
    # Clients send one frame a block; brotli has no frames to join.
    body = pack(data) if encoding == "br" else pack(data[:300_000]) + pack(data[300_000:])
    sent = http.post(
        "/",
        content=body,
        params={**http.params, "query": "INSERT INTO t FORMAT CSV"},
        headers={"Content-Encoding": encoding},
    )
    assert sent.status_code == 200, sent.text
    params = {**http.params, "enable_http_compression": "1"}
    for query in ("SELECT a FROM t ORDER BY a FORMAT CSV", "SELECT 1", "SELECT 1 WHERE 0"):
        request = http.build_request("POST", "/", content=query, params=params, headers={"Accept-Encoding": encoding})
        answer = http.send(request, stream=True)
        raw = b"".join(answer.iter_raw())
        plain = _UNPACKERS[encoding](raw) if raw else b""
        assert plain == {"SELECT 1": b"1\n", "SELECT 1 WHERE 0": b""}.get(query, data)
        assert answer.headers.get("Content-Encoding", encoding) == encoding


def test_broken_compression_is_an_error(http: httpx.Client) -> None:
    post(http, "CREATE TABLE t (a String) ENGINE = Memory")
    params = {**http.params, "query": "INSERT INTO t FORMAT LineAsString"}
    whole = gzip.compress(b"".join(b"%d\n" % n for n in range(100_000)))
    for body, encoding, code in ((whole[:-2000], "gzip", "271"), (b"x" * 99, "zstd", "271"), (b"x", "snappy", "89")):
        answer = http.post("/", content=body, params=params, headers={"Content-Encoding": encoding})
        assert answer.headers["X-ClickHouse-Exception-Code"] == code
    # The blocks before the damage are not stored either: the statement was cancelled.
    assert rows(http, "SELECT count() FROM t") == "0"


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


def test_sessions_keep_tables_and_settings(http: httpx.Client) -> None:
    session = {"session_id": "keeps"}
    post(http, "CREATE TEMPORARY TABLE x AS SELECT 42 AS a", **session)
    post(http, "SET max_block_size = 77, log_comment = 'it''s'", **session)
    assert rows(http, "SELECT a FROM x", **session) == "42"
    show = "SELECT getSetting('max_block_size'), getSetting('log_comment')"
    assert rows(http, show, **session, max_block_size=5) == "5\tit\\'s"
    # A setting in the URL is for one request; what SET made stays.
    assert rows(http, show, **session) == "77\tit\\'s"
    post(http, "SELECT a FROM x", 404)
    post(http, "SELECT 1", **session, close_session=1)
    assert post(http, "SELECT 1", 500, **session, session_check=1).headers["X-ClickHouse-Exception-Code"] == "372"
    assert (
        post(http, "SELECT 1", 500, session_id="x", session_timeout=99999).headers["X-ClickHouse-Exception-Code"]
        == "374"
    )


def test_a_session_expires(http: httpx.Client) -> None:
    session = {"session_id": "short", "session_timeout": 1}
    post(http, "CREATE TEMPORARY TABLE x (a Int8)", **session)
    time.sleep(1.5)
    assert post(http, "SELECT 1", 500, **session, session_check=1).headers["X-ClickHouse-Exception-Code"] == "372"


def test_a_session_serves_one_request_at_a_time(http: httpx.Client) -> None:
    session = {"session_id": "busy"}
    slow = threading.Thread(target=post, args=(http, "SELECT sleep(1)"), kwargs=session)
    slow.start()
    time.sleep(0.3)
    assert post(http, "SELECT 1", 500, **session).headers["X-ClickHouse-Exception-Code"] == "373"
    slow.join()
    for _ in range(30):  # free again before the client has seen the last byte
        assert rows(http, "SELECT 1", **session) == "1"


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


def test_external_tables(http: httpx.Client) -> None:
    files = {"ext": ("ext", b"1\ta\n2\tb\n"), "other": ("other", b"[3]\n[4]\n")}
    params = {
        **http.params,
        "ext_types": "UInt8,Enum8('a' = 1, 'b' = 2)",
        "other_structure": "n UInt8",
        "other_format": "JSONCompactEachRow",
        "query": "SELECT (SELECT groupArray(_2) FROM ext WHERE _1 > {m:UInt8}), (SELECT sum(n) FROM other)",
    }
    for session in ({}, {"session_id": "external"}, {"session_id": "external"}):
        answer = http.post("/", files=files, params={**params, **session}, data={"param_m": "1"})
        assert answer.text == "['b']\t7\n"
    bad = http.post(
        "/",
        files={"ext": ("ext", b"1\n")},
        params={
            **http.params,
            "query": "SELECT 1",
            "ext_structure": "a String) AS SELECT file('/etc/passwd'",
        },
    )
    assert bad.headers["X-ClickHouse-Exception-Code"] == "62"
    params["other_structure"] = "n String DEFAULT file('/etc/passwd')"
    bad = http.post("/", files=files, params=params, data={"param_m": "1"})
    assert bad.headers["X-ClickHouse-Exception-Code"] == "497"


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


def test_an_unknown_setting_does_not_keep_the_others_in_a_session(http: httpx.Client) -> None:
    value = "SELECT value FROM system.settings WHERE name = 'max_threads'"
    post(http, "SET max_threads = 3", session_id="restores")
    assert (
        http.post("/", content=value, params={**http.params, "session_id": "restores", "max_threads": 2}).text == "2\n"
    )
    bad = {**http.params, "session_id": "restores", "max_threads": "2", "nonsense": "1"}
    assert http.post("/", content=value, params=bad).status_code == 404
    assert rows(http, value, session_id="restores") == "3"
    post(http, "SET max_threads = {p:UInt64}", session_id="restores", param_p=4)
    assert rows(http, value, session_id="restores", max_threads=2) == "2"
    assert rows(http, value, session_id="restores") == "3"
    post(http, "SET additional_table_filters = {'a': '1', 'b': 'c = ''{x'''}, max_threads = 5", session_id="restores")
    assert rows(http, value, session_id="restores", max_threads=2, additional_table_filters="{'c': '1'}") == "2"
    both = "SELECT getSetting('max_threads'), length(getSetting('additional_table_filters'))"
    assert rows(http, both, session_id="restores") == "5\t2"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4", "br"])
def test_what_is_decompressed_comes_in_bounded_pieces(encoding: str) -> None:
    compress: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "zstd": zstandard.compress,
        "lz4": lz4.frame.compress,
        "br": brotli.compress,
    }
    frames = 1 if encoding == "br" else 2
    plain = bytes(range(256)) + b"0" * 50_000_000
    packed = compress[encoding](plain) * frames
    for size in (len(packed), 1000):
        decompressor = Decompressor(encoding)
        total = 0
        for begin in range(0, len(packed), size):
            for piece in decompressor.feed(packed[begin : begin + size]):
                assert len(piece) <= 8 * 1024 * 1024 + 1024
                total += len(piece)
        decompressor.finish()
        assert total == frames * len(plain)
