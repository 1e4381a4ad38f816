"""Bytes that are not UTF-8 pass through the server unchanged, wherever a client puts them."""

from __future__ import annotations

import httpx
import pytest

from iot_platform.clickhouse_embedded.request import url_parameters
from iot_platform.clickhouse_embedded.text import encoded
from iot_platform_tests.clickhouse_embedded.http_queries import Server, code, everything, post, raw, rows

ODD = b"\xff\xfe\xc3("  # no UTF-8
PERCENT = "".join(f"%{byte:02X}" for byte in ODD)
REPLACED = "\N{REPLACEMENT CHARACTER}".encode()


def test_in_a_query(http: httpx.Client) -> None:
    assert rows(http, b"SELECT hex('" + ODD + b"')") == ODD.hex().upper()
    assert post(http, b"SELECT '" + ODD + b"' FORMAT RawBLOB").content == ODD


def test_in_the_url(plain: httpx.Client) -> None:
    url = f"/?query=SELECT+hex('{PERCENT}')"
    assert plain.get(url).text == ODD.hex().upper() + "\n"
    assert plain.post(url, content=b", hex('" + ODD + b"')").text == f"{ODD.hex().upper()}\t{ODD.hex().upper()}\n"


def test_not_escaped_in_the_url(server: Server) -> None:
    """No URL: refused, not changed."""
    line = b"GET /?query=SELECT+hex('\xff\xfe') HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    answer = everything(raw(server, line + f"X-ClickHouse-Key: {server.password}\r\n\r\n".encode()))
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("session", ["", "&session_id=bytes"])
def test_in_a_parameter(http: httpx.Client, plain: httpx.Client, session: str) -> None:
    post(http, "CREATE TABLE t (s String) ENGINE = Memory")
    base = f"/?database={http.params['database']}{session}&param_n=5&param_a="
    query = b"SELECT hex({a:String}), {n:UInt8}"
    assert plain.post(base + PERCENT, content=query).text == f"{ODD.hex().upper()}\t5\n"
    # A backslash before such a byte, escapes, arrays and names.
    assert plain.post(base + "%5C%5C" + PERCENT + "%5Ct", content=query).text == f"5C{ODD.hex().upper()}09\t5\n"
    array = plain.post(base + "['" + PERCENT + "']", content=b"SELECT hex({a:Array(String)}[1])")
    assert array.text == ODD.hex().upper() + "\n"
    named = plain.post(base + "%FF", content=b"SELECT 1 AS {a:Identifier} FORMAT TSVWithNames")
    assert named.content == b"\xff\n1\n"
    assert plain.post(base + PERCENT, content=b"INSERT INTO t VALUES ({a:String})").status_code == 200
    assert rows(http, "SELECT hex(s) FROM t") == ODD.hex().upper()
    # The parameter is gone with its request.
    assert code(plain.post(base.removesuffix("&param_n=5&param_a="), content=query)) == "456"


@pytest.mark.parametrize("statement", [b"INSERT INTO t VALUES ('%b')", b"INSERT INTO t FORMAT TSV\n%b\n"])
def test_in_data(http: httpx.Client, statement: bytes) -> None:
    post(http, "CREATE TABLE t (s String) ENGINE = Memory")
    post(http, statement % ODD)
    assert post(http, "SELECT s FROM t FORMAT RawBLOB").content == ODD


def test_in_names_comments_and_errors(http: httpx.Client) -> None:
    name = b"`" + ODD + b"`"
    post(http, b"CREATE TABLE " + name + b" (" + name + b" Int8 COMMENT '" + ODD + b"') ENGINE = Memory")
    post(http, b"INSERT INTO " + name + b" (" + name + b") VALUES (7)")
    post(http, b"INSERT INTO " + name + b" (" + name + b") FORMAT CSV\n8\n")
    found = post(http, b"SELECT sum(" + name + b") AS " + name + b" FROM " + name + b" FORMAT TSVWithNames").content
    assert found == ODD + b"\n15\n"
    comment = post(http, "SELECT comment FROM system.columns WHERE database = currentDatabase() FORMAT RawBLOB")
    assert comment.content == ODD
    failed = http.post("/", content=b"SELECT throwIf(1, '" + ODD + b"')")
    assert code(failed) == "395"
    assert ODD in failed.content
    unknown = http.post("/", content=b"SELECT " + name)
    assert code(unknown) == "47"
    assert ODD in unknown.content
    assert REPLACED not in failed.content + unknown.content
    late = b"SELECT throwIf(number = 3000000, '" + ODD + b"'), number FROM numbers(100000000) SETTINGS max_threads = 1"
    received = b""
    with http.stream("POST", "/", content=late) as answer, pytest.raises(httpx.RemoteProtocolError):
        for chunk in answer.iter_raw():
            received = received[-4096:] + chunk
    assert ODD in received


def test_in_settings_headers_and_forms(plain: httpx.Client) -> None:
    url = f"/?log_comment={PERCENT}&query_id=bytes&session_id=bytes-settings"
    assert plain.post(url, content="SELECT hex(getSetting('log_comment'))").text == ODD.hex().upper() + "\n"
    fields = {"query": b"SELECT hex({a:String}), hex('" + ODD + b"')", "param_a": ODD}
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value)
        for name, value in fields.items()
    )
    headers = {"Content-Type": "multipart/form-data; boundary=x; charset=utf-16"}
    answer = plain.post("/", content=body + b"--x--\r\n", headers=headers)
    assert answer.text == f"{ODD.hex().upper()}\t{ODD.hex().upper()}\n"


def test_names_beyond_ascii_in_headers(http: httpx.Client, database: str) -> None:
    name = f"{database}_ü"
    post(http, f"CREATE DATABASE `{name}`")
    try:
        headers = {b"X-ClickHouse-Database": name.encode(), b"X-ClickHouse-Query-Id": "Zähler".encode()}
        answer = http.post("/", content="SELECT currentDatabase()", headers=headers)
        assert answer.text == f"{name}\n"
        raw_headers = dict(answer.headers.raw)
        assert next(v for k, v in raw_headers.items() if k.lower() == b"x-clickhouse-query-id") == "Zähler".encode()
    finally:
        post(http, f"DROP DATABASE `{name}`")


def test_parameters_of_a_url() -> None:
    pairs = url_parameters(b"a=%ff%41+%2B&b&=x&a=%FE")
    assert [(name, encoded(value)) for name, value in pairs] == [
        ("a", b"\xffA +"),
        ("b", b""),
        ("", b"x"),
        ("a", b"\xfe"),
    ]
