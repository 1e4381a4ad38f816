"""Logins to the HTTP interface: which succeed, and what follows a failed one."""

from __future__ import annotations

import base64
import logging
import time
from pathlib import Path

import httpx
import pytest

from iot_platform.clickhouse_embedded import logins
from iot_platform.clickhouse_embedded.logins import FailedLogins
from iot_platform_tests.clickhouse_embedded.http_queries import Server, code, everything, raw, rows


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_every_way_to_give_the_password(server: Server) -> None:
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
def test_wrong_logins_get_516(server: Server, headers: dict[str, str]) -> None:
    given = {name: value.replace("PASSWORD", server.password) for name, value in headers.items()}
    response = httpx.post(server.url, content="SELECT 1", headers=given)
    assert response.status_code == 403
    assert code(response) == "516"
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
    "headers",
    [
        b"Host: localhost\r\nHost: evil.example\r\n",
        b"Host: localhost\r\nHost: localhost\r\n",
        b"Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.example\r\n",
        b"",
    ],
)
def test_a_request_with_several_hosts_or_origins_is_refused(server: Server, headers: bytes) -> None:
    key = f"X-ClickHouse-Key: {server.password}\r\n".encode()
    request = b"POST / HTTP/1.1\r\n" + headers + key + b"Connection: close\r\nContent-Length: 8\r\n\r\nSELECT 1"
    assert everything(raw(server, request)).startswith(b"HTTP/1.1 403 ")


def test_several_ways_to_log_in_at_once_are_refused(server: Server) -> None:
    """As in ClickHouse: two passwords in one request are refused, even if one of them is right."""
    basic = {"Authorization": _basic("default", server.password)}
    key = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": server.password}
    mixed = [
        ({"password": "wrong"}, basic),
        ({"user": "default"}, basic),
        ({"password": server.password}, basic),
        ({"password": "wrong"}, key),
        ({}, {**basic, **key}),
    ]
    for params, headers in mixed:
        answer = httpx.get(server.url, params={"query": "SELECT 1", **params}, headers=headers)
        assert (answer.status_code, code(answer)) == (403, "516"), (params, list(headers))
        assert "simultaneously" in answer.text


def test_a_password_that_is_not_utf8_is_wrong(server: Server) -> None:
    credentials = base64.b64encode(b"default:\xff\xfe").decode()
    for headers in (
        httpx.Headers({"Authorization": f"Basic {credentials}"}),
        httpx.Headers({b"X-ClickHouse-Key": b"\xff"}),
    ):
        answer = httpx.get(server.url, params={"query": "SELECT 1"}, headers=headers)
        assert code(answer) == "516"


def test_failed_logins_are_logged_and_delayed(server: Server, server_log: Path) -> None:
    before = server_log.read_text()
    waits = []
    for number in range(3):
        began = time.monotonic()
        answer = httpx.get(server.url, params={"query": "SELECT 1", "user": f"eve\n{number}", "password": "guess-1"})
        waits.append(time.monotonic() - began)
        assert code(answer) == "516"
    assert min(waits) >= 0.1
    # There is no lock-out: the right password is never delayed.
    good = httpx.get(server.url, params={"query": "SELECT 1"}, headers={"X-ClickHouse-Key": server.password})
    assert good.text == "1\n"
    told = server_log.read_text()
    assert "failed logins from 127.0.0.1" in told
    assert "guess-1" not in told[len(before) :]
    assert server.password not in told


def test_the_delay_grows_and_expires(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    failed = FailedLogins()
    with caplog.at_level(logging.WARNING):
        waits = [failed.add("10.0.0.1", "eve\nroot logged in") for _ in range(40)]
    assert waits[0] == 0.1
    assert waits == sorted(waits)
    assert waits[-1] == 2.0
    assert [record.getMessage() for record in caplog.records] == [
        "failed logins from 10.0.0.1: 1, now as 'eve\\nroot logged in'"
    ]
    assert failed.add("10.0.0.2", "") == 0.1
    now += 11
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        failed.add("10.0.0.1", "eve")
    assert "failed logins from 10.0.0.1: 40, now as 'eve'" in caplog.text
    now += 61
    assert failed.add("10.0.0.1", "eve") == 0.1


def test_addresses_of_failed_logins_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "_MAX_ADDRESSES", 3)
    failed = FailedLogins()
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1", "10.0.0.4"):
        failed.add(address, "eve")
    # The address that failed longest ago is forgotten.
    assert failed.add("10.0.0.1", "eve") == pytest.approx(0.3)
    assert failed.add("10.0.0.2", "eve") == 0.1
    # One network of IPv6 is one client.
    assert failed.add("2001:db8::1", "eve") == 0.1
    assert failed.add("2001:db8::2", "eve") == 0.2


def test_100_continue_is_sent_only_after_the_login(server: Server) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 8\r\n"
    refused = everything(raw(server, head + b"X-ClickHouse-Key: wrong\r\n\r\n"))
    assert refused.startswith(b"HTTP/1.1 403 ")
    assert b"100 Continue" not in refused
    assert b"connection: close" in refused.lower()
    key = f"X-ClickHouse-Key: {server.password}\r\nConnection: close\r\n\r\n".encode()
    connection = raw(server, head + key)
    assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"SELECT 1")
    assert everything(connection).endswith(b"\r\n\r\n1\n")


def test_a_failed_login_without_its_body_gets_a_response_and_is_closed(server: Server) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nX-ClickHouse-Key: wrong\r\nContent-Length: 100\r\n\r\n12345"
    assert everything(raw(server, head)).startswith(b"HTTP/1.1 403 ")


def test_readonly_requests_cannot_kill_queries(http: httpx.Client) -> None:
    kill = "KILL QUERY WHERE query_id = 'nobody'"
    for session in ({}, {"session_id": "no-kill"}):
        for readonly in ("1", "2"):
            answer = http.post("/", content=kill, params={**http.params, "readonly": readonly, **session})
            assert code(answer) == "164", answer.text
        assert code(http.get("/", params={**http.params, "query": kill, **session})) == "164"
        assert rows(http, kill, **session) == ""
