"""Limits of a connection: sizes, times, numbers; and HTTP/1.0."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from iot_platform.clickhouse_embedded.connection import Connection, Limits
from iot_platform_tests.clickhouse_embedded.http_queries import Server, everything, raw

LIMITS = Limits(connections=5, head_s=1.5, body_idle_s=1.5, send_idle_s=1.5, refusal_s=0.3)
LARGE = 64 * 1024 * 1024  # more than the kernel keeps for a connection


@dataclass(frozen=True)
class Address:
    """A server without a password."""

    host: str
    port: int
    username: str = "default"
    password: str = ""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class _Quick(Connection):
    limits = LIMITS


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    if scope["path"] == "/large":
        await PlainTextResponse(b"x" * LARGE)(scope, receive, send)
        return
    size = 0
    async for part in request.stream():
        size += len(part)
    await PlainTextResponse(f"{size} bytes, query of {len(scope['query_string'])}\n")(scope, receive, send)


@pytest.fixture
def quick() -> Iterator[Server]:
    """A server of these connections with small limits."""
    config = uvicorn.Config(_echo, http=_Quick, log_level="critical", lifespan="off", ws="none", timeout_keep_alive=5)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        stop = threading.Event()

        def check() -> None:
            while not stop.wait(0.05):
                for connection in list(server.server_state.connections):
                    assert isinstance(connection, Connection)
                    connection.loop.call_soon_threadsafe(connection.close_if_overdue, time.monotonic())

        checker = threading.Thread(target=check)
        checker.start()
        try:
            yield Address("127.0.0.1", listener.getsockname()[1])
        finally:
            stop.set()
            checker.join()
            server.should_exit = True
            thread.join()


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"\r\n",
        GET[:-4],
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
    ],
)
def test_a_client_that_stops_sending_is_disconnected(quick: Server, sent: bytes) -> None:
    assert everything(raw(quick, sent)) == b""


@pytest.mark.parametrize("second", [b"GET /", b"\r\n", b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n1"])
def test_also_in_a_later_request(quick: Server, second: bytes) -> None:
    connection = raw(quick, GET)
    assert connection.recv(65536).endswith(b"0 bytes, query of 0\n")
    connection.sendall(second)
    assert everything(connection) == b""


def test_a_head_that_never_ends_is_cut_off(quick: Server) -> None:
    connection = raw(quick, b"GET / HTTP/1.1\r\n")
    began = time.monotonic()
    with pytest.raises(OSError, match="Broken pipe|reset"):
        while time.monotonic() - began < 20:
            connection.sendall(b"X")
            time.sleep(0.05)
    connection.close()


def test_a_slow_body_is_accepted(quick: Server) -> None:
    connection = raw(quick, b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 20\r\n\r\n")
    for _ in range(20):
        connection.sendall(b"x")
        time.sleep(0.12)  # together longer than the limit of one pause
    assert everything(connection).endswith(b"20 bytes, query of 0\n")


def test_a_client_that_does_not_read_the_response_is_disconnected(quick: Server) -> None:
    connection = raw(quick, b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(4)
    received = 0
    with connection, contextlib.suppress(ConnectionResetError):
        while data := connection.recv(1024 * 1024):
            received += len(data)
    assert received < LARGE


def test_a_response_that_is_read_slowly_arrives(quick: Server) -> None:
    received = 0
    with raw(quick, b"GET /large HTTP/1.1\r\nConnection: close\r\n\r\n") as connection:
        while data := connection.recv(4 * 1024 * 1024):
            received += len(data)
            time.sleep(0.02)
    assert received > LARGE


def test_connections_are_bounded(quick: Server) -> None:
    open_ones = [raw(quick) for _ in range(LIMITS.connections)]
    time.sleep(0.2)
    assert b"HTTP/1.1 503 " in everything(raw(quick, GET))
    for connection in open_ones:
        connection.close()
    time.sleep(0.2)
    assert httpx.get(quick.url).status_code == 200


def _url(size: int) -> bytes:
    return b"/?" + b"q" * (size - 2)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET " + _url(1024 * 1024) + b" HTTP/1.1\r\n", 200),
        (b"GET " + _url(1024 * 1024 + 1) + b" HTTP/1.1\r\n", 414),
        (b"GET " + _url(3 * 1024 * 1024) + b" HTTP/1.1\r\n", 414),
        (b"GET " + _url(3 * 1024 * 1024), 414),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 100_000 + b"\r\nB: " + b"b" * 20_000 + b"\r\n", 200),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 100_000 + b"\r\nB: " + b"b" * 40_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 1_000_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: a\r\n" % n for n in range(100_000)), 431),
        (b"GET /" + b"p" * 70_000 + b" HTTP/1.1\r\n", 400),
    ],
)
def test_heads_are_bounded(server: Server, head: bytes, status: int) -> None:
    connection = raw(server)
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(head + b"Host: localhost\r\nConnection: close\r\n\r\n")
    answer = everything(connection)
    # The longest URL that is taken is no query: the path "/" with a parameter that no password comes with.
    expected = 403 if status == 200 and b"?" in head[:10] else status
    assert answer.startswith(f"HTTP/1.1 {expected} ".encode()), answer[:200]


def test_a_query_of_a_megabyte_in_the_url(http: httpx.Client, server: Server) -> None:
    wanted = 1_000_000
    query = b"SELECT+length('" + b"x" * wanted + b"')"
    head = b"GET /?max_query_size=2000000&query=" + query + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    answer = everything(raw(server, head + b"X-ClickHouse-Key: " + server.password.encode() + b"\r\n\r\n"))
    assert answer.endswith(f"\r\n\r\n{wanted}\n".encode()), answer[:300]


def _old_http(server: Server, query: str) -> tuple[bytes, bytes]:
    line = f"GET /?{query} HTTP/1.0\r\nHost: localhost\r\nX-ClickHouse-Key: {server.password}\r\n\r\n"
    head, _, body = everything(raw(server, line.encode())).partition(b"\r\n\r\n")
    return head.lower(), body


@pytest.mark.parametrize("count", [0, 1, 1_000_000])
def test_http_1_0_gets_a_length_and_no_chunks(server: Server, count: int) -> None:
    head, body = _old_http(server, f"query=SELECT+number+FROM+numbers({count})")
    assert b"transfer-encoding" not in head
    assert f"content-length: {len(body)}".encode() in head.split(b"\r\n")
    assert body == "".join(f"{n}\n" for n in range(count)).encode()


def test_http_1_0_gets_errors_with_their_status(server: Server) -> None:
    head, body = _old_http(server, "query=SELECT+throwIf(number=3000000)+FROM+numbers(10000000)")
    assert b" 500 " in head.split(b"\r\n")[0]
    assert body.startswith(b"Code: 395. ")
